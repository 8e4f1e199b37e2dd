"""A sweep: ordinary runs in one folder, each with the setting that a search proposes, until there are enough of them.

What a sweep knows lies in two places that survive a kill: the search's storage holds the trials, the folder their runs. A
trial is worked on by who holds its lock, which the system takes back from the dead; whoever finds an open trial of this
folder unlocked goes on with it where its run is. So nothing is lost and nothing is run twice, whatever is killed when.
"""

import hashlib
import json
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from tunewright.compare import record, space
from tunewright.compare.metrics import METRICS
from tunewright.compare.search import Search, Tried, check_installed, open_search
from tunewright.compare.space import Axis
from tunewright.errors import ModelError, Problem, SpecError, TunewrightError, error
from tunewright.flow import cells, start
from tunewright.flow.fetch import Note
from tunewright.flow.gather import Progress
from tunewright.i18n import N_
from tunewright.rundir import durable, layout, store, targets
from tunewright.rundir.reading import read_object, read_optional
from tunewright.rundir.shapes import Identity
from tunewright.rundir.store import RunDir
from tunewright.spec import load as spec
from tunewright.spec.load import Loaded
from tunewright.spec.problems import one_of

SWEEP_FILE, STORAGE_FILE, LOCK_FILE, LOCKS = "sweep.json", "sweep.db", "sweep.lock", "locks"
BEST_FILE = "best.yaml"
LOSS = "held_out_loss"
MOST_LOSSES = 3  # of all processes of a trial's run, before the trial counts as failed
End = Literal["complete", "pruned", "failed", "stopped", "lost"]


@dataclass(frozen=True)
class Sought:
    """What is searched for: the best setting of a config by a score; `space` is what was said about where to look.

    `storage` is the URL of a database that several machines share; none keeps an SQLite file in the folder.
    """

    config: cells.Grid
    space: Sequence[Axis] = ()
    metric: str = LOSS
    storage: str | None = None

    @property
    def name(self) -> str:
        """The same for the same ask, on every machine, wherever its files lie there."""
        return f"sweep-{cells.data_name(self.config.load().run)}-{self.identity()[:6]}"

    def identity(self) -> str:
        """Digest of the ask with files by their names alone."""
        run = self.config.load().run
        run = spec.patch(run, {path: file.name for path, file in start.files_of(run).items()})
        told = {
            "run": run.model_dump(mode="json", exclude={"run"}),
            "space": [axis.to_json() for axis in self.space],
            "metric": self.metric,
        }
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    def check(self) -> None:
        """Raises: SpecError with everything that is wrong with the space or the metric."""
        if self.metric not in METRICS:
            raise error("E103", key="--metric", reason=one_of(METRICS), value=self.metric)
        axes = [axis for axis in self.space if axis.path == "method"]
        methods = axes[0].choices if axes else (self.config.load().run.method,)
        cells.check(self.config, [{"method": method} for method in methods])
        ends = [
            {"method": method, axis.path: end}
            for axis in self.space
            for method in methods
            for end in axis.ends
            if axis.path != "method" and (len(methods) == 1 or space.belongs(axis.path, method))
        ]
        cells.check(self.config, ends)


@dataclass
class Trial:
    """A trial that this process works on, as it holds the lock; `run` once there is one."""

    number: int
    lock: FileLock
    run: RunDir | None = None


