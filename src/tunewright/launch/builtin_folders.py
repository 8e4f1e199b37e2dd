"""Built-in models on this machine: what each takes, and its removal."""

from dataclasses import dataclass
from pathlib import Path

from tunewright.errors import TrainingError
from tunewright.inspection.builtin_models import BUNDLED, BuiltinModel, Wheel, builtin_model, download_bytes
from tunewright.rundir import atomic_io, run_queue
from tunewright.rundir.run_dir import RunDir, folder_bytes, owned
from tunewright.security import cache_faults, home


@dataclass(frozen=True)
class BuiltinModelStatus:
    """A built-in model before and after it is fetched. `package` is what the index sends, `download_bytes` how much."""

    model: BuiltinModel
    package: str
    download_bytes: int
    is_here: bool
    bytes: int
    """On the disk here; 0 of a link."""


def statuses() -> list[BuiltinModelStatus]:
    """All built-in models."""
    return [_status(model) for model in BUNDLED.values()]


def remove(name: str) -> int:
    """Remove a built-in model from this machine; the bytes that are free now. It is fetched again when it is next needed.

    Raises: ModelError E302 for another name; TrainingError E505 while a run on it is live, E517.
    """
    folders = _folders(builtin_model(name))
    for run in run_queue.running():
        if _base(run) in folders:
            raise owned(run)
    freed = sum(map(folder_bytes, folders))
    with cache_faults():
        for folder in folders:
            atomic_io.remove_folder(folder)
    return freed


def _base(run: RunDir) -> Path | None:
    try:
        return Path(run.plan().facts.model.folder)
    except TrainingError:
        return None


def _status(model: BuiltinModel) -> BuiltinModelStatus:
    source = model.source if isinstance(model.source, Wheel) else BUNDLED[model.source].source
    assert isinstance(source, Wheel)
    folders = _folders(model)
    package = f"{source.package} {source.version}"
    return BuiltinModelStatus(model, package, download_bytes(model), bool(folders), sum(map(folder_bytes, folders)))


def _folders(model: BuiltinModel) -> list[Path]:
    return [path for path in (home() / "models").glob(f"{model.name}-*") if path.is_dir()]
