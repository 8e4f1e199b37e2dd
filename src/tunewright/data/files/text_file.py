"""A text file as lines: its encoding, its byte-order marks, its ends of lines."""

import codecs
import csv
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path

from tunewright.data.files.json_scanner import MAX_ROW_BYTES
from tunewright.data.files.text_encodings import UTF8, foreign_encoding, marked_encoding
from tunewright.errors import Where, error
from tunewright.i18n import N_

HEAD_BYTES = 2**20
# Characters. Rows are measured here; a lost quote makes one cell of all lines that are looked at.
_ANY_CELL = 2**31 - 1
_MARK = "\ufeff"
_ARCHIVES = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xd0\xcf\x11\xe0": "xls",
}

TextLine = tuple[int, str, int]  # its number, its text, its size in bytes


@dataclass(frozen=True)
class TextFile:
    """An open file, the first megabyte of its text, and what its lines end in."""

    stream: TextIOWrapper
    head: str
    end: str

    def lines(self) -> Iterator[TextLine]:
        """Number, text with its end, and size in bytes of each line; of a line above the limit only the beginning.

        A mark of byte order in front of a line, as joined files have it, is left out.
        """
        number = 0
        while first := self.stream.readline(MAX_ROW_BYTES + 1):
            number += 1
            size, part = _size(first), first
            while not part.endswith(self.end) and (part := self.stream.readline(MAX_ROW_BYTES + 1)):
                size += _size(part)
            text = first if self.end == "\n" else first.removesuffix(self.end) + "\n"
            yield number, text.removeprefix(_MARK), size

    def read(self) -> str:
        """The whole text."""
        return self.stream.read().removeprefix(_MARK)

    def head_lines(self) -> list[str]:
        """The lines of the first megabyte, without their ends; the last may be cut."""
        return [line.removeprefix(_MARK).rstrip("\r") for line in self.head.split(self.end)]


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(UTF8, "surrogateescape"))


@contextmanager
def open_text(file: Path, encoding: str, extensions: str) -> Iterator[TextFile]:
    """The file as text; bytes that are none stay in it as surrogates, which `text_damage` finds.

    A mark of byte order goes before the `encoding` that was asked for. A file whose lines end in CR alone is read so.
    Raises: DataError E202 for an archive, E205 or E239 if it cannot be in this encoding; OSError.
    """
    csv.field_size_limit(_ANY_CELL)  # global; 128 KiB from the start
    with file.open("rb") as opened:
        head = opened.read(HEAD_BYTES)
        _refuse_archive(head, str(file), extensions)
        name = marked_encoding(head) or encoding
        if name == UTF8 and (likely := foreign_encoding(head)):
            raise _not_utf8(file, head, likely)
        opened.seek(0)
        try:
            start = codecs.getincrementaldecoder(name)("surrogateescape").decode(head)
            end = "\r" if "\r" in start and "\n" not in start else "\n"
            with TextIOWrapper(opened, encoding=name, errors="surrogateescape", newline=end) as stream:
                yield TextFile(stream, start, end)
        except UnicodeError as fault:
            raise error("E205", Where(str(file)), reason=N_("the bytes are not what the encoding allows")) from fault


def _refuse_archive(head: bytes, file: str, extensions: str) -> None:
    for magic, name in _ARCHIVES.items():
        if head.startswith(magic):
            raise error("E202", Where(file), extension=name, extensions=extensions)


def _not_utf8(file: Path, head: bytes, likely: str) -> Exception:
    """E239 at the first byte that is not UTF-8."""
    before = codecs.getincrementaldecoder(UTF8)("surrogateescape").decode(head)
    place = next((place for place, char in enumerate(before) if "\udc80" <= char <= "\udcff"), 0)
    line = before.count("\n", 0, place) + 1
    column = place - (before.rfind("\n", 0, place) + 1) + 1
    better = file.with_name(f"{file.stem}-utf8{file.suffix}")
    command = shlex.join(["iconv", "-f", likely.replace("_", "-"), "-t", "utf-8", str(file)])
    values = {"file": str(file), "encoding": likely, "command": f"{command} > {shlex.quote(str(better))}"}
    return error("E239", Where(str(file), line, column), **values)
