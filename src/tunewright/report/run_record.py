"""One run as its files tell it, read once: events of all sessions, put together as if it had never been interrupted."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from tunewright.config.tasks import Task
from tunewright.data.summary import DataSummary
from tunewright.errors import Problem
from tunewright.metrics import confusion_matrix, paired_differences
from tunewright.metrics.confidence_intervals import Interval
from tunewright.metrics.evaluated_rows import ExampleLoss, Sample
from tunewright.metrics.metric_table import LOSS, AnswerKind, answer_kind
from tunewright.metrics.per_example_scores import loss_marks
from tunewright.planning.run_plan import Plan
from tunewright.report.verdict import ScoreChange, Verdict, judge, pair
from tunewright.rundir import file_names, model_card
from tunewright.rundir.curves import LoggedStep
from tunewright.rundir.events import EvalEvent, ScoreEvent
from tunewright.rundir.record_reader import read_bytes
from tunewright.rundir.records import BaselineRecord, RunInfo, RunResult
from tunewright.rundir.run_dir import LIVE, RunDir
from tunewright.rundir.run_end import end_problems
from tunewright.rundir.run_history import RunHistory, read_history

Intervals = dict[str, Interval]


@dataclass(frozen=True)
class RunRecord:
    """What the report and the summary are made of."""

    run: RunDir
    info: RunInfo
    state: str
    plan: Plan
    summary: DataSummary | None
    history: RunHistory

    @property
    def logs(self) -> list[LoggedStep]:
        """Logged steps in their order; of a very long run some, evenly spread."""
        return self.history.curves.logs.events

    @property
    def evals(self) -> list[EvalEvent]:
        """The same for evaluations of the held-out loss."""
        return self.history.curves.evals.events

    @property
    def before(self) -> ScoreEvent | None:
        """The scores of the base model."""
        return self.history.scores.get("before")

    @property
    def after(self) -> ScoreEvent | None:
        """The scores of the tuned model."""
        return self.history.scores.get("after")

    @property
    def task(self) -> Task:
        return self.plan.run.task

    @property
    def kind(self) -> AnswerKind:
        """What the answers of this run are: texts, labels, numbers, ..."""
        event = self.after or self.before
        return answer_kind(self.task, event.scores if event else {})

    @property
    def baseline(self) -> BaselineRecord | None:
        """Name and scores of giving every row the same answer; None where there is no such thing."""
        return self.result.baseline

    @property
    def references(self) -> tuple[str, str]:
        """Names of what the tuned model is compared with: the base model, and the baseline or nothing."""
        base = "untrained head" if model_card.has_untrained_head(self.plan) else "base"
        return base, self.baseline.name if self.baseline else ""

    @cached_property
    def samples(self) -> tuple[list[Sample], list[Sample]]:
        """The answers of base and tuned model."""
        return self.run.samples("before"), self.run.samples("after")

    @cached_property
    def losses(self) -> tuple[list[ExampleLoss], list[ExampleLoss]]:
        """The losses of single rows, of base and tuned model; empty for runs of before they were kept."""
        return self.run.losses("before"), self.run.losses("after")

    @property
    def row_losses(self) -> dict[int, tuple[float, float]]:
        """Mean losses before and after of each held-out row, by its number; empty where they were not stored for the same rows."""
        return losses_of_both(*self.losses)

    @cached_property
    def scores(self) -> list[ScoreChange]:
        before, after = self.samples
        baseline = self.baseline.scores if self.baseline else {}
        loss_before, loss_after, change = self._loss_intervals()
        return pair(
            self.task,
            self.before,
            self.after,
            baseline=baseline,
            intervals={
                "before": confusion_matrix.intervals(self.kind, before) | loss_before,
                "baseline": confusion_matrix.constant_intervals(self.kind, after, baseline),
                "after": confusion_matrix.intervals(self.kind, after) | loss_after,
            },
            paired=change,
        )

    def _loss_intervals(self) -> tuple[Intervals, Intervals, Intervals]:
        """Of the held-out loss before and after, and of the difference row by row; empty where rows tell none."""
        before, after = (loss_marks(rows) for rows in self.losses)
        if before is None or after is None or not self.row_losses:
            return {}, {}, {}
        estimates = (
            paired_differences.score([before]),
            paired_differences.score([after]),
            paired_differences.difference([before], [after]),
        )
        intervals = [{LOSS: estimate.interval} if estimate.interval else {} for estimate in estimates]
        return intervals[0], intervals[1], intervals[2]

    @property
    def verdict(self) -> Verdict:
        return judge(
            self.task,
            self.before,
            self.after,
            self.scores,
            num_held_out=self.num_held_out,
            references=self.references,
        )

    @property
    def num_held_out(self) -> int:
        return self.summary.held_out if self.summary else self.plan.facts.data.num_held_out

    @property
    def result(self) -> RunResult:
        """Of the `done` event, or as the parent wrote it; every field is missing if the run did not finish."""
        return self.history.result or self.info.result or RunResult()

    @property
    def is_live(self) -> bool:
        return self.state in LIVE

    @property
    def failure(self) -> list[Problem]:
        """Why the last session ended early; empty while it runs and when it ended well."""
        return end_problems(self.run)

    @property
    def best_step(self) -> int | None:
        """The step whose adapter is kept: the worker's word, else the lowest held-out loss so far."""
        if self.result.best_step is not None:
            return self.result.best_step
        losses = [(event.held_out_loss, event.step) for event in self.evals if event.held_out_loss is not None]
        return min(losses)[1] if losses else None

    @property
    def last_step(self) -> int:
        return max([*(log.step for log in self.logs), *(event.step for event in self.evals)], default=0)

    @property
    def num_sessions(self) -> int:
        """How often training was begun."""
        return self.history.num_sessions

    @property
    def tokens(self) -> int | None:
        """Tokens that were trained on so far."""
        if self.result.tokens is not None:
            return self.result.tokens
        return self.logs[-1].tokens if self.logs else None

    @property
    def tokens_per_second(self) -> float | None:
        """The speed of training so far."""
        if self.result.tokens_per_second is not None:
            return self.result.tokens_per_second
        return self.logs[-1].tokens_per_second if self.logs else None

    @property
    def peak_bytes(self) -> int | None:
        """The most memory the worker held: the kernel's count at the end, else the largest that was logged."""
        return self.result.peak_rss_bytes or self.history.peak_bytes or None

    @property
    def seconds(self) -> dict[str, float]:
        """Time by phase over all sessions, begun ones too, in the order of the work."""
        return self.history.clock.seconds


def losses_of_both(before: Sequence[ExampleLoss], after: Sequence[ExampleLoss]) -> dict[int, tuple[float, float]]:
    """Mean losses before and after by the number of the row; empty where they are not of the same rows and units."""
    if [(row.row, row.units) for row in before] != [(row.row, row.units) for row in after]:
        return {}
    return {was.row: (was.mean, now.mean) for was, now in zip(before, after, strict=True)}


def read(run: RunDir, history: RunHistory | None = None) -> RunRecord:
    """Everything the files of a run tell; `history` is what its events told somebody who followed them."""
    return RunRecord(
        run=run,
        info=run.info(),
        state=run.state(),
        plan=run.plan(),
        summary=run.data_summary(),
        history=history or read_history(run),
    )


def config_text(run: RunDir) -> str:
    path = run.file(file_names.CONFIG)
    return read_bytes(path).decode("utf-8", "backslashreplace") if path.is_file() else ""
