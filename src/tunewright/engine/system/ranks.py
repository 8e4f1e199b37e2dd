"""The processes that compute one run together, and what they tell each other.

Each of them is an ordinary worker on one device. `torch.distributed` carries sums between them, by gloo on CPUs and by NCCL on
CUDA (not run there). accelerate and transformers see one process: how rows are dealt and gradients are summed is done here, once
a step, so that a step is the same whatever the number of processes (docs/decisions/0014-ranks.md).
"""

import ctypes
import json
import os
import signal
import socket
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from tunewright.data.tokenized.dealing import deal
from tunewright.engine.system import device
from tunewright.errors import error
from tunewright.rundir.rank_files import (
    FIRST,
    FIRST_HERE,
    LOCAL_RANK,
    PARENT,
    PLACE,
    RANK,
    TIMEOUT,
    WORLD_SIZE,
    Heartbeat,
)

Value = TypeVar("Value")
# Tensors are summed in blocks of so many numbers, so that no second copy of a large model's gradients is made.
BLOCK_NUMBERS = 2**24
BACKENDS = {"cuda": "nccl", "xpu": "xccl"}
PR_SET_PDEATHSIG = 1  # linux/prctl.h
PREPARED_WITHIN = timedelta(days=7)  # the parent sees whether a process is gone


class PeerLost(Exception):
    """Another process of the run is gone, or did not answer in time; its own end tells why."""


@dataclass(frozen=True)
class Ranks:
    """This process among those of its run: number `rank` of `world`. Alone, nothing is sent, and every call is free.

    With `share_base` each holds a part of the base's weights, so that all make as many passes through the model.
    """

    rank: int = 0
    world: int = 1
    first_here: int = FIRST
    heartbeat: Heartbeat | None = None
    share_base: bool = False

    @property
    def is_first(self) -> bool:
        """Whether this process writes the run's files."""
        return self.rank == FIRST

    @property
    def is_first_here(self) -> bool:
        """Whether this process is the first of its machine, which prepares the rows for the others there."""
        return self.rank == self.first_here

    def beat(self, phase: str, step: int = 0) -> None:
        """Say where this process is, for who watches it."""
        if self.heartbeat:
            self.heartbeat.write(phase, step)

    def sum(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its sum over all processes; the same bits in each of them. Raises: PeerLost."""
        if self.world == 1:
            return
        with self.waiting("all_reduce"):
            for block in _blocks(tensors):
                flat = torch.cat([tensor.flatten() for tensor in block])
                dist.all_reduce(flat)
                for tensor, summed in zip(block, flat.split([t.numel() for t in block]), strict=True):
                    tensor.copy_(summed.view_as(tensor))

    def take_from_first(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by that of the first process. Raises: PeerLost."""
        if self.world == 1:
            return
        with self.waiting("broadcast"):
            for tensor in tensors:
                dist.broadcast(tensor, src=FIRST)

    def gather(self, value: Value) -> list[Value]:
        """What each process has to say, in their order; any value that JSON holds. Raises: PeerLost."""
        if self.world == 1:
            return [value]
        with self.waiting("all_gather"):
            own = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8).to(device.device())
            sizes = [torch.zeros(1, dtype=torch.long, device=own.device) for _ in range(self.world)]
            dist.all_gather(sizes, torch.tensor([own.numel()], device=own.device))
            longest = max(int(size) for size in sizes)
            padded = torch.nn.functional.pad(own, (0, longest - own.numel()))
            padded_of_all = [torch.empty_like(padded) for _ in range(self.world)]
            dist.all_gather(padded_of_all, padded)
            texts = [row[: int(size)].cpu().numpy().tobytes() for row, size in zip(padded_of_all, sizes, strict=True)]
        return [json.loads(text) for text in texts]

    def of_first(self, value: Value) -> Value:
        """What the first process has to say. Raises: PeerLost."""
        return self.gather(value)[FIRST]

    def union(self, values: Mapping[int, Value]) -> dict[int, Value]:
        """What all have found, by number, where each has found some. Raises: PeerLost."""
        if self.world == 1:
            return dict(values)
        gathered = self.gather({str(number): value for number, value in values.items()})
        return {int(number): value for of_one in gathered for number, value in of_one.items()}

    def mine(self, groups: Sequence[Value], costs: Sequence[float]) -> list[Value]:
        """The groups that this process works on, so that all have about the same to do. Where they share the base, who has fewer
        does the first group over again."""
        if self.world == 1:
            return list(groups)
        dealt = deal(costs, self.world)
        own = dealt[self.rank]
        missing = max(map(len, dealt)) - len(own) if self.share_base else 0
        return [groups[i] for i in (*own, *[0] * missing)]

    def scaled(self, done: int, of: int) -> int:
        """How much is done in all, if the others are as far as this process."""
        return min(of, done * self.world)

    def group_of_machine(self, processes: int) -> dist.ProcessGroup:
        """The processes of this one's machine, of which each has so many. Raises: PeerLost."""
        with self.waiting("new_subgroups"):
            own, _all = dist.new_subgroups(group_size=processes, timeout=timedelta(seconds=float(os.environ[TIMEOUT])))
        return own

    @contextmanager
    def waiting(self, call: str) -> Any:
        """Say in which call this process waits for the others. Raises: PeerLost where that fails."""
        if self.heartbeat:
            self.heartbeat.enter(call)
        try:
            yield
        except RuntimeError as fault:  # gloo's and NCCL's errors have no narrower class in common
            raise PeerLost(f"{call}: {fault}") from fault
        finally:
            if self.heartbeat:
                self.heartbeat.leave()


