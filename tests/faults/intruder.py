"""Somebody who is not the owner of a run: reads paths of runs, a line each, tries all that only its owner may, and says in JSON
what came of it. `python -m tests.faults.intruder` is called in another pid namespace, and an hour ahead by the wall clock.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tunewright.errors import TunewrightError
from tunewright.launch import start_run
from tunewright.rundir import run_dir, run_lock
from tunewright.rundir.run_dir import RunDir

AHEAD_SECONDS = 3600.0


def code_of(attempt: Callable[[], object]) -> str:
    """The code that an attempt is refused with, or `done`."""
    try:
        attempt()
    except TunewrightError as refused:
        return refused.problems[0].code
    return "done"


def attempts(run: RunDir) -> dict[str, str]:
    return {
        "state": run.state(),
        "resume": code_of(lambda: start_run.resume(run, {"train.learning_rate": 0.5})),
        "rm": code_of(lambda: run_dir.remove(run)),
        "own": code_of(lambda: run_dir.own(run)),
    }


def main() -> None:
    real = time.time
    time.time = lambda: real() + AHEAD_SECONDS
    run_lock.PATIENCE_SECONDS = 0.05
    for line in sys.stdin:
        print(json.dumps(attempts(RunDir(Path(line.strip())))), flush=True)


if __name__ == "__main__":
    main()
