"""A proof for tests of what shows it."""

from typing import Any

from tunewright.rundir.records import Proof

FIGURES: dict[str, dict[str, float]] = {
    "logits": {"largest_gap": 0.0123, "mean_gap": 0.0004, "tolerance": 0.02, "mean_tolerance": 0.001},
    "score": {"run_score": 0.9, "score": 0.875, "low": 0.739, "high": 0.945},
}


def proof_of(what: str = "gguf q8_0, merged", **outcomes: str) -> Proof:
    """All checks hold but those named: answers="failed"."""
    checks: list[dict[str, Any]] = []
    for name in ("template", "ids", "end", "answers", "logits", "tuned", "score"):
        outcome = outcomes.get(name, "ok")
        is_wrong = outcome == "failed"
        checks.append({
            "name": name, "outcome": outcome, "held": 38 if is_wrong else 40, "total": 40, "rows": [7, 9] if is_wrong else [],
            "figures": FIGURES.get(name, {}), "reason": "answers differ from the run's" if is_wrong else "",
        })  # fmt: skip
    return Proof.model_validate({
        "schema": 1, "run": "0123", "name": "mita", "what": what, "created": 1.7e9, "engine": "llama.cpp b1",
        "precision": "q8_0", "compared_rows": 40, "is_held_out": True, "checks": checks,
    })  # fmt: skip
