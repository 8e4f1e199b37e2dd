"""The files of a run that are given away by name: a fixed list, nothing else of the folder can be asked for."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tunewright.errors import ModelError
from tunewright.rundir import file_names
from tunewright.rundir.checkpoints import read_manifest
from tunewright.rundir.run_dir import RunDir
from tunewright.security import check_link


@dataclass(frozen=True)
class RunFile:
    """A file under its name in the run's folder. `sha256` is that of the seal; empty for files that have none."""

    name: str
    path: Path
    bytes: int
    sha256: str = ""


def run_files(run: RunDir) -> list[RunFile]:
    """The adapter as it was sealed, and the config and plan that trained it. Links that lead out of the run are left out."""
    return [file for file in _candidates(run) if _is_inside(run, file.path)]


def _candidates(run: RunDir) -> Iterator[RunFile]:
    manifest = read_manifest(run.adapter_dir)
    for name, sealed in sorted(manifest.files.items()) if manifest else ():
        yield RunFile(f"{file_names.ADAPTER}/{name}", run.adapter_dir / name, sealed.bytes, sealed.sha256)
    for name in (file_names.CONFIG, file_names.PLAN):
        path = run.file(name)
        if path.is_file():
            yield RunFile(name, path, path.stat().st_size)


def _is_inside(run: RunDir, path: Path) -> bool:
    try:
        check_link(run.path, path)
    except ModelError:
        return False
    return path.is_file()
