"""Where results go, checked before a model is loaded: nothing is lost to a name that cannot be written to, and nothing is
written over that Tunewright did not make.

A link is followed: what it leads to is written, and the link stays.
"""

import shlex
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

from tunewright.errors import error, exists_already, of_system
from tunewright.i18n import N_, Phrase, gib
from tunewright.rundir import atomic_io


def output_file(
    word: str | Path,
    *,
    force: bool = False,
    can_force: bool = False,
    is_ours: Callable[[Path], bool] = lambda path: False,
) -> Path:
    """The file that a result is written to. One that is there may be written over where it `is_ours`, and with `force`.

    Raises: ConfigError E115 for a file that is there; TrainingError E520, E524 for a name that cannot be written to.
    """
    path = _followed(word)
    mode = _mode(path, word)
    if mode and stat.S_ISDIR(mode):
        raise error("E524", path=str(word), reason=N_("it is a folder, and a file is expected"))
    if mode and not stat.S_ISREG(mode):
        raise error("E524", path=str(word), reason=N_("it is a device, a pipe or a socket, and a file is expected"))
    _check_parent(path.parent, word)
    if mode and not force and not is_ours(path):
        raise exists_already(Path(word), **({"force": "--force"} if can_force else {}))
    return path


def output_folder(word: str | Path, *, is_new: bool = True, num_bytes: float = 0) -> Path:
    """The folder that a result is written to; those above it are made later. `is_new` refuses one that holds something.

    Raises: ConfigError E115; ResourceError E403 where there is no room for `num_bytes`; TrainingError E520, E524.
    """
    path = _followed(word)
    mode = _mode(path, word)
    if mode and not stat.S_ISDIR(mode):
        raise error("E524", path=str(word), reason=N_("it is a file, and a folder is expected"))
    if mode and is_new and any(path.iterdir()):
        raise exists_already(Path(word))
    place = next(above for above in (path, *path.parents) if _mode(above, word))
    _check_writable(place, word)
    free = shutil.disk_usage(place).free
    if num_bytes > free:
        raise error("E403", needed=gib(num_bytes), free=gib(free), path=str(word))
    return path


def _followed(word: str | Path) -> Path:
    try:
        return Path(word).expanduser().resolve()
    except (OSError, RuntimeError) as fault:  # RuntimeError: a loop of links, or a ~name that nobody has
        raise error("E524", path=str(word), reason=str(fault)) from fault


def _mode(path: Path, word: str | Path) -> int:
    """What a path is, as stat has it; 0 where nothing is. Raises: TrainingError E524 where that cannot be known."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return 0
    except NotADirectoryError:
        file = next(above for above in path.parents if above.exists())
        reason = Phrase(N_("{file} is not a folder"), file=str(file))
        raise error("E524", path=str(word), reason=reason) from None
    except OSError as fault:
        raise error("E524", path=str(word), reason=fault.strerror) from fault


def _check_parent(parent: Path, word: str | Path) -> None:
    if not _mode(parent, word):
        reason = Phrase(N_("there is no folder {folder}"), folder=str(parent))
        raise error("E524", path=str(word), reason=reason, missing=shlex.quote(str(parent)))
    _check_writable(parent, word)


def _check_writable(folder: Path, word: str | Path) -> None:
    if not folder.is_dir():
        raise error("E524", path=str(word), reason=Phrase(N_("{file} is not a folder"), file=str(folder)))
    refusal = atomic_io.refusal(folder)
    if refusal is None:
        return
    if refusal.errno in atomic_io.NO_ROOM:
        raise of_system(refusal, folder)
    raise error("E524", path=str(word), reason=refusal.strerror)
