"""Names from files become paths here, and none of them leads out of its folder."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tunewright.errors import TunewrightError, Where, error
from tunewright.i18n import N_

_DRIVE = re.compile(r"[A-Za-z]:")


def home() -> Path:
    """Where models, encoded data and measurements are kept: TUNEWRIGHT_HOME, else ~/.cache/tunewright."""
    folder = os.environ.get("TUNEWRIGHT_HOME")
    return Path(folder).expanduser() if folder else Path.home() / ".cache" / "tunewright"


@contextmanager
def cache_faults() -> Iterator[None]:
    """What the system refuses while something is put into `home` is reported as that. Raises: TrainingError E517."""
    try:
        yield
    except TunewrightError:
        raise
    except OSError as fault:
        raise error("E517", path=str(home()), reason=fault.strerror or str(fault)) from fault


def jail(root: Path, name: object, source: Path | None = None) -> Path:
    """The file of this name below `root`; `source` is the file that contains the name.

    Raises: ModelError E315 for a name that leads elsewhere, directly or through a link.
    """
    place = source or root
    if not isinstance(name, str) or not is_plain(name):
        raise error("E315", Where(str(place)), file=str(place), name=str(name)[:200])
    check_link(root, root / name)
    return root / name


def is_plain(name: str) -> bool:
    """A relative path downwards, read the same by every system."""
    parts = name.split("/")
    is_odd = any(ord(char) < 32 for char in name) or "\\" in name or _DRIVE.match(name)
    return not is_odd and all(part not in ("", ".", "..") for part in parts)


def plain_files(folder: Path) -> list[Path]:
    """The files of a folder that came from elsewhere, to be copied: by name.

    Raises: ModelError E309 for a folder, a pipe or a device in it, E315 for a link that leads out.
    """
    files = sorted(folder.iterdir())
    for path in files:
        check_link(folder, path)
        if not path.is_file():
            raise error("E309", Where(str(path)), file=str(path), reason=N_("not a file"))
    return files


def check_link(root: Path, path: Path) -> None:
    """Raises: ModelError E315 if the path, its links followed, is not below `root` nor in the Hub cache around it."""
    # Not Path.resolve(), which fails on links that lead in a circle; these lead nowhere, and so nowhere else.
    target, inside = Path(os.path.realpath(path)), Path(os.path.realpath(root))
    if target.is_relative_to(inside):
        return
    # A snapshot of the Hub's cache links into the blobs of its own repository: models--org--name/{snapshots/REV,blobs}.
    snapshots = inside.parent
    is_snapshot = snapshots.name == "snapshots" and snapshots.parent.name.startswith(("models--", "datasets--"))
    if not (is_snapshot and target.is_relative_to(snapshots.parent / "blobs")):
        raise error("E315", Where(str(path)), file=str(path), name=str(target))
