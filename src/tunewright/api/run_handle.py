"""A run that was trained, and what can be done with it: scores, chat, answers, merge, report. Torch-free."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from tunewright.config.tasks import TASKS, Task
from tunewright.data.prompts import shared_system
from tunewright.data.word_text import split_words
from tunewright.diagnose.rules import diagnose
from tunewright.errors import Problem, TunewrightWarning
from tunewright.extras.eject import peft_script
from tunewright.extras.export import export_run
from tunewright.extras.export.export_run import ExportResult
from tunewright.extras.few_shot import few_shot_client
from tunewright.extras.lm_eval import harness_client
from tunewright.extras.proof.check_deployed import ROWS as EXPORT_ROWS
from tunewright.extras.session_requests import (
    LabelRequest,
    LabelResult,
    ProofRecord,
    ProveRequest,
    ProveResult,
    ReplyRequest,
    ReplyResult,
)
from tunewright.launch import queue_runner, start_run
from tunewright.launch.session_client import SessionClient
from tunewright.planning.memory_estimate import stored_bytes
from tunewright.planning.run_plan import Plan
from tunewright.report import formatting
from tunewright.report.run_report import write_report
from tunewright.reporting import SILENT, Reporter
from tunewright.rundir import base_fingerprint, file_names, output_targets
from tunewright.rundir.rank_files import RankState, read_states
from tunewright.rundir.records import RunResult
from tunewright.rundir.run_dir import DAMAGED, WAITING, RunDir
from tunewright.rundir.run_end import end_problems
from tunewright.rundir.run_history import read_history
from tunewright.rundir.session_protocol import (
    GREEDY,
    AnswerRequest,
    AnswerResult,
    EvaluateRequest,
    EvaluateResult,
    LoadRequest,
    LoadResult,
    MergeRequest,
    MergeResult,
    PromptInput,
    Sampling,
)
from tunewright.security import html_table

CHAT_TOKENS = 256
Speaker = Literal["base", "tuned"]
SHOTS = 3
RESULT_KEYS = (
    "before", "after", "baseline", "rows", "held_out_rows", "seconds", "tokens", "tokens_per_second", "peak_rss_bytes",
    "steps", "best_step", "trainable_parameters", "adapter", "adapter_bytes",
)  # fmt: skip


@dataclass(frozen=True)
class LoadingEstimate:
    """What loading the model will take; `is_measured` if the seconds are those of the run itself, and not of its plan."""

    peak_bytes: int
    seconds: float | None
    is_measured: bool


@dataclass(frozen=True)
class LabelledText:
    """What a text or words were given: labels, the probability of each there is, or a number."""

    assigned: tuple[str, ...]
    """One label, several, or one a word."""
    words: tuple[str, ...] = ()
    """What the labels are of, where words are tagged."""
    probabilities: tuple[tuple[str, float], ...] = ()
    """Of each label of a whole text, the likeliest first."""
    number: float | None = None


def _result(run: RunDir) -> dict[str, object]:
    """The result of a run for programs, as `--json` prints it: path, state, scores, seconds, speed, memory, adapter."""
    info = run.info()
    result = run.result()
    measured = result.model_dump(mode="json") if result.steps is not None else {}
    problems = [problem.to_json() for problem in end_problems(run)]
    report = run.file(file_names.REPORT)
    plan = run.plan()
    return {
        "schema": file_names.SCHEMA,
        "run": str(run.path),
        "name": run.name,
        "state": run.state(),
        "exit_code": info.exit_code,
        **{key: measured.get(key) for key in RESULT_KEYS},
        "promised": {
            "memory": {"peak_bytes": plan.memory.peak_bytes},
            "time": plan.time.to_json() if plan.time else None,
        },
        "measured": {
            "memory": {"peak_bytes": result.peak_device_bytes or result.peak_rss_bytes},
            "time": {"seconds": run.seconds()},
        },
        "report": str(report) if report.is_file() else None,
        "problems": problems,
    }


@dataclass(repr=False)
class TrainedRun:
    """A run and what can be done with it. The model is loaded once, in a process of its own, when it is first needed."""

    dir: RunDir
    _session: SessionClient | None = field(default=None, init=False, repr=False)

    def __repr__(self) -> str:
        """Name, state and held-out scores, in English."""
        if not self.dir.path.is_dir():
            return f"TrainedRun({self.name!r}, not there any more)"
        scores = "".join(f", {name}: {before} -> {after}" for name, before, after in self._changes()[:1])
        return f"TrainedRun({self.name!r}, {self.state}{scores})"

    def _repr_html_(self) -> str:
        """The run for a notebook: its scores before and after."""
        return html_table(repr(self), self._changes())

    def _changes(self) -> list[tuple[str, str, str]]:
        """Every score by its name: before, after; none before the run has any."""
        result = self.dir.result() if self.state != DAMAGED else RunResult()
        before = result.before or {}
        after = result.after or {}
        return [
            (
                formatting.METRICS.get(name, name),
                formatting.score(name, before.get(name)),
                formatting.score(name, after[name]),
            )
            for name in formatting.in_reading_order(after)
        ]

    @property
    def path(self) -> Path:
        return self.dir.path

    @property
    def name(self) -> str:
        return self.dir.name

    @property
    def state(self) -> str:
        return self.dir.state()

    @property
    def tags(self) -> tuple[str, ...]:
        """Words by which somebody finds the run again: `api.change_tags`. Raises: TrainingError E525."""
        return self.dir.tags()

    @property
    def result(self) -> dict[str, Any]:
        """Scores before and after, seconds, tokens per second, peak memory: as `train --json` gives them."""
        return _result(self.dir)

    @property
    def plan(self) -> Plan:
        """The plan that the run follows, with every decision. Raises: TrainingError E525 for a run that is damaged."""
        return self.dir.plan()

    @property
    def problems(self) -> list[Problem]:
        """Why the run ended as it did; empty for one that ended well or is still running."""
        return end_problems(self.dir)

    @property
    def exit_code(self) -> int | None:
        """The exit code of the run's worker; None before its end."""
        return self.dir.info().exit_code

    @property
    def last_seq(self) -> int:
        """Number of the last event so far, -1 before the first."""
        event = self.dir.last_event()
        return event.seq if event else -1

    @property
    def adapter(self) -> Path:
        return self.dir.adapter_dir

    def base_problems(self) -> list[Problem]:
        """W505 for each part of the base that is not what it was when the run was made.

        Raises: ModelError E324 if the base is gone; TrainingError E525.
        """
        self.dir.info()
        plan = self.plan
        base_fingerprint.refuse_without_base(plan)
        return base_fingerprint.as_problems("W505", base_fingerprint.changes(plan), name=self.name)

    def session(self) -> SessionClient:
        """The process that holds the model. Raises: TrainingError E525 for a run that is damaged."""
        self.dir.info(), self.dir.plan()
        self._session = self._session or SessionClient(self.dir, module="tunewright.extras.session_worker")
        return self._session

    def evaluate(self, rows: int | None = None, reporter: Reporter = SILENT) -> dict[str, Any]:
        """Scores of base and tuned model on the run's held-out rows, evaluated again; `rows` answers are generated."""
        return self.session().request(EvaluateRequest(rows), EvaluateResult, reporter).to_json()

    def prompted(self, shots: int = SHOTS, reporter: Reporter = SILENT) -> dict[str, Any]:
        """Scores of the base model on the run's held-out rows with `shots` training rows in its prompt; the run keeps them.

        Raises: DataError E210, E230 where there are no rows for it.
        """
        return few_shot_client.prompted(self.dir, shots, self.session(), reporter)

    def benchmark(
        self,
        tasks: Sequence[str],
        *,
        rows: int | None = None,
        include_path: str | Path | None = None,
        online: bool = False,
        reporter: Reporter = SILENT,
    ) -> dict[str, Any]:
        """Base and tuned model under lm-evaluation-harness: `tasks` by its names, with those of the folder `include_path`.

        `rows` of each task are asked; `online` lets their data be downloaded. The run keeps the result.
        Raises: ConfigError E116; ExportError E601, E608 to E611; TrainingError E506.
        """
        folder = Path(include_path) if include_path else None
        return harness_client.benchmark(
            self.dir, tasks, rows=rows, include_path=folder, online=online, reporter=reporter
        )

    @property
    def task(self) -> Task:
        """The task that the run was trained for."""
        return self.plan.run.task

    def opening(self) -> list[dict[str, str]]:
        """The system turn that all training rows begin with: a prompt should begin with it, too."""
        system = shared_system(self.plan.run.data, self.task)
        return [{"role": "system", "content": system}] if system else []

    @property
    def is_single_turn(self) -> bool:
        """True if no training row had more than one answer, so that earlier turns would only confuse the model."""
        return self.plan.facts.data.is_single_turn

    def chat(
        self, text: str | Sequence[Mapping[str, str]], *, with_base: bool = False, max_new_tokens: int = CHAT_TOKENS
    ) -> Any:
        """The tuned model's answer to a text or a conversation; with `with_base` a dict of both models' answers.

        A text becomes a prompt like those of the training rows: after the system turn that they all share, if they do. To
        be labelled it is sent alone; a tab separates the two texts of a pair.
        """
        prompt = self.as_prompt(text) if isinstance(text, str) else [dict(turn) for turn in text]
        answers = self.answers([prompt], with_base=with_base, max_new_tokens=max_new_tokens)[0]
        return answers if with_base else answers["tuned"]

    def loading(self) -> LoadingEstimate:
        """Memory and seconds that loading the model will take, known before: by the plan, and by how long it took in the run.

        Raises: TrainingError E525 for a run that is damaged.
        """
        plan, history = self.plan, read_history(self.dir, 2)
        measured = history.clock.ended.get("load")
        planned = plan.time.parts.get("load") if plan.time else None
        seconds = measured / max(1, history.num_sessions) if measured else planned
        return LoadingEstimate(
            plan.memory.phases.get("load", plan.memory.peak_bytes), seconds, is_measured=bool(measured)
        )

    def load(self) -> int:
        """Load the model if it is not loaded yet; the bytes that its process holds of the machine's memory."""
        return self.session().request(LoadRequest(), LoadResult).rss_bytes

    def labels(self, text: str) -> LabelledText:
        """The labels of a text, of a pair with a tab between, or of its words, with the probability of each there is.

        For runs that label. Raises: ModelError E324; TrainingError E506, E541.
        """
        self._warn_of_changed_base()
        row: Any = self.as_prompt(text)
        result = self.session().request(LabelRequest([row]), LabelResult)
        likeliest = sorted(
            zip(result.labels, result.probabilities[0], strict=False) if result.probabilities else (),
            key=lambda pair: -pair[1],
        )
        return LabelledText(
            assigned=tuple(result.assigned[0]) if result.assigned else (),
            words=tuple(row["words"]) if "words" in row else (),
            probabilities=tuple(likeliest),
            number=result.numbers[0] if result.numbers else None,
        )

    def as_prompt(self, text: str) -> PromptInput:
        """A text as a prompt: a conversation, or the row to be labelled."""
        if TASKS[self.task].writes:
            return [*self.opening(), {"role": "user", "content": text}]
        if self.task == "token_cls":
            return {"words": split_words(text)}
        first, _tab, second = text.partition("\t")
        return {"text": first, "pair": second}

    def answers(
        self,
        prompts: Sequence[PromptInput],
        *,
        with_base: bool = False,
        max_new_tokens: int = CHAT_TOKENS,
        reporter: Reporter = SILENT,
    ) -> list[dict[str, Any]]:
        """Greedy answers or labels, each a dict with `tuned` and, with `with_base`, `base`.

        Single labels come with `tuned_probability` and `base_probability`. Warns once (TunewrightWarning) where the base is
        not the one that the adapter was trained on.
        """
        self._warn_of_changed_base()
        request = AnswerRequest(list(prompts), max_new_tokens=max_new_tokens, with_base=with_base)
        return self.session().request(request, AnswerResult, reporter).by_prompt()

    def reply(
        self,
        turns: Sequence[Mapping[str, str]],
        *,
        sampling: Sampling = GREEDY,
        of_base: bool = False,
        max_new_tokens: int = CHAT_TOKENS,
        on_text: Callable[[str], None] = lambda _piece: None,
    ) -> str:
        """The answer to a conversation, sampled if `sampling` says so, for runs that write.

        `on_text` is called with each piece of it as it comes, and with an empty one when it begins. Warns as `answers`.
        Raises: DataError E219; ExportError E647 where the conversation is longer than the model reads.
        """
        self._warn_of_changed_base()
        request = ReplyRequest([dict(turn) for turn in turns], max_new_tokens, sampling, of_base)
        return self.session().request(request, ReplyResult, on_text=on_text).text

    def interrupt(self) -> None:
        """End the answer whose text is coming; for a signal handler while `reply` waits, which then returns what there is."""
        if self._session is not None:
            self._session.interrupt()

    def _warn_of_changed_base(self) -> None:
        if self._session is None:
            for problem in self.base_problems():
                warnings.warn(f"{problem.code} {problem.message()}", TunewrightWarning, stacklevel=3)

    def merge(self, target: str | Path | None = None, reporter: Reporter = SILENT) -> dict[str, Any]:
        """Base and adapter as one plain transformers folder, checked against the adapter's answers.

        Raises: ConfigError E115; ResourceError E403; TrainingError E520, E524, before the model is loaded.
        """
        plan = self.plan
        precision = plan.run.model.precision
        place = target or self.path / file_names.MERGED
        output_targets.output_folder(place, num_bytes=stored_bytes(plan.facts.model, precision, "none"))
        request = MergeRequest(str(Path(target).resolve()) if target else None)
        return self.session().request(request, MergeResult, reporter).to_json()

    def prove(self, reporter: Reporter = SILENT) -> ProofRecord:
        """The numerical equalities that the run relies on, measured on its model with a few of its rows: `rows` and `checks`."""
        return self.session().request(ProveRequest(), ProveResult, reporter).to_record()

    def report(self, path: str | Path | None = None) -> Path:
        """One self-contained HTML file."""
        return write_report(self.dir, diagnose(self.dir).findings, Path(path) if path else None)

    @property
    def base_folder(self) -> Path:
        """Where the base's weights are on this machine."""
        return Path(self.plan.facts.model.folder)

    def eject(self, folder: str | Path) -> Path:
        """A plain PEFT and Trainer script for the same run, with its rows, that runs without Tunewright."""
        return peft_script.eject(self.dir, Path(folder))

    def export(
        self, folder: str | Path, to: str = "peft", *, as_: str | None = None, quant: str | None = None,
        rows: int = EXPORT_ROWS, check: bool = True, reporter: Reporter = SILENT,
    ) -> ExportResult:  # fmt: skip
        """The run as a new folder for others. Without `to` the adapter for PEFT: no path of this machine, its base by its public
        name; with checksums.

        With `to` for another engine: `run.export("folder", to="gguf", quant="q8_0")`, `as_` "merged" or "adapter".
        It is compared with the run on up to `rows` held-out rows where an engine for it is here, unless `check` is off.
        Raises: as `extras.export.export_run.export`.
        """
        return export_run.export(
            self.dir, self.session(), to, folder, as_=as_, quant=quant, rows=rows, check=check, reporter=reporter
        )

    def ranks(self) -> list[RankState]:
        """Where each process of the run is, or was at the end; empty for a run of one."""
        return read_states(self.path)

    def stop(self, *, now: bool = False) -> bool:
        """Ask a live run to save and end, with `now` to end at once; one that waits leaves the queue. False for any other."""
        if self.state == WAITING:
            queue_runner.cancel(self.dir)
            return True
        return start_run.stop(self.dir, now=now)

    def close(self) -> None:
        """End the process that holds the model, if there is one."""
        if self._session is not None:
            self._session.close()


