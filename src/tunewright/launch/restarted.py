"""A job that its launcher starts again: the same command finds the run that it began, and goes on with it."""

from pathlib import Path

from tunewright.config.dotted_paths import options_of, value_at
from tunewright.config.load_config import LoadedConfig, load, patch
from tunewright.config.run_config import RunConfig
from tunewright.config.section import AUTO
from tunewright.launch.nodes import PLACE, node_of, placed
from tunewright.launch.start_run import resume, with_absolute_paths
from tunewright.rundir import file_names
from tunewright.rundir.run_dir import RunDir, is_run


def begun(loaded: LoadedConfig) -> RunDir | None:
    """The run that an earlier start of a launcher's job left in its folder; None if this is no launcher, or the first start."""
    if loaded.run.launch.nodes != AUTO or not loaded.run.run.output_dir or node_of() is None:
        return None
    folder = _folder(placed(loaded.run))
    return RunDir(folder) if is_run(folder) else None


def go_on(run: RunDir, loaded: LoadedConfig) -> None:
    """Go on with it in the background, on as many machines as there are now; nothing is left to do where it has finished.

    Raises: TrainingError E502 for a command that asks for another run, and as `start_run.resume`.
    """
    first = RunDir(_folder(loaded.run))
    if is_run(first.path) and first.state() == "finished":
        return
    resume(run, _changes(run, placed(loaded.run)))


def _folder(run: RunConfig) -> Path:
    return Path(run.run.output_dir or "").expanduser().resolve()


def _changes(run: RunDir, wanted: RunConfig) -> dict[str, object]:
    """What a command asks for that is not so in the run, by path."""
    planned = run.plan().run
    config = patch(load(config=run.file(file_names.CONFIG)).run, {path: value_at(planned, path) for path in PLACE})
    old = dict(options_of(config))
    new = dict(options_of(patch(with_absolute_paths(wanted), {"run.output_dir": None})))
    return {path: new.get(path) for path in {**old, **new} if old.get(path) != new.get(path)}
