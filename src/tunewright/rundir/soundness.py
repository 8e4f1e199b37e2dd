"""Are the files of a run, or of a folder that came from one, as they were when they were sealed? Nothing is changed here."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tunewright.errors import ModelError
from tunewright.facts.shards import weight_files
from tunewright.planning.plan import Plan, from_json
from tunewright.rundir import layout
from tunewright.rundir.checkpoints import NAME, Fault, faults, read_manifest
from tunewright.rundir.contents import changes
from tunewright.rundir.store import RunDir

Kind = Literal["adapter", "checkpoint", "folder", "base"]


@dataclass(frozen=True)
class Checked:
    """One sealed folder: how many files its manifest names, and what is wrong with them."""

    path: Path
    kind: Kind
    step: int | None
    files: int
    faults: tuple[Fault, ...]

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "path": str(self.path), "faults": [vars(fault) for fault in self.faults]}


def check_folder(folder: Path) -> Checked:
    """Every file of a folder against its manifest. Cost: each byte is read once."""
    return _checked(folder, "folder")


def check_run(run: RunDir) -> list[Checked]:
    """The base of a run, then its checkpoints by step, then its adapter, which a finished run must have.

    A checkpoint that a live run removes meanwhile is left out; so is a base of which nothing was written down.
    """
    found = [checked for checked in _of_run(run) if checked.path.exists() or checked.kind == "adapter"]
    return [*_base(from_json(run.plan())), *found] if run.file(layout.PLAN).is_file() else found


def _base(plan: Plan) -> Iterator[Checked]:
    """Weights, tokenizer and template against the digests that the plan holds; every byte is read, whatever the cache says."""
    if not plan.facts.model.contents.weights:
        return
    folder = Path(plan.facts.model.folder)
    try:
        changed = [Fault(change.what, "changed") for change in changes(plan, anew=True)]
        yield Checked(folder, "base", None, len(weight_files(folder)) + 1, tuple(changed))
    except (OSError, ModelError):
        yield Checked(folder, "base", None, 0, (Fault(folder.name, "unreadable" if folder.is_dir() else "missing"),))


def _of_run(run: RunDir) -> Iterator[Checked]:
    found = ((NAME.fullmatch(path.name), path) for path in run.checkpoints_dir.glob("checkpoint-*"))
    for step, path in sorted((int(match[1]), path) for match, path in found if match):
        yield _checked(path, "checkpoint", step)
    if run.adapter_dir.exists() or run.state() == "finished":
        yield _checked(run.adapter_dir, "adapter")


def _checked(folder: Path, kind: Kind, step: int | None = None) -> Checked:
    manifest = read_manifest(folder)
    if step is None and manifest is not None:
        step = manifest.get("step") or None  # an adapter's is 0: it is the best of all steps
    return Checked(folder, kind, step, len(manifest["files"]) if manifest else 0, tuple(faults(folder)))