@dataclass(frozen=True)
class Sweep:
    """A search with the folder of its runs, and what all its trials have in common."""

    sought: Sought
    folder: Path
    owner: str
    search: Search
    axes: Sequence[Axis]
    first: Mapping[str, Any]
    equal: Mapping[str, Any]
    rows: str

    def claim(self, limit: int | None) -> Trial | None:
        """An open trial that nobody works on, else a new one; None if there are as many as `limit`."""
        while True:
            trials = self.search.trials()
            for tried in trials if limit is None else trials[:limit]:
                if self._is_open(tried) and (trial := self._taken(tried.number)):
                    return trial
            if limit is not None and len(trials) >= limit:
                return None
            self.search.add(self.owner)

    def _is_open(self, tried: Tried) -> bool:
        return tried.state == "running" and tried.told.get("owner") == self.owner

    def _taken(self, number: int) -> Trial | None:
        """The trial with its lock; None if another process has it, or ended it just now."""
        lock = FileLock(self.folder / LOCKS / f"{number}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return None
        if self._is_open(self.search.trial(number)):
            return Trial(number, lock)
        lock.release()
        return None

    def begin(self, trial: Trial, *, force: bool = False, note: Note) -> Sequence[Problem]:
        """Start the trial's run in the background, or let it go on; the problems of a setting that cannot be trained.

        Such a trial is over. Raises: SpecError E126 if another run lies in its place, E127 if the rows are others now; every
        error that no other setting would mend.
        """
        path = self.folder / f"trial-{trial.number:03d}"
        try:
            loaded = self._loaded(trial.number, path)
            trial.run = _made(path) or self._create(loaded, path, force=force, note=note)
        except TunewrightError as fault:
            if not _is_of_the_setting(fault):
                raise
            self._end(trial, "failed", reason=_in_english(fault.problems))
            return fault.problems
        if not cells.is_same(trial.run, loaded):
            raise error("E126", path=str(path))
        self.search.note(trial.number, run=str(path))
        state = trial.run.state()
        if state in ("stopped", "lost") and not self._is_pruned(trial):
            start.resume(trial.run, {})
        elif state == "queued" and not trial.run.info().get("is_launched"):
            trial.run.update_info(is_launched=True)  # before it is, so that nobody who comes later does it again
            start.launch(trial.run)
        return []

    def _loaded(self, number: int, path: Path) -> Loaded:
        seed = self.sought.config.load().run.train.seed
        picked = self.search.propose(number, self.axes, first=self.first, seed=seed)
        place = {"run.name": path.name, "run.output_dir": json.dumps(str(path))}
        return self.sought.config.load(space.settings(self.axes, picked) | place, equal=self.equal)

    def _create(self, loaded: Loaded, path: Path, *, force: bool, note: Note) -> RunDir:
        plan = start.plan_for(loaded, note=note)
        if plan.facts.data.fingerprint != self.rows:
            raise error("E127", path=loaded.run.data.train)
        return start.create(loaded, plan, force=force, note=note)

    def follow(self, trial: Trial) -> Iterator[dict[str, Any] | None]:
        """The run's events until it has ended; it is stopped when its held-out losses are worse than those of most others."""
        assert trial.run is not None
        if self._is_pruned(trial) and trial.run.state() != "stopping":
            start.stop(trial.run)
        for event in start.follow(trial.run):
            if event and event["kind"] == "eval" and self._is_hopeless(trial, event):
                # Before the stop, so that whoever comes after a kill knows what it was for.
                self.search.note(trial.number, pruned=event["step"])
                start.stop(trial.run)
            yield event

    def _is_hopeless(self, trial: Trial, event: Mapping[str, Any]) -> bool:
        """Whether a held-out loss ends the trial, which may have been decided already."""
        loss = event["held_out_loss"]
        if loss is None or self._is_pruned(trial):
            return False
        return self.search.report(trial.number, event["step"], loss)

    def _is_pruned(self, trial: Trial) -> bool:
        return "pruned" in self.search.trial(trial.number).told

    def conclude(self, trial: Trial) -> End:
        """Tell the search what became of the run. One that was stopped by hand, or lost, is left open.

        Raises: SpecError E103 if the run has no such score.
        """
        assert trial.run is not None
        state = trial.run.state()
        if state == "finished":
            return self._score(trial)
        if self._is_pruned(trial):
            step = self.search.trial(trial.number).told["pruned"]
            text = f"pruned at step {step}: most other trials had lower held-out losses by then"
            trial.run.events.write("note", text=text)
            return self._end(trial, "pruned")
        if state == "failed":
            return self._end(trial, "failed", reason=_in_english(start.outcome_problems(trial.run)))
        if state == "lost":
            losses = self.search.trial(trial.number).told.get("losses", 0) + 1
            if losses >= MOST_LOSSES:
                return self._end(trial, "failed", reason="its processes were lost again and again")
            self.search.note(trial.number, losses=losses)
        trial.lock.release()
        return "lost" if state == "lost" else "stopped"

    def _score(self, trial: Trial) -> End:
        assert trial.run is not None
        after = record.read(trial.run).after
        scores = after["scores"] if after else {}
        metric = self.sought.metric
        if metric not in scores:
            self._end(trial, "failed", reason=f"no {metric}")
            raise error("E103", key="--metric", reason=one_of(scores), value=metric)
        if scores[metric] is None:
            return self._end(trial, "failed", reason=f"{metric} is not a number")
        return self._end(trial, "complete", scores[metric])

    def _end(self, trial: Trial, state: End, value: float | None = None, **told: Any) -> End:
        seconds = trial.run.seconds() if trial.run else None
        self.search.note(trial.number, seconds=seconds, **told)
        self.search.tell(trial.number, state, value)
        trial.lock.release()
        return state

    @property
    def best(self) -> Tried | None:
        """The trial with the best score; of equals the first."""
        done = [trial for trial in self.search.trials() if trial.value is not None]
        sign = -1 if self.search.is_higher_better else 1
        return min(done, key=lambda trial: sign * float(trial.value or 0.0), default=None)

    def parameters(self, tried: Tried) -> dict[str, Any]:
        """What a trial picked, by path of the config."""
        return space.parameters(self.axes, tried.picked)

    def runs(self) -> list[RunDir]:
        """The runs in this folder that came to their end as trials; those of other machines lie there."""
        done = {trial.told.get("run") for trial in self.search.trials() if trial.state == "complete"}
        return [run for run in store.list_runs(self.folder) if str(run.path) in done]

    def write_best(self) -> Path | None:
        """The best setting as a config file that trains it again; None while there is none."""
        best = self.best
        if best is None:
            return None
        loaded = self.sought.config.load(space.settings(self.axes, best.picked), equal=self.equal)
        run = spec.patch(start.with_absolute_paths(loaded.run), {"run.name": None, "run.output_dir": None})
        path = self.folder / BEST_FILE
        durable.write_text(path, spec.to_yaml(run))
        return path

    def to_json(self) -> dict[str, Any]:
        """All trials by number, the best of them, and its config: stable names, English."""
        best, config = self.best, self.folder / BEST_FILE
        return {
            "schema": layout.SCHEMA,
            "metric": self.sought.metric,
            "trials": [
                {
                    "number": trial.number, "state": trial.state, "value": trial.value, "params": self.parameters(trial),
                    "run": trial.told.get("run"), "seconds": trial.told.get("seconds"), "reason": trial.told.get("reason"),
                }
                for trial in self.search.trials()
            ],
            "best": best.number if best else None,
            "config": str(config) if config.is_file() else None,
            "importance": self.search.importance(),
        }  # fmt: skip


def open_sweep(sought: Sought, folder: Path, *, note: Note, progress: Progress = lambda done, total: None) -> Sweep:
    """The sweep of a folder, begun now or earlier.

    Raises: ExportError E601 without Optuna; SpecError E103, E126 if the folder holds other runs, E128; what planning raises.
    """
    check_installed()
    sought.check()
    folder, identity = folder.resolve(), sought.identity()
    file = folder / SWEEP_FILE
    if not read_optional(file, Identity):
        targets.output_folder(folder, is_new=False)
        if folder.is_dir():
            targets.output_file(folder / BEST_FILE)
    planned = None if file.is_file() else _shared(sought, note=note, progress=progress)
    durable.make_folder(folder / LOCKS)
    with FileLock(folder / LOCK_FILE):
        if not file.is_file():
            if store.list_runs(folder):
                raise error("E126", path=str(folder))
            durable.write_json(file, {"schema": layout.SCHEMA, "id": secrets.token_hex(8), "ask": identity})
        own = read_object(file, Identity)
        if own["ask"] != identity:
            raise error("E126", path=str(folder))
        url = sought.storage or f"sqlite:///{folder / STORAGE_FILE}"
        search = open_search(url, sought.name, is_higher_better=METRICS[sought.metric].is_higher_better)
        shared = search.shared() or search.share(planned or _shared(sought, note=note, progress=progress))
    axes = [Axis.from_json(axis) for axis in shared["axes"]]
    return Sweep(sought, folder, own["id"], search, axes, shared["first"], shared["equal"], shared["rows"])


def _shared(sought: Sought, *, note: Note, progress: Progress) -> dict[str, Any]:
    """What all trials have in common, by the plan of the ask as it stands. Raises: what planning raises; SpecError E109."""
    loaded = sought.config.load()
    plan = start.plan_for(loaded, note=note, progress=progress)
    if not plan.facts.data.num_held_out:
        values: dict[str, Any] = {"first": "sweep", "second": "data.holdout=0", "fix": "--set data.holdout=0.1"}
        raise error("E109", reason=N_("there are no held-out rows to tell a good trial by"), **values)
    axes = space.axes_for(sought.space, plan, loaded.origins)
    return {
        "axes": [axis.to_json() for axis in axes],
        "first": space.at_plan(axes, plan.run),
        "equal": cells.equal_of(plan.run),
        "rows": plan.facts.data.fingerprint,
    }


def default_folder(sought: Sought) -> Path:
    """runs/sweep-<data>-<6 letters>: the same for the same ask, so that the same command goes on where it stopped."""
    return store.runs_root() / sought.name


def _made(path: Path) -> RunDir | None:
    """The run of a folder, if there is one. Raises: TrainingError E525 for one that is damaged."""
    if not store.is_run(path):
        return None
    run = RunDir(path)
    run.info()
    return run


def _in_english(problems: Iterable[Problem]) -> str:
    """Codes and sentences, for programs."""
    return "; ".join(f"{problem.code} {problem.to_json()['message']}" for problem in problems)


def _is_of_the_setting(fault: TunewrightError) -> bool:
    """Whether another setting may well be trained where this one cannot."""
    codes = {problem.code for problem in fault.problems}
    return codes == {"E401"} or (isinstance(fault, SpecError | ModelError) and "E127" not in codes)
