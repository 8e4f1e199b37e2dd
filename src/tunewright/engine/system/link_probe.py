"""How fast processes reach each other: `python -m tunewright.engine.system.link_probe FILE`, one for each device or machine.

Each is told like a process of a run which it is and where it meets the others. By gloo on CPUs, by NCCL on CUDA (not run there).
"""

import math
import os
import sys
import time
from pathlib import Path
from statistics import median

import torch
import torch.distributed as dist
from torch import Tensor

from tunewright.engine.system import device
from tunewright.engine.system.ranks import PeerLost, Ranks, connect, end_with_parent, join, meet, named_by_parent
from tunewright.errors import TunewrightError, error, unexpected
from tunewright.inspection.machine_info import LinkSpeed
from tunewright.rundir import atomic_io
from tunewright.rundir.rank_files import PLACE, TIMEOUT

SUMMED_BYTES = 16 * 2**20
ROUNDS, MESSAGES = 6, 50


def measure(ranks: Ranks) -> LinkSpeed:
    """What this process moves a second in the best of some sums of 16 MiB, and what a message takes, of which a sum of one number
    has two for each doubling of the processes. Raises: PeerLost.
    """
    large, small = (torch.zeros(count, device=device.device()) for count in (SUMMED_BYTES // 4, 1))
    with ranks.waiting("all_reduce"):
        seconds = min(_seconds(large) for _round in range(ROUNDS))
        message = median(_seconds(small) for _message in range(MESSAGES)) / (2 * math.log2(ranks.world))
    moved = 2 * (ranks.world - 1) / ranks.world * SUMMED_BYTES
    return LinkSpeed(
        is_between_machines=not os.environ[PLACE].startswith("/"), backend=dist.get_backend(), device_name=device.name(),
        bytes_per_second=moved / seconds, latency_seconds=message,
    )  # fmt: skip


def _seconds(tensor: Tensor) -> float:
    dist.barrier()
    device.synchronize()
    started = time.perf_counter()
    dist.all_reduce(tensor)
    device.synchronize()
    return time.perf_counter() - started


def main() -> None:
    """Entry of the process; the first of a machine writes what was found, or what is wrong."""
    end_with_parent()
    ranks = named_by_parent()
    answer: dict[str, object]
    try:
        store = connect(ranks)
        meet(ranks, store)
        join(ranks, store)
        answer = {"link": measure(ranks).model_dump(mode="json")}
    except TunewrightError as fault:
        answer = _refusal(fault)
    except PeerLost as fault:
        seconds = round(float(os.environ[TIMEOUT]))
        answer = _refusal(error("E527", main=os.environ[PLACE], seconds=seconds, reason=str(fault)))
    except Exception as fault:  # of a backend that was not tried
        answer = _refusal(unexpected(fault))
    if ranks.is_first_here:
        atomic_io.write_json(Path(sys.argv[1]), answer)
    os._exit(0)  # threads of a process group whose peer is gone would wait for it


def _refusal(fault: TunewrightError) -> dict[str, object]:
    return {"problems": [problem.to_record() for problem in fault.problems]}


if __name__ == "__main__":
    main()
