"""Numbers and names as people read them: units, percent, labels of metrics, phases, parts and kinds of rows."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tunewright.i18n import N_, _

METRICS: Mapping[str, str] = {
    "exact_match": N_("Answers exactly right"),
    "field_f1": N_("Fields right (F1)"),
    "valid": N_("Valid JSON objects"),
    "held_out_loss": N_("Held-out loss"),
    "perplexity": N_("Perplexity"),
}
STATES: Mapping[str, str] = {
    "queued": N_("waiting"),
    "preparing": N_("preparing"),
    "running": N_("running"),
    "stopping": N_("stopping"),
    "finished": N_("finished"),
    "stopped": N_("stopped"),
    "failed": N_("failed"),
    "lost": N_("lost"),
}
PHASES: Mapping[str, str] = {
    "prepare": N_("Preparing the data"),
    "load": N_("Loading the model"),
    "evaluate_before": N_("Measuring the base model"),
    "train": N_("Training"),
    "save": N_("Saving"),
    "evaluate_after": N_("Measuring the tuned model"),
}
PARTS: Mapping[str, str] = {
    "libraries": N_("libraries"),
    "weights": N_("frozen weights"),
    "adapter": N_("adapter"),
    "gradients": N_("gradients"),
    "optimizer": N_("optimizer"),
    "activations": N_("activations"),
    "loss": N_("loss"),
}
KINDS: Mapping[str, tuple[str, str]] = {
    "damaged": (N_("cannot be read"), N_("left out")),
    "empty": (N_("empty"), N_("left out")),
    "missing_field": (N_("a field is missing"), N_("left out")),
    "role_order": (N_("turns in the wrong order"), N_("left out")),
    "refused_by_template": (N_("refused by the chat template"), N_("left out")),
    "masked_out": (N_("nothing of the answer fits"), N_("left out")),
    "without_end_token": (N_("no end token to learn"), N_("left out")),
    "leaked": (N_("held-out row that also stands in training"), N_("left out")),
    "truncated": (N_("longer than max_length"), N_("used, cut")),
    "duplicate": (N_("repeats an earlier row"), N_("used")),
    "conflict": (N_("same question, another answer"), N_("used")),
    "control_tokens": (N_("control tokens in the text"), N_("used")),
}
LENGTHS: Mapping[str, str] = {
    "median": N_("median"), "p95": N_("95 % within"), "p99": N_("99 % within"), "longest": N_("longest"),
}  # fmt: skip
DASH = "–"


def label(table: Mapping[str, str], name: str) -> str:
    """The word for a name; a name without one stands for itself."""
    return _(table[name]) if name in table else name


def score(metric: str, value: float | None) -> str:
    """A score as the metric is read: shares in percent, losses as numbers."""
    if value is None:
        return DASH
    if metric in ("held_out_loss", "perplexity"):
        return f"{value:.3f}" if value < 10 else f"{value:,.1f}" if value < 1e5 else f"{value:.2g}"
    return percent(value)


def percent(share: float) -> str:
    return f"{100 * share:.1f}\u00a0%" if 0 < share < 1 else f"{100 * share:.0f}\u00a0%"


def size(num_bytes: float | None) -> str:
    if num_bytes is None:
        return DASH
    for unit, power in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if num_bytes >= 2**power:
            return f"{num_bytes / 2**power:.1f}\u00a0{unit}"
    return f"{num_bytes:.0f}\u00a0B"


def duration(seconds: float | None) -> str:
    if seconds is None:
        return DASH
    if seconds < 60:
        return f"{seconds:.1f}\u00a0s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}\u00a0h {minutes:02d}\u00a0min" if hours else f"{minutes}\u00a0min {rest:02d}\u00a0s"


def number(value: float | None) -> str:
    """An integer with separators; other numbers with four significant digits."""
    if value is None:
        return DASH
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def count(value: int) -> str:
    """A count of parameters: 1.84 M."""
    for unit, power in (("B", 9), ("M", 6), ("k", 3)):
        if value >= 10**power:
            return f"{value / 10**power:.3g}\u00a0{unit}"
    return str(value)


def moment(timestamp: float) -> str:
    return f"{datetime.fromtimestamp(timestamp):%Y-%m-%d %H:%M}"


def plain(value: Any) -> str:
    """A config value on one line."""
    if isinstance(value, str):
        return value
    return ", ".join(map(plain, value)) if isinstance(value, list) else json.dumps(value, ensure_ascii=False)
