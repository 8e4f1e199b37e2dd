"""What the supervisor changes so that a run can continue: the next memory fallback after an out-of-memory, and loading rows in
the worker itself when a dataloader process died.
"""

import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tunewright.errors import Problem
from tunewright.i18n import N_, gib
from tunewright.inspection.machine_info import has_bitsandbytes
from tunewright.inspection.memory_monitor import MemoryMonitor
from tunewright.planning.memory_fallback import LOADER_ORIGIN, next_saving, remedied, what_would_help
from tunewright.planning.run_plan import Plan
from tunewright.rundir import atomic_io, file_names
from tunewright.rundir.checkpoints import CheckpointStore
from tunewright.rundir.events import Event, FailedEvent, PhaseBeginEvent
from tunewright.rundir.records import FallbackRecord
from tunewright.rundir.run_dir import RunDir

TESTS = ("evaluate_before", "evaluate_after")
TRAINING = ("rehearse", "train")
WITHOUT_MODEL = ("", "prepare")
REFUSED = N_("the worker was refused the memory it requested")
BAD_ALLOC = "std::bad_alloc"  # what C++ prints before it aborts for lack of memory
# A new worker has to load the model again, so its evaluation starts with a quarter of the batch, not with half.
HALVINGS_AT_ONCE = 2
MOST_HALVINGS = 6


@dataclass(frozen=True)
class MemoryShortage:
    """Memory that ran out: in which phase and at which step, how that is known, and the problem it is if nothing helps."""

    phase: str
    step: int
    evidence: str
    peak: str
    total: str
    problem: Problem


def shortage(code: int, events: Sequence[Event], log: str, pressure: MemoryMonitor) -> MemoryShortage | None:
    """Whether a worker ended because memory ran out; None for any other reason.

    `events` and `log` are those of this worker. A kill without evidence of memory pressure was sent by a user.
    """
    last = events[-1] if events else None
    step = last.step if last else 0
    peak, total = gib(pressure.peak_bytes), gib(pressure.total_bytes)
    if isinstance(last, FailedEvent) and last.problems[0].code == "E404":
        reported = last.problems[0]
        values = {
            name: value for name, value in reported.values.items() if name != "name"
        }  # its fix is what was done here
        return MemoryShortage(_phase(events), step, REFUSED, peak, total, Problem("E404", reported.where, values))
    if code == -signal.SIGABRT and BAD_ALLOC in log:
        refused = Problem("E404", values={"step": step, "reason": BAD_ALLOC})
        return MemoryShortage(_phase(events), step, REFUSED, peak, total, refused)
    evidence = pressure.evidence() if code == -signal.SIGKILL else None
    if evidence is None:
        return None
    problem = Problem("E402", values={"step": step, "peak": peak, "total": total})
    return MemoryShortage(_phase(events), step, evidence, peak, total, problem)


def save(run: RunDir, short: MemoryShortage) -> bool:
    """Apply the next memory fallback to the run's plan, with an alert; False if none is left."""
    plan = _plan(run)
    halvings = run.info().test_halvings
    if short.phase in TESTS and halvings < MOST_HALVINGS:
        now = halvings + HALVINGS_AT_ONCE
        words = (N_("batches of a test"), f"1/{2**halvings}", f"1/{2**now}")
        _note(run, short, words, plan.effective_batch, test_halvings=now)
        return True
    if short.phase in WITHOUT_MODEL:
        return False
    saving = next_saving(plan, in_training=short.phase in TRAINING)
    if saving is None:
        return False
    atomic_io.write_text(run.file(file_names.PLAN), saving.plan.model_dump_json(indent=1) + "\n")
    _note(run, short, (saving.what, saving.was, saving.now), saving.plan.effective_batch)
    return True


def load_rows_itself(run: RunDir, last: Event | None) -> bool:
    """Have the next worker load rows itself if a dataloader process died; with an alert."""
    if not isinstance(last, FailedEvent) or last.problems[0].code != "E514":
        return False
    plan = remedied(_plan(run), {"train.dataloader_num_workers": 0}, LOADER_ORIGIN)
    atomic_io.write_text(run.file(file_names.PLAN), plan.model_dump_json(indent=1) + "\n")
    tell(run, Problem("W504", values={"step": last.step, "start": last_sealed(run)}), last.step)
    return True


def nothing_left(run: RunDir, short: MemoryShortage) -> list[Problem]:
    """Why a run ends for lack of memory: what happened, how many fallbacks were tried, and what would help."""
    plan = _plan(run)
    num_remedies = len(run.info().remedies)
    helps = what_would_help(plan)
    return [short.problem, Problem("E405", values={"count": num_remedies, "name": run.name, **helps})]


def _note(run: RunDir, short: MemoryShortage, words: tuple[str, str, str], batch: int, **changes: Any) -> None:
    """Record the fallback as an alert, in run.json and in the log."""
    what, was, now = words
    values = {
        "step": short.step, "evidence": short.evidence, "peak": short.peak, "total": short.total, "what": what, "was": was,
        "now": now, "start": last_sealed(run), "batch": batch,
    }  # fmt: skip
    fallback = FallbackRecord.model_validate({"code": "D101", "time": time.time(), "phase": short.phase, **values})
    run.update_info(remedies=[*run.info().remedies, fallback], **changes)
    tell(run, Problem("D101", values=values), short.step)


def last_sealed(run: RunDir) -> int:
    """The step of the last checkpoint, from which a run continues."""
    sealed = CheckpointStore(run.checkpoints_dir, run.info().id).own()
    return sealed[-1][0] if sealed else 0


def tell(run: RunDir, problem: Problem, step: int) -> None:
    """An alert of the parent, among the events and in the log."""
    events = run.events
    events.step = step
    events.alert(problem)
    run.log(f"{problem.code} {problem.message()}")


def _phase(events: Sequence[Event]) -> str:
    """The phase that started last."""
    phases = [event.phase for event in events if isinstance(event, PhaseBeginEvent)]
    return phases[-1] if phases else ""


def _plan(run: RunDir) -> Plan:
    """The run's plan; bitsandbytes may have been installed since it was written."""
    plan = run.plan()
    machine = plan.facts.machine.model_copy(update={"has_bitsandbytes": has_bitsandbytes()})
    return plan.model_copy(update={"facts": plan.facts.model_copy(update={"machine": machine})})
