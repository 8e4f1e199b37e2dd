"""Stands in for a worker: `python fake_worker.py RUN GROUP ENDS` writes a few events and ends as ENDS says.

ENDS is a JSON list of [phase, step, end], one for each start; `oom` dies as the kernel kills, with the count that it leaves
in the control group GROUP; `kill`, `segfault`, `term` and `int` die of that signal; `refused` says that memory ran out,
`bad_alloc` dies as C++ does then; `loader` says that a process that loads rows died; `hang` waits for what never comes;
`done` finishes, and with `and killed` dies all the same; `full` fills the disk and says so as a worker does, `full and
silent` without a word.
"""

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from tunewright.errors import Problem
from tunewright.rundir.event_log import EventLog
from tunewright.rundir.full_disk import last_words, reserve_of
from tunewright.rundir.run_dir import RunDir

HANG_SECONDS = 60
SIGNALS = {
    "oom": signal.SIGKILL, "kill": signal.SIGKILL, "segfault": signal.SIGSEGV, "term": signal.SIGTERM, "int": signal.SIGINT,
    "bad_alloc": signal.SIGABRT,
}  # fmt: skip


def count_kill(group: Path) -> None:
    path = group / "memory.events"
    kills = int(path.read_text().split()[-1])
    path.write_text(f"oom_kill {kills + 1}\n")


def end(how: str, events: EventLog, group: Path) -> int:
    if how == "oom":
        count_kill(group)
    if how == "bad_alloc":
        print("terminate called after throwing an instance of 'std::bad_alloc'", file=sys.stderr, flush=True)
    if how in SIGNALS:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), SIGNALS[how])
    if how == "hang":
        threading.Event().wait(HANG_SECONDS)
    if how == "refused":
        problem = Problem("E404", values={"step": events.step, "reason": "no room", "name": "shop"})
        events.write("failed", problems=[problem.to_record()], exit_code=7)
        return 7
    if how.startswith("full"):
        run = RunDir(events.path.parent)
        reserve = reserve_of(run, "worker")
        reserve.hold()
        from tests.small_disk import fill  # there is a path to the tests only where a disk is filled

        fill(run.path.parent / "ballast")
        if how == "full and silent":
            return 7
        reason = {"reason": "No space left on device", "step": events.step, "path": str(run.path)}
        events.alert(Problem("W502", values=reason))
        problem = Problem("E510", values={**reason, "what": "three checkpoints in a row", "name": "shop"})
        events.write("failed", problems=[problem.to_record()], exit_code=7)
        assert last_words(events, reserve)
        return 7
    if how == "loader":
        problem = Problem("E514", values={"step": events.step, "reason": "killed", "name": "shop"})
        events.write("failed", problems=[problem.to_record()], exit_code=1)
        return 1
    if how.startswith("done"):
        events.write("done", result={"best_step": events.step, "steps": events.step})
        if how == "done and killed":
            os.kill(os.getpid(), signal.SIGKILL)
        return 0
    return 3


def main() -> int:
    run, group = RunDir(Path(sys.argv[1])), Path(sys.argv[2])
    ends: list[tuple[str, int, str]] = json.loads(sys.argv[3])
    starts = run.file("starts.jsonl")
    settings: Any = [run.plan().run.train.per_device_train_batch_size, run.info().test_halvings]
    with starts.open("a") as file:
        file.write(json.dumps(settings) + "\n")
    phase, step, how = ends[len(starts.read_text().splitlines()) - 1]
    events = run.events
    events.write("phase", phase="load", state="begin")
    events.write("phase", phase="load", state="end", seconds=0.1)
    events.step = step
    events.write("phase", phase=phase, state="begin")
    return end(how, events, group)


if __name__ == "__main__":
    sys.exit(main())
