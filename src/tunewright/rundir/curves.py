"""The curves of a run: what was logged and measured by step, as if it had never been interrupted."""

from collections.abc import Iterable
from typing import Any

Event = dict[str, Any]


def curves(events: Iterable[Event]) -> tuple[list[Event], list[Event]]:
    """`log` and `eval` events in the order of their steps; what a later session did again replaces the earlier."""
    logs: list[Event] = []
    evals: list[Event] = []
    for event in events:
        if event["kind"] not in ("log", "eval"):
            continue
        is_log = event["kind"] == "log"
        # In one session a step is logged before it is measured, so a log also overtakes the measurement of its step.
        while evals and evals[-1]["step"] >= event["step"]:
            evals.pop()
        while logs and (logs[-1]["step"] > event["step"] or (is_log and logs[-1]["step"] == event["step"])):
            logs.pop()
        (logs if is_log else evals).append(event)
    return logs, evals
