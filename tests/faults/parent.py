"""A real parent whose workers are of the fork server: `python -m tests.faults.parent RUN ARGV...`."""

import sys
from pathlib import Path

from filelock import FileLock

from tunewright.flow.supervise import Parent
from tunewright.rundir import layout
from tunewright.rundir.store import RunDir

if __name__ == "__main__":
    run = RunDir(Path(sys.argv[1]))
    with FileLock(run.file(layout.LOCK), timeout=0):
        sys.exit(Parent(run, sys.argv[2:]).supervise())
