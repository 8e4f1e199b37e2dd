"""What an export folder says about itself: tunewright.json, which `serve` and `export check` read."""

from pathlib import Path

from pydantic import Field

from tunewright.config.stored_record import Count, StoredRecord
from tunewright.rundir.checkpoints import sha256

EXPORT_JSON = "tunewright.json"  # transformers' exporters call their own file export.json
SCHEMA = 1


class ExportedFile(StoredRecord):
    """A file of the folder."""

    bytes: Count
    """its size"""
    sha256: str
    """of its content"""


class ExportRecord(StoredRecord):
    """tunewright.json: which run a folder is an export of, in which format, and what is in it."""

    schema_: Count = Field(alias="schema")
    """the version of this format"""
    run: str
    """the run's random id"""
    name: str
    """the run's name"""
    to: str
    """the format"""
    way: str = Field(alias="as")
    """merged or adapter"""
    quant: str
    """the type of the weights; `original` for the base's own GGUF file, empty where the weights stayed as they are"""
    base: str
    """the base's name for others"""
    base_digest: str
    """of the base's config and tensors' names"""
    base_weights: str
    """digest of the base's weights; empty where it was not computed"""
    context: Count
    """the longest text that the base was made for, in tokens"""
    versions: dict[str, str]
    """of the tools that wrote it"""
    files: dict[str, ExportedFile]
    """by path in the folder"""


def files_in(folder: Path) -> dict[str, ExportedFile]:
    """Every file of a folder but its record."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != EXPORT_JSON)
    return {
        path.relative_to(folder).as_posix(): ExportedFile(bytes=path.stat().st_size, sha256=sha256(path))
        for path in files
    }
