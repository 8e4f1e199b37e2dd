"""Checkpoints that count only if their manifest agrees. No ML inside: files, digests, names, order.

A checkpoint is staged under a hidden name, its manifest is written last, and one rename publishes it. It is *sealed* if
its manifest is whole and of this run and lists exactly the files that are there. What is not sealed is never picked,
never rotated, never deleted. Order is that of steps; no clock is asked.
"""

import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Literal

from tunewright.errors import exists_already
from tunewright.i18n import N_, Phrase
from tunewright.rundir import atomic_io
from tunewright.security import is_plain

MANIFEST = "manifest.json"
TOTALS = "totals.json"  # tokens and seconds of training up to this step
NAME = re.compile(r"checkpoint-(0|[1-9][0-9]*)")
FIELDS = {"format", "run", "step", "files", "identity"}
Harm = Literal["damaged", "missing", "extra", "unreadable", "changed"]
LEAST_KEPT = 2  # with only one, damage to it would be the end of the run


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class FileDigest:
    """A sealed file's size and digest."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a folder was sealed with: its run and step, its files by relative name, and what it was made from."""

    run: str
    step: int
    files: Mapping[str, FileDigest]
    identity: Mapping[str, object]


def _digest(manifest: Mapping[str, object]) -> str:
    body = {key: value for key, value in manifest.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _files(folder: Path) -> dict[str, Path]:
    """Every file of a folder but its manifest, by relative name."""
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if not path.is_dir()}
    files.pop(MANIFEST, None)
    return files


def seal(folder: Path, *, run_id: str, step: int, identity: Mapping[str, object]) -> None:
    """Bring a staged folder to the disk and write its manifest: the last file to be written in it."""
    atomic_io.sync_folder(folder)
    files = {name: {"bytes": path.stat().st_size, "sha256": sha256(path)} for name, path in _files(folder).items()}
    manifest: dict[str, object] = {"format": 1, "run": run_id, "step": step, "files": files, "identity": dict(identity)}
    manifest["sha256"] = _digest(manifest)
    atomic_io.write_json(folder / MANIFEST, manifest)


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest if it is whole and names files of its folder alone, else None."""
    try:
        if not (folder / MANIFEST).is_file():  # a pipe would be waited for
            return None
        stored = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if stored["sha256"] != _digest(stored) or not stored.keys() >= FIELDS:
            return None
        files = {name: FileDigest(entry["bytes"], entry["sha256"]) for name, entry in stored["files"].items()}
        # A folder may come from anybody, and its manifest is not read as paths to elsewhere.
        is_plain_folder = all(is_plain(name) for name in files)
        return Manifest(stored["run"], stored["step"], files, stored["identity"]) if is_plain_folder else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


HARMED = N_("{checkpoint}: {file} is {harm}")


@dataclass(frozen=True)
class CheckpointFault:
    """A file that is not as its folder's manifest says."""

    file: str
    kind: Harm


def faults(folder: Path, digest: Callable[[Path], str] = sha256) -> Iterator[CheckpointFault]:
    """Every file that has changed since it was sealed. Without a valid manifest this is the only problem, as no more is known."""
    manifest = read_manifest(folder)
    if manifest is None:
        yield CheckpointFault(MANIFEST, "damaged" if (folder / MANIFEST).is_file() else "missing")
        return
    present = _files(folder)
    for name, expected in manifest.files.items():
        if name not in present:
            yield CheckpointFault(name, "missing")
        elif kind := _harm(present[name], expected, digest):
            yield CheckpointFault(name, kind)
    yield from (CheckpointFault(name, "extra") for name in present if name not in manifest.files)


def _harm(path: Path, expected: FileDigest, digest: Callable[[Path], str]) -> Harm | None:
    """What happened to a file that is there."""
    try:
        is_same = path.is_file() and path.stat().st_size == expected.bytes and digest(path) == expected.sha256
    except OSError:
        return "unreadable"
    return None if is_same else "damaged"


def damage(folder: Path) -> str:
    """What is wrong with a checkpoint, in one phrase; empty if nothing is. Files that were added do not harm it."""
    fault = next((fault for fault in faults(folder) if fault.kind != "extra"), None)
    if fault is None:
        return ""
    if fault.file == MANIFEST:
        return Phrase(N_("{checkpoint}: the manifest is missing or damaged"), checkpoint=folder.name)
    return Phrase(HARMED, checkpoint=folder.name, file=fault.file, harm=Phrase(fault.kind))


