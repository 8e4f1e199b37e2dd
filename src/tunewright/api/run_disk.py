"""What runs have on the disk: how much, what of it can go, and what is given away."""

from tunewright.api.run_handle import TrainedRun
from tunewright.rundir import disk_use as disk
from tunewright.rundir import run_files
from tunewright.rundir.disk_use import DiskUse
from tunewright.rundir.records import Proof
from tunewright.rundir.run_files import RunFile


def disk_use(run: TrainedRun) -> DiskUse:
    """What a run takes on the disk, and its checkpoints of that."""
    return disk.disk_use(run.dir)


def remove_checkpoints(run: TrainedRun) -> int:
    """Remove a run's checkpoints; the bytes that are free now. Its adapter stays. Raises: TrainingError E505 while it is live."""
    return disk.remove_checkpoints(run.dir)


def files_to_give(run: TrainedRun) -> list[RunFile]:
    """The files of a run that are given away by name, with size and digest: the adapter, its config, its plan."""
    return run_files.run_files(run.dir)


def deployed(run: TrainedRun) -> list[Proof]:
    """What was deployed of a run and compared with it. Raises: TrainingError E525."""
    record = run.dir.proofs()
    return list(record.proofs.values()) if record else []
