"""A sweep: ordinary runs in one folder, each with the setting that a search proposes.

The state survives a kill: the search's storage holds the trials, the folder their runs. A process works on a trial while it
holds the trial's lock, which the system releases when the process dies; an open, unlocked trial of this folder is continued
where its run is. So nothing is lost and nothing is run twice.
"""

import hashlib
import json
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from tunewright.config import load_config
from tunewright.config.load_config import LoadedConfig
from tunewright.config.tasks import TASKS
from tunewright.config.validation_problems import one_of
from tunewright.errors import ConfigError, ModelError, Problem, TunewrightError, error
from tunewright.extras.comparison import grid, search_space
from tunewright.extras.comparison.search_space import SearchAxis
from tunewright.extras.sweep.optuna_search import OptunaSearch, TrialRecord, check_installed, open_search
from tunewright.extras.sweep.sweep_record import SWEEP_FILE, StoredTrial, SweepRecord, write_record
from tunewright.i18n import N_, Phrase
from tunewright.launch import start_run
from tunewright.launch.devices import Device
from tunewright.metrics.metric_table import METRICS, is_loss, metrics_of
from tunewright.planning.run_plan import Plan
from tunewright.report import run_record
from tunewright.reporting import Reporter
from tunewright.rundir import atomic_io, file_names, run_dir
from tunewright.rundir.events import EvalEvent, Event
from tunewright.rundir.record_reader import read_object, read_optional
from tunewright.rundir.records import ComparisonIdentity
from tunewright.rundir.run_dir import RunDir
from tunewright.rundir.run_end import end_problems

STORAGE_FILE = "sweep.db"
LOCK_FILE = "sweep.lock"
LOCKS = "locks"
BEST_FILE = "best.yaml"
LOSS = "held_out_loss"
MOST_LOSSES = 3  # times that a trial's run may be lost before the trial counts as failed
SweepEnd = Literal["complete", "pruned", "failed", "stopped", "lost"]


@dataclass(frozen=True)
class SweepSettings:
    """What is searched: the best setting of a config by a score, in `space` and the usual ranges.

    `storage` is the URL of a database that several machines share; none keeps an SQLite file in the folder.
    """

    config: grid.Grid
    space: Sequence[SearchAxis] = ()
    metric: str = LOSS
    storage: str | None = None

    @property
    def name(self) -> str:
        """The same for the same settings on every machine, wherever its files are there."""
        return f"sweep-{grid.data_name(self.config.load().run)}-{self.identity()[:6]}"

    def identity(self) -> str:
        """Digest of the settings, with files by their names alone."""
        run = self.config.load().run
        run = start_run.with_files(run, {path: file.name for path, file in start_run.files_of(run).items()})
        identity = {
            "run": run.model_dump(mode="json", exclude={"run", "launch"}),
            "space": [axis.to_json() for axis in self.space],
            "metric": self.metric,
        }
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()

    def check(self) -> None:
        """Raises: ConfigError with everything that is wrong with the space or the metric."""
        if self.metric not in METRICS:
            raise error("E133", name="--metric", reason=one_of(METRICS), value=self.metric)
        axes = [axis for axis in self.space if axis.path == "method"]
        methods = axes[0].choices if axes else (self.config.load().run.method,)
        grid.check(self.config, [{"method": method} for method in methods])
        ends = [
            {"method": method, axis.path: end}
            for axis in self.space
            for method in methods
            for end in axis.ends
            if axis.path != "method" and (len(methods) == 1 or search_space.belongs(axis.path, method))
        ]
        grid.check(self.config, ends)


@dataclass
class TrialRun:
    """A trial that this process holds the lock of; `run` once there is one."""

    number: int
    lock: FileLock
    run: RunDir | None = None


