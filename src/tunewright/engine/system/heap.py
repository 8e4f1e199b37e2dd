"""The C library's heap, which workers let keep all blocks that they free (launch/worker_environment.py). glibc only; elsewhere
nothing happens.
"""

import ctypes
import gc
import os
import platform
import sys

KEEPING = "MALLOC_MMAP_THRESHOLD_"
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h
LARGE_BLOCK_BYTES = 2**22


def release_memory() -> None:
    """Return memory that the C library has freed but keeps to the system, so that one phase does not pay for the
    fragmentation of the one before.
    """
    gc.collect()
    if is_glibc():
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def return_large_blocks() -> None:
    """From now on blocks of 4 MiB and more go back to the system as soon as they are freed.

    For bases that bitsandbytes stores: to load a layer and to compute with it makes it large for a moment, and such blocks
    leave holes between those that stay. A 7B model that was loaded in 4 bits held 20 GiB instead of 3.5, and each of its
    layers left 80 MiB more in training. A step took no longer (2 threads, micro-batches of 576 tokens).
    """
    if is_glibc() and KEEPING in os.environ:
        libc = ctypes.CDLL("libc.so.6")
        libc.malloc_trim(0)
        # A block is taken from the heap's end first if there is room, so there is none.
        for option, size in (
            (M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES),
            (M_TRIM_THRESHOLD, LARGE_BLOCK_BYTES),
            (M_TOP_PAD, 2**20),
        ):
            libc.mallopt(option, size)


def is_glibc() -> bool:
    """Whether this process's C library is GNU's, on Linux."""
    return sys.platform == "linux" and platform.libc_ver()[0] == "glibc"
