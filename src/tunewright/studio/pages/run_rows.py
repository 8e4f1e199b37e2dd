"""Runs as rows: exact names of the folder that the studio was started in, and what a list shows of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tunewright import api
from tunewright.errors import TrainingError, error
from tunewright.planning.run_plan import Plan
from tunewright.report import formatting
from tunewright.rundir import atomic_io, file_names, run_dir
from tunewright.rundir.run_dir import RunDir
from tunewright.rundir.run_overview import RunOverview


def run_named(name: str) -> api.TrainedRun:
    """A run by its exact name: a text of a page is never a path. Raises: ConfigError E113."""
    listed = [run for run in every() if run.name == name]
    if not listed:
        raise error("E113", name=name)
    return listed[0]


def _root() -> Path:
    """The folder of the runs, by the path that the queue knows it by."""
    return Path("runs").resolve()


def every() -> list[api.TrainedRun]:
    """The runs of the folder that the studio was started in, oldest first, without those of `left_out`."""
    listed = api.runs(_root()) if _root().is_dir() else []
    return [run for run in listed if run_dir.is_text(run.name)]


def left_out() -> list[str]:
    """Folders whose names no address can hold, as bytes are written in Python."""
    return [repr(name) for name in api.names_that_are_no_text("runs")]


def groups() -> dict[str, list[api.TrainedRun]]:
    """The runs of sweeps and of grids, by the folder that these have beside the runs."""
    folders = sorted(path for path in _root().iterdir() if path.is_dir()) if _root().is_dir() else []
    alone = {run.path.name for run in every()}
    held = {folder.name: _held_by(folder) for folder in folders if folder.name not in alone}
    return {name: runs for name, runs in held.items() if runs and run_dir.is_text(name)}


def _held_by(folder: Path) -> list[api.TrainedRun]:
    """The runs of a folder; none of one that is not ours to read."""
    try:
        return [run for run in api.runs(folder) if run_dir.is_text(run.name)]
    except TrainingError:
        return []


@dataclass(frozen=True)
class RunRow:
    """A line of the list; texts in the reader's language."""

    name: str
    state: str
    created: float
    task: str = ""
    model: str = ""
    data: str = ""
    scores: str = ""
    seconds: float | None = None
    peak_bytes: int | None = None
    losses: Sequence[float] = ()
    damage: str = ""
    tags: Sequence[str] = ()

    @property
    def text(self) -> str:
        """What a search looks in."""
        return " ".join((self.name, self.state, self.task, self.model, self.data, self.scores, *self.tags)).lower()


def rows(filters: Mapping[str, str]) -> list[RunRow]:
    """The runs that pass `state`, `task`, `model`, `data` (equal) and `q` (words), the newest first."""
    return matching([row for run in reversed(every()) if (row := _row(run))], filters)


def matching(listed: Sequence[RunRow], filters: Mapping[str, str]) -> list[RunRow]:
    """Those of these rows that pass the filters of `rows`."""
    words = filters.get("q", "").lower().split()
    return [
        row
        for row in listed
        if all(filters.get(key, "") in ("", value) for key, value in _keys(row).items())
        and all(word in row.text for word in words)
    ]


def _keys(row: RunRow) -> dict[str, str]:
    return {"state": row.state, "task": row.task, "model": row.model, "data": row.data}


def choices(shown: Sequence[RunRow]) -> dict[str, list[str]]:
    """What the filters offer."""
    return {key: sorted({_keys(row)[key] for row in shown} - {""}) for key in ("state", "task", "model", "data")}


def _row(run: api.TrainedRun) -> RunRow | None:
    """A row; of a run that is not changed any more what was read before is used again. None for one that was just removed."""
    stamps = tuple(atomic_io.stamp(run.dir.file(name)) for name in (*run_dir.MARKS, file_names.TAGS))
    overview, plan, seconds = _read(run.dir, run.state, stamps)
    info, result = overview.info, overview.result
    changed, _size = atomic_io.stamp(run.path)
    if not changed:
        return None
    return RunRow(
        name=run.name,
        state=overview.state,
        created=info.created if info else changed / 1e9,
        task=plan.run.task if plan else "",
        model=formatting.file_name(plan.facts.model.name) if plan else "",
        data=formatting.file_names(plan.run.data.paths) if plan else "",
        scores=formatting.main_change(result, "→"),
        seconds=seconds,
        peak_bytes=result.peak_rss_bytes if result else None,
        losses=overview.losses,
        damage=overview.damage.message() if overview.damage else "",
        tags=overview.tags,
    )


@lru_cache(maxsize=1000)
def _read(
    folder: RunDir, state: str, stamps: tuple[tuple[int, int], ...]
) -> tuple[RunOverview, Plan | None, float | None]:
    """Overview, plan and seconds of a run whose state and files are these."""
    run = api.TrainedRun(folder)
    overview = api.overview(run)
    try:
        return overview, run.plan, run.dir.seconds()
    except TrainingError:
        return overview, None, None
