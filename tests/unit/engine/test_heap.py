"""What the C library keeps of freed blocks in a worker, and what it returns where a base is stored in fewer bits."""

import os
import subprocess
import sys

import pytest

from tunewright.engine.system import heap
from tunewright.launch.worker_environment import WORKER_ENVIRONMENT

# Large blocks, each made into a small one that is kept, as layers are that are loaded in fewer bits; MiB that are held after it.
MADE_SMALLER = """
import ctypes, sys
from tunewright.engine.system.heap import return_large_blocks

libc = ctypes.CDLL("libc.so.6")
libc.malloc.restype = ctypes.c_void_p
libc.memset.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t)
libc.free.argtypes = (ctypes.c_void_p,)

def block(mib):
    place = libc.malloc(mib * 2**20)
    libc.memset(place, 1, mib * 2**20)
    return place

if sys.argv[1] == "returned":
    return_large_blocks()
for layer in range(10):
    large = block(100 + layer)
    small = block(2)
    libc.free(large)
status = dict(line.split(":") for line in open("/proc/self/status"))
print(int(status["RssAnon"].split()[0]) // 1024)
"""


@pytest.mark.skipif(not heap.is_glibc(), reason="malloc of glibc")
def test_a_worker_returns_large_blocks_only_where_it_is_told_to() -> None:
    assert _held("kept") > 150
    assert _held("returned") < 75


def _held(way: str) -> int:
    command = [sys.executable, "-c", MADE_SMALLER, way]
    done = subprocess.run(command, env={**os.environ, **WORKER_ENVIRONMENT}, capture_output=True, text=True, check=True)
    return int(done.stdout)