@dataclass(frozen=True)
class Sweep:
    """A search with the folder of its runs, and what all its trials have in common."""

    settings: SweepSettings
    folder: Path
    owner: str
    search: OptunaSearch
    axes: Sequence[SearchAxis]
    first: Mapping[str, object]
    equal: Mapping[str, object]
    rows: str

    def claim(self, limit: int | None) -> TrialRun | None:
        """An open trial that no process works on, else a new one; None if there are `limit` trials."""
        while True:
            trials = self.search.trials()
            for record in trials if limit is None else trials[:limit]:
                if self._is_open(record) and (trial := self._locked(record.number)):
                    return trial
            if limit is not None and len(trials) >= limit:
                return None
            self.search.add(self.owner)

    def _is_open(self, record: TrialRecord) -> bool:
        return record.state == "running" and record.notes.get("owner") == self.owner

    def _locked(self, number: int) -> TrialRun | None:
        """The trial with its lock; None if another process holds it, or just ended the trial."""
        lock = FileLock(self.folder / LOCKS / f"{number}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return None
        if self._is_open(self.search.trial(number)):
            return TrialRun(number, lock)
        lock.release()
        return None

    def begin(
        self, trial: TrialRun, *, force: bool = False, reporter: Reporter, device: Device | None = None
    ) -> Sequence[Problem]:
        """Start or resume the trial's run in the background; the problems of a setting that cannot be trained.

        Such a trial is over. Raises: ConfigError E126 if another run has its folder, E127 if the rows have changed; every error
        that does not depend on the setting.
        """
        path = self.folder / f"trial-{trial.number:03d}"
        try:
            loaded = self._loaded(trial.number, path)
            trial.run = _existing_run(path) or self._create(loaded, path, force=force, reporter=reporter)
        except TunewrightError as fault:
            if not _is_of_the_setting(fault):
                raise
            self._end(trial, "failed", reason=_in_english(fault.problems))
            return fault.problems
        if not grid.is_same(trial.run, loaded):
            raise error("E126", path=str(path))
        self.search.note(trial.number, run=str(path))
        state = trial.run.state()
        if state in ("stopped", "lost") and not self._is_pruned(trial):
            start_run.resume(trial.run, {}, device)
        elif state == "queued" and not trial.run.info().is_launched:
            trial.run.update_info(is_launched=True)  # before the launch, so that no other process launches it again
            start_run.launch(trial.run, device)
        return []

    def _loaded(self, number: int, path: Path) -> LoadedConfig:
        seed = self.settings.config.load().run.train.seed
        picked = self.search.propose(number, self.axes, first=self.first, seed=seed)
        place = {"run.name": path.name, "run.output_dir": json.dumps(str(path))}
        return self.settings.config.load(search_space.settings(self.axes, picked) | place, equal=self.equal)

    def _create(self, loaded: LoadedConfig, path: Path, *, force: bool, reporter: Reporter) -> RunDir:
        plan = start_run.plan_for(loaded, reporter=reporter)
        if plan.facts.data.fingerprint != self.rows:
            raise error("E127", path=loaded.run.data.name)
        return start_run.create(loaded, plan, force=force, reporter=reporter)

    def follow(self, trial: TrialRun) -> Iterator[Event | None]:
        """The run's events until it has ended; a trial worse than most others is pruned."""
        assert trial.run is not None
        if self._is_pruned(trial) and trial.run.state() != "stopping":
            start_run.stop(trial.run)
        for event in start_run.follow(trial.run):
            if isinstance(event, EvalEvent) and self._is_hopeless(trial, event):
                # Before the stop, so that the reason is known after a kill.
                self.search.note(trial.number, pruned=event.step)
                start_run.stop(trial.run)
            yield event

    def _is_hopeless(self, trial: TrialRun, event: EvalEvent) -> bool:
        """Whether a held-out loss prunes the trial; False if that was decided before."""
        loss = event.held_out_loss
        if loss is None or self._is_pruned(trial):
            return False
        return self.search.report(trial.number, event.step, loss)

    def _is_pruned(self, trial: TrialRun) -> bool:
        return "pruned" in self.search.trial(trial.number).notes

    def conclude(self, trial: TrialRun) -> SweepEnd:
        """Report the end of the run to the search. A run that was stopped by the user, or lost, leaves its trial open.

        Raises: ConfigError E133 if the run has no such score.
        """
        assert trial.run is not None
        state = trial.run.state()
        if state == "finished":
            return self._score(trial)
        if self._is_pruned(trial):
            step = self.search.trial(trial.number).notes["pruned"]
            text = N_("pruned at step {step}: most other trials had lower held-out losses by then")
            trial.run.events.note(Phrase(text, step=step))
            return self._end(trial, "pruned")
        if state == "failed":
            return self._end(trial, "failed", reason=_in_english(end_problems(trial.run)))
        if state == "lost":
            losses = self.search.trial(trial.number).notes.get("losses", 0) + 1
            if losses >= MOST_LOSSES:
                return self._end(trial, "failed", reason="its processes were lost again and again")
            self.search.note(trial.number, losses=losses)
        trial.lock.release()
        return "lost" if state == "lost" else "stopped"

    def _score(self, trial: TrialRun) -> SweepEnd:
        assert trial.run is not None
        record = run_record.read(trial.run)
        scores = record.after.scores if record.after else {}
        metric = self.settings.metric
        if metric not in scores:
            self._end(trial, "failed", reason=f"no {metric}")
            raise error("E133", name="--metric", reason=one_of(scores), value=metric)
        if scores[metric] is None:
            return self._end(trial, "failed", reason=f"{metric} is not a number")
        costs = {
            "train_seconds": record.seconds.get("train"),
            "trainable_parameters": record.result.trainable_parameters,
        }
        return self._end(trial, "complete", scores[metric], **costs)

    def _end(self, trial: TrialRun, state: SweepEnd, value: float | None = None, **notes: Any) -> SweepEnd:
        seconds = trial.run.seconds() if trial.run else None
        self.search.note(trial.number, seconds=seconds, **notes)
        self.search.tell(trial.number, state, value)
        trial.lock.release()
        self.write_record()
        return state

    @property
    def best(self) -> TrialRecord | None:
        """The trial with the best score; of equals the first."""
        done = [trial for trial in self.search.trials() if trial.value is not None]
        sign = -1 if self.search.is_higher_better else 1
        return min(done, key=lambda trial: sign * float(trial.value or 0.0), default=None)

    def parameters(self, record: TrialRecord) -> dict[str, object]:
        """What a trial picked, by path of the config."""
        return search_space.parameters(self.axes, record.picked)

    def runs(self) -> list[RunDir]:
        """The runs of completed trials in this folder; other machines have their own."""
        done = {trial.notes.get("run") for trial in self.search.trials() if trial.state == "complete"}
        return [run for run in run_dir.list_runs(self.folder) if str(run.path) in done]

    def write_best(self) -> Path | None:
        """The best setting as a config file that trains it again; None while there is none."""
        best = self.best
        if best is None:
            return None
        loaded = self.settings.config.load(search_space.settings(self.axes, best.picked), equal=self.equal)
        run = load_config.patch(start_run.with_absolute_paths(loaded.run), {"run.name": None, "run.output_dir": None})
        path = self.folder / BEST_FILE
        atomic_io.write_text(path, load_config.to_yaml(run))
        return path

    def record(self) -> SweepRecord:
        """All trials by number, the best of them, its config, and how much each setting mattered."""
        best = self.best
        config = self.folder / BEST_FILE
        return SweepRecord(
            metric=self.settings.metric,
            trials=[
                StoredTrial(
                    number=trial.number,
                    state=trial.state,
                    value=trial.value,
                    params=self.parameters(trial),
                    run=trial.notes.get("run"),
                    seconds=trial.notes.get("seconds"),
                    train_seconds=trial.notes.get("train_seconds"),
                    trainable_parameters=trial.notes.get("trainable_parameters"),
                    reason=trial.notes.get("reason"),
                )
                for trial in self.search.trials()
            ],
            best=best.number if best else None,
            config=str(config) if config.is_file() else None,
            importance=self.search.importance(),
        )

    def write_record(self) -> None:
        """Write down what is known now, for faces that look at the folder: the storage may be far, and needs Optuna."""
        with FileLock(self.folder / LOCK_FILE):  # of two processes the later one knows more
            write_record(self.folder, self.record())

    def to_json(self) -> dict[str, Any]:
        """The record with stable names, in English."""
        return {"schema": file_names.SCHEMA, **self.record().model_dump(mode="json")}


def open_sweep(settings: SweepSettings, folder: Path, *, reporter: Reporter) -> Sweep:
    """The sweep of a folder, started now or earlier.

    Raises: ExportError E601 without Optuna; ConfigError E103, E115, E126 if the folder holds something else, E128, E133; what
    planning raises.
    """
    check_installed()
    settings.check()
    folder = folder.expanduser().resolve()
    identity = settings.identity()
    file = folder / SWEEP_FILE
    if not read_optional(file, ComparisonIdentity):
        grid.refuse_folder_of_others(folder, own=(SWEEP_FILE, LOCKS, LOCK_FILE))
    planned = None if file.is_file() else _shared(settings, reporter=reporter)
    atomic_io.make_folder(folder / LOCKS)
    with FileLock(folder / LOCK_FILE):
        if not file.is_file():
            atomic_io.write_json(file, {"schema": file_names.SCHEMA, "id": secrets.token_hex(8), "ask": identity})
        own = read_object(file, ComparisonIdentity)
        if own.ask != identity:
            raise error("E126", path=str(folder))
        url = settings.storage or f"sqlite:///{folder / STORAGE_FILE}"
        search = open_search(url, settings.name, is_higher_better=METRICS[settings.metric].is_higher_better)
        shared = search.shared() or search.share(planned or _shared(settings, reporter=reporter))
    axes = [SearchAxis.from_json(axis) for axis in shared["axes"]]
    sweep = Sweep(settings, folder, own.id, search, axes, shared["first"], shared["equal"], shared["rows"])
    if search.trials():  # a kill may have come between the end of a trial and its record
        sweep.write_record()
    return sweep


def _shared(settings: SweepSettings, *, reporter: Reporter) -> dict[str, object]:
    """What all trials share, from the plan of the unchanged config. Raises: what planning raises; ConfigError E109, E133."""
    loaded = settings.config.load()
    plan = start_run.plan_for(loaded, reporter=reporter)
    if not plan.facts.data.num_held_out:
        reason = N_("there are no held-out rows to rank trials by")
        fix = "--set data.holdout=0.1"
        raise error("E109", first="sweep", second="data.holdout=0", reason=reason, fix=fix)
    metrics = _metrics(plan)
    if settings.metric not in metrics:
        raise error("E133", name="--metric", reason=one_of(metrics), value=settings.metric)
    axes = search_space.axes_for(settings.space, plan, loaded.origins)
    return {
        "axes": [axis.to_json() for axis in axes],
        "first": search_space.at_plan(axes, plan.run),
        "equal": grid.equal_of(plan.run),
        "rows": plan.facts.data.fingerprint,
    }


def _metrics(plan: Plan) -> list[str]:
    """The scores that the trials can have; losses alone where no answers are generated."""
    has_answers = plan.run.eval.rows != 0 or not TASKS[plan.run.task].writes
    names = metrics_of(plan.run.task, plan.facts.data.problem_type)
    return [name for name in names if has_answers or is_loss(name)]


def default_folder(settings: SweepSettings) -> Path:
    """runs/sweep-<data>-<6 letters>: the same for the same settings, so that the same command continues."""
    return run_dir.runs_root() / settings.name


def _existing_run(path: Path) -> RunDir | None:
    """The run of a folder, if there is one. Raises: TrainingError E525 for one that is damaged."""
    if not run_dir.is_run(path):
        return None
    run = RunDir(path)
    run.info()
    return run


def _in_english(problems: Iterable[Problem]) -> str:
    """Codes and sentences, for programs."""
    return "; ".join(f"{problem.code} {problem.to_json()['message']}" for problem in problems)


def _is_of_the_setting(fault: TunewrightError) -> bool:
    """Whether the error depends on the setting, so that another one may be trained."""
    codes = {problem.code for problem in fault.problems}
    return codes == {"E401"} or (isinstance(fault, ConfigError | ModelError) and "E127" not in codes)
