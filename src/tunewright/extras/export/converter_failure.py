"""Why a converter failed in its process: its own words, or the disk that became full under it."""

import errno
import os
import re
import shutil
from pathlib import Path

from tunewright.errors import error
from tunewright.security import redact

NO_ROOM = os.strerror(errno.ENOSPC)
ALMOST_NOTHING = 2**16  # numpy's and llama.cpp's writers name no reason, and leave less than one of their pieces free
_LOG_LEVEL = re.compile(r"^(?:ERROR|WARNING|INFO):[\w.-]+:")
_EXCEPTION = re.compile(r"^[\w.]*(?:Error|Exception|Interrupt)\b")


def converter_failure(words: str, folder: Path) -> Exception:
    """What a converter that wrote below `folder` died of: ExportError E621, or OSError where the disk is full."""
    if NO_ROOM in words or shutil.disk_usage(folder).free < ALMOST_NOTHING:
        return OSError(errno.ENOSPC, NO_ROOM, str(folder))
    return error("E621", reason=words)


def last_words(output: str, code: int) -> str:
    """Why a process failed: the exception that it printed, or the errors that it logged last."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    raised = [line for line in lines if _EXCEPTION.match(line)]
    logged = [_LOG_LEVEL.sub("", line) for line in lines if line.startswith("ERROR:")]
    words = " ".join(raised[-1:] or logged[-3:] or lines[-1:])
    return redact(words) if words else f"exit code {code}"
