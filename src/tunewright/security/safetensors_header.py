"""Safetensors files by their headers: names, shapes and places that agree with each other and with the file.

safetensors' own reader checks the same when it opens a file, and imports numpy for it; here only the header is read.
Beyond it, repeated names, unknown fields and more than eight axes are refused (docs/decisions/0008).
"""

import math
import struct
from pathlib import Path
from typing import Any, TypedDict

from tunewright.errors import Where, error
from tunewright.i18n import N_, Phrase
from tunewright.security.json_file import parse_object, read_json
from tunewright.security.paths import jail

MAX_HEADER_BYTES = 100 * 2**20
BITS = {
    "BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32,
    "C64": 64, "F64": 64, "I64": 64, "U64": 64,
}  # fmt: skip
_MAX_AXES = 8
_LFS_POINTER = b"version "  # then the address of its specification
_ENTRY = {"dtype", "shape", "data_offsets"}


class TensorEntry(TypedDict):
    """What a safetensors header says about a tensor: its type, its shape, its first byte and end."""

    dtype: str
    shape: list[int]
    data_offsets: list[int]


def safetensors_header(path: Path) -> dict[str, TensorEntry]:
    """Names, shapes and types of a safetensors file: tensors of known types that fill the file, none over another.

    Raises: ModelError E309.
    """
    if not path.is_file():
        raise _damaged(path, "it is a folder" if path.is_dir() else "it is not a file")
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(8)
        if head == _LFS_POINTER:
            raise _damaged(path, N_("it is a pointer of Git LFS and not the file; fetch it with: git lfs pull"))
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
        if not 2 <= length <= min(size - 8, MAX_HEADER_BYTES):
            raise _damaged(path, N_("the header is cut or too long"))
        header = parse_object(file.read(length), path, unique=True)
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _damaged(path, N_("the metadata are not texts"))
    places = sorted(_place(path, name, entry) for name, entry in header.items())
    end = 0
    for begin, stop, name in places:
        if begin != end:
            raise _damaged(path, Phrase(N_("{name} does not start where the tensor before it ends"), name=name))
        end = stop
    if 8 + length + end != size:
        raise _damaged(path, f"{8 + length + end} bytes expected, {size} found")
    return header


def _place(path: Path, name: str, entry: Any) -> tuple[int, int, str]:
    """First byte and end of a tensor whose shape and type explain them."""
    if not isinstance(entry, dict) or entry.keys() != _ENTRY:
        raise _damaged(path, Phrase(N_("{name} is not described by dtype, shape and data_offsets"), name=name))
    shape, offsets = entry["shape"], entry["data_offsets"]
    if (
        not _are_counts(shape)
        or len(shape) > _MAX_AXES
        or not _are_counts(offsets)
        or len(offsets) != 2
        or _overflows(shape)
    ):
        raise _damaged(path, Phrase(N_("{name} has an invalid shape or position"), name=name))
    if not isinstance(entry["dtype"], str) or entry["dtype"] not in BITS:
        raise _damaged(path, Phrase(N_("{name} has an unknown type"), name=name))
    bits = math.prod(shape) * BITS[entry["dtype"]]
    if bits != 8 * (offsets[1] - offsets[0]):
        raise _damaged(path, Phrase(N_("{name} has another size than its shape"), name=name))
    return offsets[0], offsets[1], name


def _overflows(shape: list[int]) -> bool:
    """True if readers that count in 64 bits cannot multiply these sides, though one of them may be 0."""
    return math.prod(side or 1 for side in shape) >= 2**63


def _are_counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 2**63 for item in value)


def _damaged(path: Path, reason: str) -> Exception:
    return error("E309", Where(str(path)), file=str(path), reason=reason)


def shards(index: Path) -> list[Path]:
    """The weights files that an index names, all in its own folder. Raises: ModelError E309, E315."""
    named = read_json(index).get("weight_map")
    if not isinstance(named, dict) or not named:
        raise _damaged(index, Phrase(N_("{name} is missing"), name="weight_map"))
    for name in named.values():
        if not isinstance(name, str) or "/" in name:
            raise error("E315", Where(str(index)), file=str(index), name=str(name)[:200])
    return [jail(index.parent, name, index) for name in sorted(set(named.values()))]
