"""The runs that wait for this machine."""

from dataclasses import dataclass

from tunewright.api.run_handle import TrainedRun
from tunewright.errors import TrainingError
from tunewright.launch import queue_runner
from tunewright.rundir import run_queue


@dataclass(frozen=True)
class QueueState:
    """What runs on this machine, what waits in its order, and whether anybody starts it."""

    running: list[TrainedRun]
    waiting: list[TrainedRun]
    is_paused: bool
    has_runner: bool

    @property
    def is_stuck(self) -> bool:
        """Whether runs wait and nobody starts them, as after a start of the machine."""
        return bool(self.waiting) and not self.is_paused and not self.has_runner


def queue() -> QueueState:
    """The queue as it is now. Raises: TrainingError E525."""
    state = run_queue.read()
    running, waiting = ([TrainedRun(run) for run in runs] for runs in (run_queue.running(), state.runs))
    return QueueState(running, waiting, state.is_paused, run_queue.has_runner())


def move_in_queue(run: TrainedRun, place: int) -> int:
    """Give a run another place, 1 for the next one; its place then. Raises: ConfigError E116 if it does not wait."""
    return queue_runner.move(run.dir, place)


def cancel_in_queue(run: TrainedRun) -> None:
    """Take a run out of the queue, stopped before it began. Raises: ConfigError E116 if it does not wait."""
    queue_runner.cancel(run.dir)


def pause_queue() -> None:
    """Start none of the runs that wait any more; what runs goes on."""
    queue_runner.pause()


def start_queue() -> None:
    """Start the runs that wait, one after another, after a pause or after a start of the machine."""
    queue_runner.go()


def planned_seconds(run: TrainedRun) -> float | None:
    """How long a run takes by its plan; None where the plan does not say, or cannot be read."""
    try:
        time = run.plan.time
    except TrainingError:
        return None
    return time.seconds if time else None
