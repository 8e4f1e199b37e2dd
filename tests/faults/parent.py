"""A real parent whose workers are of the fork server: `python -m tests.faults.parent RUN ARGV...`."""

import sys
from pathlib import Path

from tunewright.flow.supervise import Parent
from tunewright.rundir import lock
from tunewright.rundir.store import RunDir

if __name__ == "__main__":
    run = RunDir(Path(sys.argv[1]))
    descriptor = lock.own(run.path)
    assert descriptor is not None, "another process owns the run"
    sys.exit(Parent(run, sys.argv[2:], lock=descriptor).supervise())
