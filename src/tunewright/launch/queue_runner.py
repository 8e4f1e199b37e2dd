"""Starts the runs that wait, one at a time: `python -m tunewright.launch.queue_runner`. Torch-free, one for each home folder.

It waits until no run is on the machine, starts the first one as any other is started, and ends when none waits. If it is
killed, its run goes on, and the next `train --queue` or `queue go` starts another.
"""

import time
from contextlib import suppress

from tunewright.errors import TunewrightError, system_faults
from tunewright.launch.start_run import check_base, start_parent
from tunewright.rundir import run_dir, run_lock, run_queue
from tunewright.rundir.run_dir import WAITING, RunDir
from tunewright.security import command, spawn

LOOK_SECONDS = 0.5
BEGIN_SECONDS = 0.05  # between two looks for a process that begins
START_SECONDS = 10.0  # on a busy machine; nothing is lost if it takes longer


def check() -> None:
    """Whether runs can be put into the queue. Raises: TrainingError E525 for a damaged one; OSError."""
    with run_queue.changing():
        return


def add(run: RunDir) -> int:
    """Put a run that waits at the end of the queue, and see to it that somebody starts it. Its place, 1 for the next one."""
    with run_queue.changing() as queue:
        queue.runs.append(run)
        place = len(queue.runs)
    wake()
    return place


def move(run: RunDir, place: int) -> int:
    """Give a run another place, 1 for the next one; beyond the end is the end. Raises: ConfigError E116 if it does not wait."""
    with run_queue.changing() as queue:
        queue.runs.pop(queue.place_of(run, "move"))
        queue.runs.insert(max(0, min(place - 1, len(queue.runs))), run)
        return queue.runs.index(run) + 1


def cancel(run: RunDir) -> None:
    """Take a run out of the queue; `runs resume` starts it all the same. Raises: ConfigError E116 if it does not wait."""
    with run_queue.changing() as queue:
        queue.runs.pop(queue.place_of(run, "cancel"))
        run.update_info(state="stopped", ended=time.time())


def pause() -> None:
    """Start no run of the queue any more; what runs goes on."""
    with run_queue.changing() as queue:
        queue.is_paused = True


def go() -> None:
    """Go on after a pause, or after whoever started the runs was killed."""
    with run_queue.changing() as queue:
        queue.is_paused = False
    wake()


def wake() -> None:
    """Start a process that starts what waits, and wait until it is seen to do so; it ends at once if there is one."""
    starter = spawn(command("tunewright.launch.queue_runner"), detached=True)
    deadline = time.monotonic() + START_SECONDS
    while starter.poll() is None and not run_queue.has_runner() and time.monotonic() < deadline:
        time.sleep(BEGIN_SECONDS)


def serve() -> None:
    """Start one run after another until none waits, or the queue is paused."""
    with run_queue.taking_turns() as lock:
        while lock:
            is_busy = bool(run_queue.running())
            with run_queue.changing() as queue:
                if queue.is_paused or not queue.runs:
                    lock.release()  # under the queue's lock: who adds a run from now on finds nobody, and starts another
                    return
                first = queue.runs[0]  # who waits no longer is not in the queue when that is read again
                if not is_busy:
                    _start(first)
            time.sleep(LOOK_SECONDS)
            while not is_busy and run_lock.is_held(first.path):
                time.sleep(LOOK_SECONDS)


def _start(run: RunDir) -> None:
    """Start a run, or write why it cannot be started; the others follow all the same. One that somebody else owns is left alone."""
    try:
        with system_faults(run.path), run.private(), run_dir.owning(run) as lock:
            if run.left_as() == WAITING:  # else it was started by hand meanwhile
                check_base(run)
                run.update_info(state="queued", queued=time.time())
                start_parent(run, lock)
    except TunewrightError as fault:
        if run_lock.is_held(run.path):
            return
        with suppress(OSError, TunewrightError):  # removed meanwhile, or the disk refuses: it is looked at again
            run.update_info(state="failed", problems=list(fault.problems), exit_code=fault.exit_code, ended=time.time())


if __name__ == "__main__":
    serve()
