"""Why a run ended: the one answer that `train --json`, diagnose, report and summary give."""

from tunewright.errors import Problem, of_system
from tunewright.rundir import atomic_io
from tunewright.rundir.events import FailedEvent
from tunewright.rundir.run_dir import LIVE, RunDir


def end_problems(run: RunDir) -> list[Problem]:
    """The problems that ended the last session of a run; none while it is live, and none if it ended well.

    What the supervisor wrote into run.json comes first: it sees signals and memory, which a worker that was killed cannot
    report. Without it (the supervisor died first) the worker's `failed` event counts. A lost run has neither; if its disk
    refuses to be written now, that is the reason. Raises: TrainingError E525.
    """
    stored = run.info().problems
    state = run.state()
    if state in LIVE or state == "finished":
        return []
    if stored:
        return list(stored)
    last = run.last_event()
    if isinstance(last, FailedEvent):
        return list(last.problems)
    refusal = atomic_io.refusal(run.path) if state == "lost" else None
    return list(of_system(refusal, run.path).problems) if refusal else []
