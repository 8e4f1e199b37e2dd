"""GGUF files by their headers, before a parser that trusts them sees one.

Parsers of this format in C++ and in gguf-py multiply counts and take slices unchecked; here all numbers are Python's.
"""

import math
import mmap
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from tunewright.errors import Where, error

VERSIONS = (2, 3)
MAX_ENTRIES = 100_000
_MAX_NAME = 65_535  # gguf-py's and llama.cpp's limit for keys
_MAX_AXES = 4
_MAX_ALIGNMENT = 4096
_STRING, _ARRAY, _BOOL, _U32 = 8, 9, 7, 4
_WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, _U32: 4, 5: 4, 6: 4, _BOOL: 1, 10: 8, 11: 8, 12: 8}
_WHOLE = {0: "<B", 1: "<b", 2: "<H", 3: "<h", _U32: "<I", 5: "<i", 10: "<Q", 11: "<q"}
# Numbers in a block and its bytes, by type; tests/security/test_gguf.py compares them with gguf's own table.
BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 40), 10: (256, 84),
    11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292), 16: (256, 66), 17: (256, 74),
    18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2),
    26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66), 39: (32, 17),
    40: (64, 36), 41: (128, 18),
}  # fmt: skip


class _UnsoundError(ValueError):
    """What does not hold, in one phrase."""


def gate_gguf(path: Path) -> None:
    """Refuse a GGUF file whose counts, texts, sizes or places do not hold. Raises: ModelError E308."""
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise _UnsoundError("it is no file")
        with path.open("rb") as file:
            if path.stat().st_size < 24:
                raise _UnsoundError("it is cut")
            with closing(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) as content:
                _check(_GgufReader(content))
    except _UnsoundError as fault:
        raise error("E308", Where(str(path)), file=str(path), reason=str(fault)) from None


def gguf_values(path: Path) -> dict[str, int | str]:
    """Texts and whole numbers of a header by their keys, of a file that passed `gate_gguf`. Lists are left out."""
    with path.open("rb") as file, closing(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) as content:
        reader = _GgufReader(content)
        reader.skip(16)
        values: dict[str, int | str] = {}
        for _ in range(reader.number("<Q")):
            key, kind = reader.text(_MAX_NAME), reader.number("<I")
            if kind == _STRING:
                values[key] = reader.text()
            elif kind in _WHOLE:
                values[key] = reader.number(_WHOLE[kind])
            elif kind == _ARRAY:
                _skip_array(reader, key)
            else:
                _skip_values(reader, kind, 1, key)
        return values


def _check(reader: "_GgufReader") -> None:
    if reader.take(4) != b"GGUF":
        raise _UnsoundError("the magic number is missing")
    version, num_tensors, num_values = reader.number("<I"), reader.number("<Q"), reader.number("<Q")
    if version not in VERSIONS:
        raise _UnsoundError(f"version {version}")
    if num_tensors > MAX_ENTRIES or num_values > MAX_ENTRIES:
        raise _UnsoundError(f"{num_tensors} tensors and {num_values} values cannot be in it")
    alignment = _alignment(reader, num_values)
    places = sorted(_tensors(reader, num_tensors))
    data = -(-reader.position // alignment) * alignment
    end = 0
    for offset, size, name in places:
        if offset % alignment:
            raise _UnsoundError(f"the tensor {name} is not aligned")
        if offset < end:
            raise _UnsoundError(f"the tensor {name} lies over another one")
        end = offset + size
        if data + end > reader.size:
            raise _UnsoundError(f"the tensor {name} ends beyond the file")


def _alignment(reader: "_GgufReader", num_values: int) -> int:
    """Skip over all values; the one with the alignment of tensors."""
    alignment = 32
    seen: set[str] = set()
    for _ in range(num_values):
        key, kind = reader.text(_MAX_NAME), reader.number("<I")
        if key in seen:
            raise _UnsoundError(f"the key {key} appears twice")
        seen.add(key)
        if key == "general.alignment":
            alignment = reader.number("<I") if kind == _U32 else 0
            if not 1 <= alignment <= _MAX_ALIGNMENT or alignment & (alignment - 1):
                raise _UnsoundError("general.alignment is not a power of two up to 4096")
        elif kind == _ARRAY:
            _skip_array(reader, key)
        else:
            _skip_values(reader, kind, 1, key)
    return alignment


def _skip_array(reader: "_GgufReader", key: str) -> None:
    kind, count = reader.number("<I"), reader.number("<Q")
    if kind == _ARRAY:
        raise _UnsoundError(f"{key} is a list of lists")
    _skip_values(reader, kind, count, key)


def _skip_values(reader: "_GgufReader", kind: int, count: int, key: str) -> None:
    if kind == _STRING:
        if count > reader.left // 8:
            raise _UnsoundError(f"{key} has more texts than fit into the file")
        for _ in range(count):
            reader.text()
    elif kind in _WIDTHS:
        reader.skip(count * _WIDTHS[kind])
    else:
        raise _UnsoundError(f"{key} has the unknown type {kind}")


def _tensors(reader: "_GgufReader", count: int) -> Iterator[tuple[int, int, str]]:
    """Place, size and name of each tensor."""
    seen: set[str] = set()
    for _ in range(count):
        name, num_axes = reader.text(_MAX_NAME), reader.number("<I")
        if name in seen:
            raise _UnsoundError(f"the tensor {name} appears twice")
        seen.add(name)
        if not 1 <= num_axes <= _MAX_AXES:
            raise _UnsoundError(f"the tensor {name} has {num_axes} axes")
        shape = [reader.number("<Q") for _ in range(num_axes)]
        kind, offset = reader.number("<I"), reader.number("<Q")
        if kind not in BLOCKS:
            raise _UnsoundError(f"the tensor {name} has the unknown type {kind}")
        numbers, width = BLOCKS[kind]
        total = math.prod(shape)
        if not total or shape[0] % numbers:
            raise _UnsoundError(f"the tensor {name} has a shape that its type cannot have")
        yield offset, total // numbers * width, name


class _GgufReader:
    """A place in the file that never moves past its end."""

    def __init__(self, content: mmap.mmap) -> None:
        self.content, self.size, self.position = content, len(content), 0

    @property
    def left(self) -> int:
        return self.size - self.position

    def skip(self, count: int) -> None:
        if count > self.left:
            raise _UnsoundError("a value ends beyond the file")
        self.position += count

    def take(self, count: int) -> bytes:
        start = self.position
        self.skip(count)
        return self.content[start : self.position]

    def number(self, form: str) -> int:
        return int(struct.unpack(form, self.take(struct.calcsize(form)))[0])

    def text(self, limit: int = 2**30) -> str:
        length = self.number("<Q")
        if length > limit:
            raise _UnsoundError(f"a text of {length} bytes")
        try:
            return self.take(length).decode("utf-8")
        except UnicodeDecodeError:
            raise _UnsoundError("a text is not UTF-8") from None