@dataclass(frozen=True)
class CheckpointStore:
    """The checkpoints of one run."""

    folder: Path
    run_id: str

    def save(
        self,
        step: int,
        fill: Callable[[Path], None],
        identity: Mapping[str, object],
        *,
        keep: int,
        best_step: int | None = None,
        best_before: int | None = None,
    ) -> None:
        """Publish what `fill` writes into the folder it is given, then rotate.

        Where the disk refuses there is a second try; if it is full, older checkpoints make room for that, all but the
        newest two and both best ones.
        Raises: OSError if that failed too, with no part of it left; ConfigError E115 where a foreign folder has the name.
        """
        try:
            self._publish(step, fill, identity)
        except OSError as fault:
            if fault.errno in atomic_io.NO_ROOM:
                self.rotate(LEAST_KEPT, (best_step, best_before))
            for folder in filter(Path.is_dir, (self.folder.parent, self.folder)):
                atomic_io.fsync(
                    folder
                )  # it may be theirs that failed, and what has its name already is not named again
            self._publish(step, fill, identity)
        self.rotate(keep, (best_step,))

    def _publish(self, step: int, fill: Callable[[Path], None], identity: Mapping[str, object]) -> None:
        target = self.folder / f"checkpoint-{step}"
        if target.exists() and self._is_foreign(target):
            raise exists_already(target)
        if target.exists() and not self._fault(step, target):
            return
        with atomic_io.staging(self.folder) as staged:
            content = staged / target.name
            atomic_io.make_folder(content)
            fill(content)
            seal(content, run_id=self.run_id, step=step, identity=identity)
            if target.exists():
                self._set_aside(step, target)
            atomic_io.move_folder(content, target)

    def _named(self) -> list[tuple[int, Path]]:
        """Folders with a checkpoint's name, by step, whoever made them."""
        matches = [(NAME.fullmatch(path.name), path) for path in self.folder.glob("checkpoint-*") if path.is_dir()]
        return sorted((int(match[1]), path) for match, path in matches if match)

    def _is_foreign(self, folder: Path) -> bool:
        """Made by somebody else: a whole manifest of another run, or none of the files that only we write."""
        manifest = read_manifest(folder)
        if manifest is None:
            return not any((folder / name).exists() for name in (MANIFEST, TOTALS))
        return manifest.run != self.run_id

    def _unsealed(self, step: int, folder: Path) -> str:
        """Why a folder of ours is not a checkpoint, by its manifest and its files' names; empty if it is one."""
        manifest = read_manifest(folder)
        if manifest is None:
            return damage(folder)
        if (manifest.run, manifest.step) != (self.run_id, step):
            text = N_("{checkpoint}: the manifest is that of step {step} of run {run}")
            return Phrase(text, checkpoint=folder.name, step=manifest.step, run=manifest.run)
        odd = sorted(manifest.files.keys() ^ _files(folder).keys())
        if odd:
            harm = N_("missing") if odd[0] in manifest.files else N_("not in the manifest")
            return Phrase(HARMED, checkpoint=folder.name, file=odd[0], harm=harm)
        return ""

    def _fault(self, step: int, folder: Path) -> str:
        return self._unsealed(step, folder) or damage(folder)

    def _set_aside(self, step: int, folder: Path) -> Path:
        names = (self.folder / f".corrupt-{step}-{number}" for number in count())
        target = next(path for path in names if not path.exists())
        atomic_io.move_folder(folder, target)
        return target

    def own(self) -> list[tuple[int, Path]]:
        """Our sealed checkpoints by step, oldest first; what is in their files is not verified here."""
        return [(step, path) for step, path in self._named() if not self._unsealed(step, path)]

    def newest_valid(self) -> tuple[Path | None, list[str]]:
        """The newest checkpoint that verifies, and the problems of newer ones.

        Those of ours are set aside under another name, not deleted; those of others stay unchanged.
        """
        messages: list[str] = []
        for step, path in reversed(self._named()):
            if self._is_foreign(path):
                messages.append(
                    Phrase(N_("{checkpoint}: not a checkpoint of this run, left alone"), checkpoint=path.name)
                )
                continue
            fault = self._fault(step, path)
            if not fault:
                return path, messages
            messages.append(
                Phrase(N_("{fault}; set aside as {name}"), fault=fault, name=self._set_aside(step, path).name)
            )
        return None, messages

    def rotate(self, keep: int, best_steps: Collection[int | None] = ()) -> list[int]:
        """Remove old checkpoints by step: the newest `keep` and the best stay; what cannot be removed now stays too.

        Nothing goes if the newest does not verify; of the others the manifest must do.
        """
        assert keep >= LEAST_KEPT
        own = self.own()
        going = [(step, path) for step, path in own[:-keep] if step not in best_steps]
        if not going or damage(own[-1][1]):
            return []
        gone = []
        for step, path in going:
            with suppress(OSError):
                atomic_io.remove_folder(path)
                gone.append(step)
        return gone
