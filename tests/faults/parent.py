"""A real parent whose workers are of the fork server: `python -m tests.faults.parent RUN ARGV...`."""

import sys
from pathlib import Path

from tunewright.launch.supervisor import Supervisor
from tunewright.rundir import run_lock
from tunewright.rundir.run_dir import RunDir

if __name__ == "__main__":
    run = RunDir(Path(sys.argv[1]))
    descriptor = run_lock.own(run.path)
    assert descriptor is not None, "another process owns the run"
    sys.exit(Supervisor(run, sys.argv[2:], lock=descriptor).supervise())
