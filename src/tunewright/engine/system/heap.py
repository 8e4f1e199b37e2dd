"""The C library's heap, which workers let keep all blocks that they free (launch/worker_environment.py). glibc only; elsewhere
nothing happens.
"""

import ctypes
import gc
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager

KEEPING = "MALLOC_MMAP_THRESHOLD_"
M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES, MOST_BYTES = -3, 2**25, 2**31 - 1  # malloc.h; what mallopt(3) takes


def release_memory() -> None:
    """Return memory that the C library has freed but keeps to the system, so that one phase does not pay for the
    fragmentation of the one before.
    """
    gc.collect()
    if is_glibc():
        ctypes.CDLL("libc.so.6").malloc_trim(0)


@contextmanager
def large_blocks_returned() -> Iterator[None]:
    """Within it blocks of 32 MiB and more go back to the system as soon as they are freed.

    Who makes a small block of a large one, layer by layer, leaves a hole between each two that are kept: a 7B model that
    was loaded in 4 bits held 20 GiB instead of 3.5.
    """
    if not (is_glibc() and KEEPING in os.environ):
        yield
        return
    libc = ctypes.CDLL("libc.so.6")
    libc.mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES)
    try:
        yield
    finally:
        libc.mallopt(M_MMAP_THRESHOLD, min(int(os.environ[KEEPING]), MOST_BYTES))


def is_glibc() -> bool:
    """Whether this process's C library is GNU's, on Linux."""
    return sys.platform == "linux" and platform.libc_ver()[0] == "glibc"
