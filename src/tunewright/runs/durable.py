"""The only code that writes, renames or removes inside a run folder: whole or not at all, and on the disk when done."""

import json
import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file by new content in one step: a reader sees the old or the new one, never a part."""
    staged = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    with staged.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    staged.replace(path)
    fsync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Strict JSON: NaN is a bug of the caller."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False) + "\n")


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    write_text(path, "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows))


def append_line(path: Path, line: str) -> None:
    """One line in one write, so that lines of one writer never mix and only the last can be torn."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, line.encode("utf-8") + b"\n")
    finally:
        os.close(descriptor)


def staging_folder(parent: Path) -> Path:
    """A hidden folder beside the place where its content will stand."""
    parent.mkdir(parents=True, exist_ok=True)
    folder = parent / f".staging-{uuid.uuid4().hex[:12]}"
    folder.mkdir()
    return folder


def publish_folder(staged: Path, target: Path) -> None:
    """Move a finished folder to its place; an older one there is moved aside first and removed last."""
    for path in sorted(staged.rglob("*")):
        if path.is_file():
            fsync_file(path)
    fsync_folder(staged)
    aside = target.with_name(f".trash-{uuid.uuid4().hex[:12]}")
    if target.exists():
        target.rename(aside)
    staged.rename(target)
    fsync_folder(target.parent)
    shutil.rmtree(aside, ignore_errors=True)


def remove_folder(folder: Path) -> None:
    """Rename first, so that a half removed folder never looks like a whole one."""
    trash = folder.with_name(f".trash-{uuid.uuid4().hex[:12]}")
    folder.rename(trash)
    shutil.rmtree(trash, ignore_errors=True)


def sweep(parent: Path) -> None:
    """Remove what dead processes left behind: our own hidden staging and trash folders, nothing else."""
    for pattern in (".staging-*", ".trash-*"):
        for folder in parent.glob(pattern):
            shutil.rmtree(folder, ignore_errors=True)