@dataclass
class Conversation:
    """Question by question with a run; where training rows had only one answer each, every question is independent."""

    run: TrainedRun
    with_base: bool = False
    max_new_tokens: int = CHAT_TOKENS
    sampling: Sampling = field(default_factory=lambda: GREEDY)
    """For runs that write, as `system` is."""
    system: str | None = None
    """The system turn; the one that all training rows share, if None."""
    turns: list[dict[str, str]] = field(default_factory=list)
    is_stopped: bool = field(default=False, init=False)
    """Whether the last question was ended by `stop`."""
    _has_begun: bool = field(default=False, init=False, repr=False)

    def ask(self, text: str, on_text: Callable[[Speaker, str], None] = lambda _who, _piece: None) -> dict[str, Any]:
        """The answers by who gives them: `tuned`, and `base` if wanted; the tuned one is what is remembered.

        `on_text` gets the pieces of answers in text as they come, the base's first, and an empty one as each begins. Of a
        question that was stopped there is what was written by then; one without a tuned answer is forgotten.
        """
        self.is_stopped = self._has_begun = False
        if not TASKS[self.run.task].writes:
            return self.run.answers([self.run.as_prompt(text)], with_base=self.with_base)[0]
        before = self._opening() if self.run.is_single_turn or not self.turns else self.turns
        turns = [*before, {"role": "user", "content": text}]
        answers: dict[str, Any] = {}
        speakers: tuple[Speaker, ...] = ("base", "tuned") if self.with_base else ("tuned",)
        for who in speakers:
            if self.is_stopped:
                break
            answers[who] = self.run.reply(
                turns,
                sampling=self.sampling,
                of_base=who == "base",
                max_new_tokens=self.max_new_tokens,
                on_text=partial(self._hand_on, on_text, who),
            )
        if answers.get("tuned"):
            self.turns = [*turns, {"role": "assistant", "content": answers["tuned"]}]
        return answers

    def stop(self) -> None:
        """End what is being answered, both models' part of it; for another thread or a signal handler while `ask` waits."""
        self.is_stopped = True
        if self._has_begun:
            self.run.interrupt()

    def _hand_on(self, on_text: Callable[[Speaker, str], None], who: Speaker, piece: str) -> None:
        self._has_begun = True
        on_text(who, piece)
        if self.is_stopped:  # perhaps before this answer began, which no signal could end yet
            self.run.interrupt()

    def _opening(self) -> list[dict[str, str]]:
        return self.run.opening() if self.system is None else [{"role": "system", "content": self.system}]
