"""The environment that workers compute in: memory, code of kernels, no network, and threads that let others work.

torch's threads wait for each other at the end of each product (GNU's OpenMP on Linux), by turning in a loop: 300,000 times
by default, some ten milliseconds. Who waits so holds a core. If the thread that is waited for shares its core with
another program, it is held up by its own neighbour, hundreds of times a second, and training falls to a seventh. After
GOMP_SPINCOUNT turns a thread sleeps instead, which costs little where all threads end at about the same time.
"""

import os
from collections.abc import Mapping

from tunewright.inspection import machine_info

WORKER_ENVIRONMENT = {
    # glibc gives large blocks back to the kernel and gets them again, page by page, on every step; kept blocks made
    # training and writing answers about a quarter faster (2-core virtual machine, Linux x86-64).
    "MALLOC_MMAP_THRESHOLD_": str(2**32),
    "MALLOC_TRIM_THRESHOLD_": str(2**34),
    "MALLOC_TOP_PAD_": str(2**28),
    # oneDNN and what is between it and torch keep code for each shape of a product, about a megabyte: with their 1,024
    # places a run over rows of all lengths took 7 GiB instead of 2. A micro-batch has about a hundred shapes.
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "128",
    "LRU_CACHE_CAPACITY": "128",
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "USE_HUB_KERNELS": "NO",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "true",
    "PYTHONUNBUFFERED": "1",
}
# Steps of SmolLM2 on 2 cores, as a share of the idle speed by default (Xeon without AMX, and EPYC): alone 5,000 turns 1.00,
# 2,000 0.97, 1,000 0.86 to 0.91; beside one busy program 10,000 turns 0.29 to 0.37, 3,000 0.44, 2,000 0.46, 1,000 0.48.
TURNS_ALONE, TURNS_BESIDE_OTHERS = 5000, 1500
# What a person may have set; the last is that of Intel's and LLVM's OpenMP.
WAIT_SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
# With two cores one thread has no more of them than two that sleep while they wait.
FEW_CORES = 2


def worker_environment() -> dict[str, str]:
    """What a worker gets beside this process's environment, by how busy the machine is now."""
    if os.environ.get("OMP_NUM_THREADS") == "1":  # it waits for nobody
        return dict(WORKER_ENVIRONMENT)
    return WORKER_ENVIRONMENT | thread_settings(os.environ, machine_info.num_cpus(), machine_info.busy_share())


def thread_settings(environment: Mapping[str, str], num_cpus: int, busy_share: float) -> dict[str, str]:
    """How long threads wait for each other, and how many there are where others use some of more than two cores.

    A product is divided evenly, so that all wait for a thread with half a core: on 16 cores beside one busy program, 15
    threads are nearly twice as fast. They stay as many while the worker lives, as sums of another number of parts
    differ in their last digits. What a person has set stays.
    """
    settings = {}
    if not any(name in environment for name in WAIT_SETTINGS):
        is_alone = busy_share <= machine_info.BUSY_SHARE
        settings["GOMP_SPINCOUNT"] = str(TURNS_ALONE if is_alone else TURNS_BESIDE_OTHERS)
    busy_cpus = round(busy_share * num_cpus)
    if "OMP_NUM_THREADS" not in environment and num_cpus > FEW_CORES and busy_cpus:
        settings["OMP_NUM_THREADS"] = str(max(FEW_CORES, num_cpus - busy_cpus))
    return settings
