"""What the files of a run show, read once. Rules read nothing else, so each can be tested on made-up numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tunewright.config.stored_record import Scores
from tunewright.config.tasks import TASKS
from tunewright.data.summary import DataSummary
from tunewright.errors import Problem
from tunewright.metrics.evaluated_rows import Sample
from tunewright.planning.resolve_adapter import learning_rate
from tunewright.planning.run_plan import Plan
from tunewright.rundir import file_names, run_dir
from tunewright.rundir.curves import LoggedStep
from tunewright.rundir.events import EvalEvent
from tunewright.rundir.records import RunResult
from tunewright.rundir.run_dir import RunDir
from tunewright.rundir.run_end import end_problems
from tunewright.rundir.run_history import RunHistory, read_history


@dataclass(frozen=True)
class Evidence:
    """One run: plan, summary of its data, curves in the order of steps, scores, answers, how it ended.

    `handle` is how a command names it; `summary` is None before the rows were prepared.
    """

    handle: str
    config: str
    state: str
    plan: Plan
    summary: DataSummary | None
    logs: Sequence[LoggedStep]
    evals: Sequence[EvalEvent]
    before: Scores
    after: Scores
    samples: Sequence[Sample]
    result: RunResult
    problems: Sequence[Problem] = ()
    alerts: Sequence[Problem] = ()
    logged_bytes: int = 0  # the most memory that was logged

    @property
    def can_resume(self) -> bool:
        return self.state in run_dir.RESUMABLE

    @cached_property
    def losses(self) -> list[float]:
        """Training losses that are finite."""
        return [log.loss for log in self.logs if log.loss is not None]

    @cached_property
    def train(self) -> list[tuple[int, float]]:
        """Step and training loss."""
        return [(log.step, log.loss) for log in self.logs if log.loss is not None]

    @cached_property
    def held_out(self) -> list[tuple[int, float]]:
        """Step and held-out loss."""
        return [(e.step, e.held_out_loss) for e in self.evals if e.held_out_loss is not None]

    @cached_property
    def norms(self) -> list[tuple[int, float]]:
        """Step and gradient norm, before it was shortened."""
        return [(log.step, log.grad_norm) for log in self.logs if log.grad_norm is not None]

    @property
    def epochs(self) -> float:
        """How often the rows were seen."""
        return (self.logs[-1].epoch or 0.0) if self.logs else 0.0

    @property
    def rate(self) -> float:
        """The highest learning rate of the schedule."""
        return self.plan.run.train.learning_rate

    @property
    def writes(self) -> bool:
        """True for a task whose answers are texts."""
        return TASKS[self.plan.run.task].writes

    @property
    def usual_rate(self) -> float:
        """What the plan would take for this method and model."""
        return float(learning_rate(self.plan.run, self.plan.facts).value)

    @property
    def rows(self) -> int:
        """Rows that were used or held out."""
        return self.summary.used + self.summary.held_out if self.summary else 0

    def count(self, kind: str) -> int:
        """Rows of a kind of the data summary."""
        return self.summary.counts.get(kind, 0) if self.summary else 0

    @property
    def last_log(self) -> LoggedStep | None:
        """The last logged step."""
        return self.logs[-1] if self.logs else None

    @property
    def room_bytes(self) -> int:
        """Memory that was free on the device when the run was planned."""
        return self.plan.room_bytes

    @property
    def peak_bytes(self) -> int:
        """The most memory the run held on its device; 0 if that is not known."""
        return self.result.peak_device_bytes or self.result.peak_rss_bytes or self.logged_bytes


def _as_seen_from_here(path: Path) -> str:
    """A path to paste: short where it lies below the folder of the shell."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def read(run: RunDir, history: RunHistory | None = None) -> Evidence:
    """The evidence in a run's folder; `history` is what its events told who followed them."""
    history = history or read_history(run)
    scores = {which: event.scores for which, event in history.scores.items()}
    return Evidence(
        handle=run.handle,
        config=_as_seen_from_here(run.file(file_names.CONFIG)),
        state=run.state(),
        plan=run.plan(),
        summary=run.data_summary(),
        logs=history.curves.logs.events,
        evals=history.curves.evals.events,
        logged_bytes=history.peak_bytes,
        before=scores.get("before", {}),
        after=scores.get("after", {}),
        samples=run.samples("after"),
        result=run.result(),
        problems=end_problems(run),
        alerts=[event.problem for event in history.alerts.last],
    )
