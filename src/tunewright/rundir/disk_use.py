"""What runs take on the disk, and checkpoints that are removed."""

from contextlib import suppress
from dataclasses import dataclass

from tunewright.rundir import atomic_io
from tunewright.rundir.run_dir import RunDir, folder_bytes, owning_ended


@dataclass(frozen=True)
class DiskUse:
    """A run's bytes: in all, and those of its checkpoints, of which there are `num_checkpoints`."""

    run: RunDir
    total_bytes: int
    checkpoint_bytes: int
    num_checkpoints: int


def disk_use(run: RunDir) -> DiskUse:
    """What a run takes; looked at again where a checkpoint went meanwhile."""
    checkpoints = run.checkpoints_dir
    while True:
        with suppress(FileNotFoundError):
            num = sum(path.is_dir() for path in checkpoints.iterdir()) if checkpoints.is_dir() else 0
            return DiskUse(run, folder_bytes(run.path), folder_bytes(checkpoints), num)


def remove_checkpoints(run: RunDir) -> int:
    """Remove a run's checkpoints; the bytes that are free now. The adapter stays; a run that ended early cannot go on.

    Raises: TrainingError E505 for a run that is owned or about to be started.
    """
    with owning_ended(run):
        freed = folder_bytes(run.checkpoints_dir)
        if run.checkpoints_dir.is_dir():
            atomic_io.remove_folder(run.checkpoints_dir)
    return freed
