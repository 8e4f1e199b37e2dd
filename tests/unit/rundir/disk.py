"""Disks that fail, for `durable.perform`: they count operations and strike at one of them; and what a power cut leaves.

A process that died does nothing more, so after a death every further operation dies too, those of a clean-up as well.
Nothing is really brought to the disk here: `Cache` knows what would have been.
"""

import errno
import itertools
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tunewright.rundir import atomic_io

ERRORS = (errno.ENOSPC, errno.EIO, errno.EFBIG)
NEEDS_ROOM = (atomic_io._make, atomic_io._write, atomic_io._append)


class Died(BaseException):
    """The process is gone."""


@dataclass
class Disk:
    """Strikes at operation `at`: `exit` before it, `half` in its middle, or an error number.

    A lasting error meets, from there on, all that needs room.
    """

    at: int = -1
    how: str | int = "exit"
    is_lasting: bool = False
    cache: "Cache | None" = None
    count: int = 0
    is_dead: bool = False
    has_struck: bool = False

    def perform(self, operation: Callable[..., None], *arguments: Any) -> None:
        if self.is_dead:
            raise Died
        self.has_struck = self.has_struck or self.count == self.at
        is_struck = operation in NEEDS_ROOM and self.has_struck if self.is_lasting else self.count == self.at
        self.count += 1
        if is_struck:
            self._strike(operation, *arguments)
        if operation is not atomic_io._fsync:
            operation(*arguments)
        if self.cache:
            self.cache.note(operation, *arguments)

    def _strike(self, operation: Callable[..., None], *arguments: Any) -> None:
        if self.how != "exit":
            half(operation, *arguments)
        if isinstance(self.how, int):
            raise OSError(self.how, os.strerror(self.how))
        self.is_dead = True
        raise Died


def half(operation: Callable[..., None], *arguments: Any) -> None:
    """The first part of an operation that has parts."""
    if operation is atomic_io._write or operation is atomic_io._append:
        path, content = arguments
        with path.open("wb" if operation is atomic_io._write else "ab") as file:
            file.write(content[: len(content) // 2])
    elif operation is atomic_io._remove:
        files = sorted(path for path in arguments[0].rglob("*") if path.is_file())
        for path in files[: (len(files) + 1) // 2]:
            path.unlink()


@dataclass(eq=False)
class Node:
    """A file or folder: as the system shows it, and as it stands on the disk."""

    is_folder: bool
    content: bytes = b""
    names: dict[str, "Node"] = field(default_factory=dict)
    disk_content: bytes = b""
    disk_names: dict[str, "Node"] = field(default_factory=dict)


@dataclass
class Change:
    """Not on the disk yet: new content of a file, or names that come and go together, as in a rename."""

    holder: Node
    content: bytes | None = None
    gone: tuple[Node, str, Node] | None = None
    come: tuple[Node, str, Node] | None = None


class Cache:
    """What is on the disk and what only in memory. An fsync of a file brings its content, of a folder its names.

    The rest may be there after a power cut or not, each change by itself; content that is not may be cut or zeroed too.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tree = self._read(root)
        self.waiting: list[Change] = []

    def _read(self, path: Path) -> Node:
        if path.is_file():
            return Node(False, path.read_bytes(), {}, path.read_bytes())
        names = {child.name: self._read(child) for child in path.iterdir()}
        return Node(True, b"", names, b"", dict(names))

    def _find(self, path: Path) -> Node:
        node = self.tree
        for name in path.relative_to(self.root).parts:
            node = node.names[name]
        return node

    def note(self, operation: Callable[..., None], path: Path, *more: Any) -> None:
        if operation is atomic_io._fsync:
            self._flush(self._find(path))
        elif operation is atomic_io._rename:
            source, target, node = self._find(path.parent), self._find(more[0].parent), self._find(path)
            del source.names[path.name]
            target.names[more[0].name] = node
            self.waiting.append(Change(target, None, (source, path.name, node), (target, more[0].name, node)))
        elif operation is atomic_io._remove:
            self._forget(self._find(path.parent), path.name)
        else:
            self._put(path, more[0] if more else None, is_added=operation is atomic_io._append)

    def _put(self, path: Path, content: bytes | None, *, is_added: bool) -> None:
        parent = self._find(path.parent)
        node = parent.names.get(path.name)
        if node is None:
            node = parent.names[path.name] = Node(content is None)
            self.waiting.append(Change(parent, None, None, (parent, path.name, node)))
        if content is not None:
            node.content = path.read_bytes() if is_added else content
            self.waiting.append(Change(node, node.content))

    def _forget(self, parent: Node, name: str) -> None:
        node = parent.names.get(name)
        if node is None:
            return
        for child in list(node.names):
            self._forget(node, child)
        del parent.names[name]
        self.waiting.append(Change(parent, None, (parent, name, node)))

    def _flush(self, node: Node) -> None:
        for change in [change for change in self.waiting if change.holder is node]:
            self.waiting.remove(change)
            if change.content is not None:
                node.disk_content = change.content
            _rename_in(change, lambda folder: folder.disk_names)

    def after_power_cuts(self, rng: random.Random, num_random: int) -> Iterator[Callable[[Path], None]]:
        """Writers of what may be there afterwards: every beginning of the waiting changes, then random choices."""
        num = len(self.waiting)
        for length in range(num + 1):
            yield self._writer([position < length for position in range(num)], ["whole"] * num)
            yield self._writer([position < length for position in range(num)], ["zeroed"] * num)
        for _ in range(num_random if num else 0):
            is_on_disk = [rng.random() < 0.5 for _ in range(num)]
            yield self._writer(is_on_disk, rng.choices(["whole", "cut", "zeroed"], k=num))

    def _writer(self, is_on_disk: list[bool], forms: list[str]) -> Callable[[Path], None]:
        names: dict[Node, dict[str, Node]] = {}
        contents: dict[Node, bytes] = {}

        def names_of(folder: Node) -> dict[str, Node]:
            return names.setdefault(folder, dict(folder.disk_names))

        for change, _, form in itertools.compress(zip(self.waiting, is_on_disk, forms, strict=True), is_on_disk):
            if change.content is not None:
                whole = change.content
                cut = whole[: len(whole) // 2]
                contents[change.holder] = {"whole": whole, "cut": cut, "zeroed": bytes(len(whole))}[form]
            _rename_in(change, names_of)

        def write(node: Node, path: Path) -> None:
            if not node.is_folder:
                path.write_bytes(contents.get(node, node.disk_content))
                return
            path.mkdir()
            for name, child in names_of(node).items():
                write(child, path / name)

        return lambda target: write(self.tree, target)


def _rename_in(change: Change, names_of: Callable[[Node], dict[str, Node]]) -> None:
    if change.gone:
        folder, name, node = change.gone
        if names_of(folder).get(name) is node:
            del names_of(folder)[name]
    if change.come:
        folder, name, node = change.come
        names_of(folder)[name] = node


def on(disk: Disk, act: Callable[[], Any]) -> BaseException | None:
    """Do something on such a disk; how it ended."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(atomic_io, "perform", disk.perform)
        try:
            act()
        except (Died, OSError) as fault:
            return fault
    return None


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file below, by relative name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
