"""Files that a form brings: counted, named anew, and put below the home folder under the digest of what they hold."""

import hashlib
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from starlette.datastructures import UploadFile

from tunewright.data.files.split_files import EXTENSIONS
from tunewright.errors import Problem, Where, error, errors_of
from tunewright.rundir import atomic_io
from tunewright.security import cache_faults, home

MAX_BYTES = 200 * 2**20
MAX_FILES = 20
LONGEST_NAME = 60  # characters, of up to four bytes each
_ODD = re.compile(r"[^\w.\-]+")


def store(files: Sequence[UploadFile]) -> tuple[str, str]:
    """The path of an uploaded file, or of a folder of several, and its name for people.

    Raises: DataError E201, E202 for no files and for types that are not read, E269 for too many; TrainingError E517.
    """
    named = [(_clean(file.filename or ""), file) for file in files if file.filename]
    if len(named) > MAX_FILES:
        raise error("E269", count=len(named), limit=MAX_FILES)
    if not named:
        raise error("E269", count=0, limit=MAX_FILES)
    known = " ".join(EXTENSIONS)
    if strange := [name for name, _file in named if Path(name).suffix not in EXTENSIONS]:
        raise errors_of(
            Problem("E202", Where(name), {"extension": Path(name).suffix, "extensions": known}) for name in strange
        )
    folder = home() / "uploads"
    with cache_faults(), atomic_io.staging(folder) as staged:
        staged.chmod(0o700)
        digest = hashlib.sha256()
        names: list[str] = []
        for name, file in named:
            own = _free(name, names)
            names.append(own)
            with (staged / own).open("wb") as opened:
                shutil.copyfileobj(file.file, opened, 2**20)
            with (staged / own).open("rb") as opened:
                digest.update(own.encode() + b"\0" + hashlib.file_digest(opened, "sha256").digest())
        target = folder / digest.hexdigest()[:16]
        if not target.exists():  # the same files may be read by a run
            atomic_io.publish_folder(staged, target)
    is_one = len(names) == 1
    return str(target / names[0] if is_one else target), names[0] if is_one else f"{names[0]} + {len(names) - 1}"


def drop(path: str) -> None:
    """Remove an upload that turned out to be of no use."""
    place = Path(path)
    atomic_io.drop(place if place.parent == home() / "uploads" else place.parent)


def _clean(name: str) -> str:
    """A name without folders and odd characters, its type in small letters."""
    plain = _ODD.sub("_", re.split(r"[/\\]", name)[-1]).strip("._") or "data"
    stem, dot, kind = plain.rpartition(".")
    return f"{(stem or 'data')[:LONGEST_NAME]}.{kind.lower()[:10]}" if dot else plain[:LONGEST_NAME]


def _free(name: str, used: Sequence[str]) -> str:
    path = Path(name)
    return next(
        candidate
        for candidate in (name, *(f"{path.stem}-{place}{path.suffix}" for place in range(2, MAX_FILES + 2)))
        if candidate not in used
    )
