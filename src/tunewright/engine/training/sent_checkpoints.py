"""Checkpoints for processes on other machines, which do not see the run's folder: the first process sends the files."""

import socket
from pathlib import Path

import torch

from tunewright.engine.system.ranks import Ranks
from tunewright.rundir import atomic_io


def sent_checkpoint(ranks: Ranks, checkpoint: Path) -> Path:
    """Where this process finds a checkpoint of the run: as it lies on the first machine, else as it was sent, in the same place
    of this machine's own folder of the run. Raises: PeerLost; OSError where the disk refuses it.
    """
    hosts = ranks.gather(f"{socket.gethostname()} {checkpoint.parent}")
    if all(host == hosts[0] for host in hosts):
        return checkpoint
    sizes = ranks.of_first({f.name: f.stat().st_size for f in sorted(checkpoint.iterdir())} if ranks.is_first else {})
    is_elsewhere = ranks.is_first_here and not ranks.is_first
    for name, size in sizes.items():
        content = torch.zeros(size, dtype=torch.uint8)
        if ranks.is_first:
            content = (
                torch.frombuffer(bytearray((checkpoint / name).read_bytes()), dtype=torch.uint8) if size else content
            )
        ranks.take_from_first([content])
        if is_elsewhere:
            atomic_io.make_folder(checkpoint)
            atomic_io.write_bytes(checkpoint / name, content.numpy().tobytes())
    ranks.gather("written")
    return checkpoint
