"""Records of a run as tests write them down: the fields that matter, the others filled in."""

from collections.abc import Iterable, Mapping
from typing import Any

from tunewright.metrics.evaluated_rows import ExampleLoss, Sample
from tunewright.rundir.events import Event, parse_event

_NEEDED: dict[str, dict[str, Any]] = {
    "log": {"loss": None, "learning_rate": 1e-4, "tokens_per_second": 100.0, "eta_seconds": 1.0, "rss_bytes": 2**30},
    "eval": {"is_best": True},
    "score": {"which": "after", "rows": 1, "held_out_rows": 1, "seconds": 1.0},
}


def event(kind: str, **fields: Any) -> Any:
    """An event of this kind."""
    return parse_event({"seq": 0, "t": 0.0, "step": 0, "kind": kind, **_NEEDED.get(kind, {}), **fields})


def as_event(fields: Mapping[str, Any]) -> Event:
    """An event of a record that may lack fields."""
    return event(**fields)


def samples(rows: Iterable[Mapping[str, Any]]) -> list[Sample]:
    """Held-out rows with answers."""
    return [Sample.model_validate({"row": 1, "prompt": "p", "reference": "", "answer": "", **row}) for row in rows]


def losses(rows: Iterable[Mapping[str, Any]]) -> list[ExampleLoss]:
    """Losses of held-out rows."""
    return [ExampleLoss.model_validate(row) for row in rows]