ALONE = Ranks()


def _blocks(tensors: Iterable[Tensor]) -> Iterable[list[Tensor]]:
    block: list[Tensor] = []
    size = 0
    for tensor in tensors:
        if block and size + tensor.numel() > BLOCK_NUMBERS:
            yield block
            block, size = [], 0
        block.append(tensor)
        size += tensor.numel()
    if block:
        yield block


def named_by_parent() -> Ranks:
    """Which of the run's processes this one is, as its parent has written into the environment; ALONE without any.

    The names of torchrun are taken out of it again: accelerate would deal batches and wrap the model by them.
    """
    world = int(os.environ.get(WORLD_SIZE, "1"))
    rank = int(os.environ.get(RANK, "0"))
    heartbeat = Heartbeat.of(os.environ) if world > 1 else None
    for name in (RANK, WORLD_SIZE, LOCAL_RANK):
        os.environ.pop(name, None)
    first_here = int(os.environ.get(FIRST_HERE, FIRST))
    return Ranks(rank, world, first_here, heartbeat) if world > 1 else ALONE


def end_with_parent() -> None:
    """Have the kernel end this process when its parent ends, also while it hangs or is suspended; Linux only.

    Nobody else would end one that hangs, and so keeps the run's lock: the others give up after some minutes. Alone, where
    nobody waits for it, a worker goes on without its parent.
    """
    parent = os.environ.pop(PARENT, None)
    if parent is None or sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):  # it ended before
        os.kill(os.getpid(), signal.SIGKILL)


def connect(ranks: Ranks) -> dist.Store | None:
    """Where the processes will meet: a file on their machine, or a port of the first one. None alone.

    Raises: TrainingError E527 if the first machine is not reached in time.
    """
    if ranks.world == 1:
        return None
    place, seconds = os.environ[PLACE], float(os.environ[TIMEOUT])
    if place.startswith("/"):
        return dist.FileStore(place, ranks.world)
    host, _colon, port = place.rpartition(":")
    try:
        # Left to itself the store would listen at every address of the machine.
        listening = {"master_listen_fd": socket.create_server((host, int(port))).detach()} if ranks.is_first else {}
        with ranks.waiting("connect"):
            return dist.TCPStore(
                host, int(port), ranks.world, is_master=ranks.is_first, timeout=timedelta(seconds=seconds),
                wait_for_workers=False, **listening,
            )  # fmt: skip
    except (PeerLost, OSError) as fault:
        reason = str(fault.__cause__ or fault).splitlines()[0]
        raise error("E527", main=place, seconds=round(seconds), reason=reason) from fault


def meet(ranks: Ranks, store: dist.Store | None) -> None:
    """Wait until all processes are there; does nothing alone. On one machine however long it takes them to prepare the rows, as
    their parent knows whether they live; of another machine nobody does. Raises: PeerLost.
    """
    if store is None:
        return
    timeout = timedelta(seconds=float(os.environ[TIMEOUT]))
    with ranks.waiting("meet the others"):
        store.set_timeout(PREPARED_WITHIN if isinstance(store, dist.FileStore) else timeout)
        store.set(f"here {ranks.rank}", "")
        store.wait([f"here {rank}" for rank in range(ranks.world)])
        store.set_timeout(timeout)


def join(ranks: Ranks, store: dist.Store | None) -> None:
    """Let the processes that have met talk to each other; does nothing alone. Raises: PeerLost."""
    if store is None:
        return
    timeout = timedelta(seconds=float(os.environ[TIMEOUT]))
    with ranks.waiting("meet the others"):
        backend = BACKENDS.get(device.device().type, "gloo")
        dist.init_process_group(backend, store=store, rank=ranks.rank, world_size=ranks.world, timeout=timeout)
