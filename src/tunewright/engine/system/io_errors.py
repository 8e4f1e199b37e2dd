"""What libraries say when the disk refuses a write, as the OSError that it is."""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

OF_SYSTEM = re.compile(r"\(os error (\d+)\)")  # as Rust prints an error of the system
OF_TORCH = ("inline_container", "PytorchStreamWriter")  # torch.save writes through C++, and no number comes back
ALMOST_NOTHING = 2**20


@contextmanager
def disk_faults(folder: Path) -> Iterator[None]:
    """Writes of safetensors, tokenizers and torch below `folder`. Raises: OSError in place of their own errors."""
    try:
        yield
    except OSError:
        raise
    except Exception as fault:  # tokenizers raises nothing narrower
        number = _number(str(fault), folder)
        if number is None:
            raise
        raise OSError(number, os.strerror(number), str(folder)) from fault


def _number(text: str, folder: Path) -> int | None:
    match = OF_SYSTEM.search(text)
    if match:
        return int(match[1])
    if not any(word in text for word in OF_TORCH):
        return None
    return errno.ENOSPC if shutil.disk_usage(folder).free < ALMOST_NOTHING else errno.EIO
