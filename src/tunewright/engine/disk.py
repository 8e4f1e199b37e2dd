"""What libraries say when the disk refuses a write, as the OSError that it is."""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

OF_SYSTEM = re.compile(r"os error (\d+)|code: (\d+)")  # as Rust prints an error of the system
OF_TORCH = ("inline_container", "PytorchStreamWriter")  # torch.save writes through C++, and no number comes back
ALMOST_NOTHING = 2**20


@contextmanager
def disk_faults(folder: Path) -> Iterator[None]:
    """Writes of safetensors and of torch below `folder`. Raises: OSError in place of their own kinds of error."""
    try:
        yield
    except SafetensorError as fault:
        found = OF_SYSTEM.search(str(fault))
        if not found:
            raise
        raise _os_error(int(found[1] or found[2])) from fault
    except RuntimeError as fault:
        if not any(word in str(fault) for word in OF_TORCH):
            raise
        is_full = shutil.disk_usage(folder).free < ALMOST_NOTHING
        raise _os_error(errno.ENOSPC if is_full else errno.EIO) from fault


def _os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
