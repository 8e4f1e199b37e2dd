"""Checkpoints that count only if their manifest agrees. No ML inside: files, digests, names, order.

A checkpoint is staged under a hidden name, its manifest is written last, and one rename publishes it. What is not
sealed by our manifest is never picked, never rotated, never deleted.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tunewright.errors import error
from tunewright.runs import durable

MANIFEST = "manifest.json"
TOTALS = "totals.json"  # tokens and seconds of training up to this step
NAME = re.compile(r"checkpoint-(\d+)")


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(manifest: Mapping[str, Any]) -> str:
    body = {key: value for key, value in manifest.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def seal(folder: Path, *, run_id: str, step: int, identity: Mapping[str, Any]) -> dict[str, Any]:
    """Write the manifest of a staged folder: the last file to be written in it."""
    files = {
        str(path.relative_to(folder)): {"bytes": path.stat().st_size, "sha256": sha256(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
    manifest: dict[str, Any] = {"format": 1, "run": run_id, "step": step, "files": files, "identity": dict(identity)}
    manifest["sha256"] = _digest(manifest)
    durable.write_json(folder / MANIFEST, manifest)
    return manifest


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest if it is whole and names files of its folder alone, else None."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    is_whole = isinstance(manifest, dict) and manifest.get("sha256") == _digest(manifest)
    return manifest if is_whole and _has_our_shape(manifest) else None


def _has_our_shape(manifest: Mapping[str, Any]) -> bool:
    """A folder may come from anybody, and its manifest is not read as paths to elsewhere."""
    files = manifest.get("files")
    return isinstance(files, dict) and all(
        not Path(name).is_absolute() and ".." not in Path(name).parts and isinstance(entry, dict) and "sha256" in entry
        for name, entry in files.items()
    )


@dataclass(frozen=True)
class Fault:
    """A file that is not as its folder's manifest says."""

    file: str
    kind: Literal["damaged", "missing", "extra"]


def faults(folder: Path) -> Iterator[Fault]:
    """Every file that is not as it was sealed. Without a sound manifest that is the one fault, as nothing else is known."""
    manifest = read_manifest(folder)
    if manifest is None:
        yield Fault(MANIFEST, "damaged" if (folder / MANIFEST).is_file() else "missing")
        return
    for name, expected in manifest["files"].items():
        path = folder / name
        if not path.is_file():
            yield Fault(name, "missing")
        elif path.stat().st_size != expected.get("bytes") or sha256(path) != expected["sha256"]:
            yield Fault(name, "damaged")
    present = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != MANIFEST)
    names = (str(path.relative_to(folder)) for path in present)
    yield from (Fault(name, "extra") for name in names if name not in manifest["files"])


def damage(folder: Path) -> str:
    """What is wrong with a checkpoint, in one phrase; empty if nothing is. Files that were added do not harm it."""
    fault = next((fault for fault in faults(folder) if fault.kind != "extra"), None)
    if fault is None:
        return ""
    if fault.file == MANIFEST:
        return f"{folder.name}: the manifest is missing or damaged"
    return f"{folder.name}: {fault.file} is {fault.kind}"


@dataclass(frozen=True)
class CheckpointStore:
    """The checkpoints of one run."""

    folder: Path
    run_id: str

    def stage(self) -> Path:
        return durable.staging_folder(self.folder)

    def publish(self, staged: Path, step: int, identity: Mapping[str, Any]) -> Path:
        """Seal a staged folder and give it its name. Raises: SpecError E115 where a folder that is not ours has it."""
        taken = self.folder / f"checkpoint-{step}"
        if taken.exists() and (read_manifest(taken) or {}).get("run") != self.run_id:
            raise error("E115", path=str(taken))
        seal(staged, run_id=self.run_id, step=step, identity=identity)
        target = self.folder / f"checkpoint-{step}"
        durable.publish_folder(staged, target)
        return target

    def own(self) -> list[tuple[int, Path]]:
        """Our sealed checkpoints by step, oldest first; their files are not verified here."""
        found = []
        for path in self.folder.glob("checkpoint-*"):
            match = NAME.fullmatch(path.name)
            manifest = read_manifest(path) if match else None
            if match and manifest and manifest["run"] == self.run_id:
                found.append((int(match[1]), path))
        return sorted(found)

    def newest_valid(self) -> tuple[Path | None, list[str]]:
        """The newest checkpoint that verifies, and what was wrong with the newer ones; those are set aside, not deleted."""
        faults: list[str] = []
        for step, path in reversed(self.own()):
            fault = damage(path)
            if not fault:
                return path, faults
            faults.append(fault)
            number = len(list(self.folder.glob(f".corrupt-{step}-*")))
            path.rename(path.with_name(f".corrupt-{step}-{number}"))
        return None, faults

    def rotate(self, keep: int, best_step: int | None) -> list[int]:
        """Remove old checkpoints by step number: the newest `keep` and the best stay. Nothing goes if the newest is damaged."""
        own = self.own()
        if not own or damage(own[-1][1]):
            return []
        staying = {step for step, _ in own[-keep:]} | ({best_step} if best_step is not None else set())
        gone = [(step, path) for step, path in own if step not in staying]
        for _, path in gone:
            durable.remove_folder(path)
        return [step for step, _ in gone]
