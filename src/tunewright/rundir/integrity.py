"""Are the files of a run, or of a folder that came from one, as they were when they were sealed? Nothing is changed here."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tunewright.errors import ModelError
from tunewright.inspection.weight_shards import weight_files
from tunewright.planning.run_plan import Plan
from tunewright.rundir import file_names
from tunewright.rundir.base_fingerprint import changes
from tunewright.rundir.checkpoints import NAME, CheckpointFault, faults, read_manifest
from tunewright.rundir.run_dir import RunDir

IntegrityKind = Literal["adapter", "checkpoint", "folder", "base"]


@dataclass(frozen=True)
class IntegrityReport:
    """One sealed folder: how many files its manifest names, and what is wrong with them."""

    path: Path
    kind: IntegrityKind
    step: int | None
    files: int
    faults: tuple[CheckpointFault, ...]

    def to_json(self) -> dict[str, object]:
        return {**vars(self), "path": str(self.path), "faults": [vars(fault) for fault in self.faults]}


def check_folder(folder: Path) -> IntegrityReport:
    """Every file of a folder against its manifest. Cost: each byte is read once."""
    return _checked(folder, "folder")


def check_run(run: RunDir) -> list[IntegrityReport]:
    """The base of a run, then its checkpoints by step, then its adapter, which a finished run must have.

    A checkpoint that a live run removes meanwhile is left out; so is a base of which nothing was written down.
    """
    reports = [checked for checked in _of_run(run) if checked.path.exists() or checked.kind == "adapter"]
    return [*_base(run.plan()), *reports] if run.file(file_names.PLAN).is_file() else reports


def _base(plan: Plan) -> Iterator[IntegrityReport]:
    """Weights, tokenizer and template against the digests that the plan holds; every byte is read, whatever the cache says."""
    if not plan.facts.model.contents.weights:
        return
    folder = Path(plan.facts.model.folder)
    try:
        changed = [CheckpointFault(change.what, "changed") for change in changes(plan, use_cache=False)]
        yield IntegrityReport(folder, "base", None, len(weight_files(folder)) + 1, tuple(changed))
    except (OSError, ModelError):
        yield IntegrityReport(
            folder, "base", None, 0, (CheckpointFault(folder.name, "unreadable" if folder.is_dir() else "missing"),)
        )


def _of_run(run: RunDir) -> Iterator[IntegrityReport]:
    matches = ((NAME.fullmatch(path.name), path) for path in run.checkpoints_dir.glob("checkpoint-*"))
    for step, path in sorted((int(match[1]), path) for match, path in matches if match):
        yield _checked(path, "checkpoint", step)
    if run.adapter_dir.exists() or run.state() == "finished":
        yield _checked(run.adapter_dir, "adapter")


def _checked(folder: Path, kind: IntegrityKind, step: int | None = None) -> IntegrityReport:
    manifest = read_manifest(folder)
    if step is None and manifest is not None:
        step = manifest.step or None  # an adapter's is 0: it is the best of all steps
    return IntegrityReport(folder, kind, step, len(manifest.files) if manifest else 0, tuple(faults(folder)))
