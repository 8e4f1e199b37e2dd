"""D1: memory ran out, was saved on the way, or was nearly all used."""

from tunewright.diagnose.evidence import Evidence
from tunewright.diagnose.suggested_changes import less_memory
from tunewright.errors import Problem
from tunewright.i18n import gib
from tunewright.rundir.finding import Finding

DIED = ("E402", "E404", "E405")
NEAR = 0.95  # the plan leaves a tenth free; where half of that is used up too, one longer row may end the run


def died(evidence: Evidence) -> Finding | None:
    """D103: the run ended because there was no memory left."""
    ended = next((problem for problem in evidence.problems if problem.code in DIED), None)
    if ended is None:
        return None
    step = ended.values.get("step", evidence.last_log.step if evidence.last_log else 0)
    values = {"step": step, "peak": gib(evidence.peak_bytes), "room": gib(evidence.room_bytes), "code": ended.code}
    return Finding(Problem("D103", values=values), "error", "certain", less_memory(evidence))


def saved_in_training(evidence: Evidence) -> Finding | None:
    """D101: memory ran out, and the run went on with a saving."""
    return _memory_alert(evidence, "D101")


def saved_in_tests(evidence: Evidence) -> Finding | None:
    """D102: memory ran out in a test, which went on in smaller batches."""
    return _memory_alert(evidence, "D102")


def _memory_alert(evidence: Evidence, code: str) -> Finding | None:
    """The last alert of a code, as it was raised; the run has fixed this itself."""
    alerts = [alert for alert in evidence.alerts if alert.code == code]
    return Finding(alerts[-1], "hint", "certain", ()) if alerts else None


def nearly_full(evidence: Evidence) -> Finding | None:
    """D104: the peak came near to all the memory that was free."""
    peak, room = evidence.peak_bytes, evidence.room_bytes
    if peak < NEAR * room or died(evidence):
        return None
    values = {"peak": gib(peak), "room": gib(room), "percent": round(100 * peak / room)}
    return Finding(Problem("D104", values=values), "hint", "certain", less_memory(evidence))
