"""What cannot work, found before anything starts: all problems at once."""

import re

from tunewright.errors import Problem
from tunewright.facts.model import Model
from tunewright.i18n import N_
from tunewright.plan.plan import Facts
from tunewright.spec.run import Run


def check(run: Run, facts: Facts) -> list[Problem]:
    """Sense problems of a run on these facts; an empty list means that it can be planned."""
    problems = _check_targets(run, facts.model) + _check_rank(run, facts.model)
    limit = facts.model.max_position_embeddings
    if run.data.max_length != "auto" and run.data.max_length > limit:
        reason = N_("the model has {limit} positions").format(limit=limit)
        problems.append(_pair("data.max_length", str(run.data.max_length), reason, f"--set data.max_length={limit}"))
    if run.model.precision == "fp16" and _is_cpu(facts):
        reason = N_("fp16 needs a loss scaler, which works on a GPU only")
        problems.append(_pair("model.precision=fp16", "CPU", reason, "--set model.precision=auto"))
    return problems


def _pair(first: str, second: str, reason: str, fix: str) -> Problem:
    return Problem("E109", values={"first": first, "second": second, "reason": reason, "fix": fix})


def _is_cpu(facts: Facts) -> bool:
    return facts.machine.probe is None or facts.machine.probe.device == "cpu"


def matching(model: Model, targets: str | list[str]) -> list[str]:
    """Names of linear layers that `target_modules` means, by PEFT's rules: a list matches ends of names, a text is a pattern."""
    names = [group.name for group in model.linear]
    if targets == "all-linear":
        return names
    if isinstance(targets, str):
        return [g.name for g in model.linear if any(re.fullmatch(targets, path) for path in (g.name, *g.paths))]
    wanted = {target.rsplit(".", 1)[-1] for target in targets}
    return [name for name in names if name in wanted]


def _check_targets(run: Run, model: Model) -> list[Problem]:
    targets = run.peft.target_modules
    if targets == "auto" or not model.linear:
        return []
    try:
        found = matching(model, targets)
    except re.error as fault:
        reason = N_("is not a regular expression")
        return [
            Problem("E103", values={"key": "peft.target_modules", "reason": reason, "value": f"{targets} ({fault})"})
        ]
    missing = [t for t in targets if t.rsplit(".", 1)[-1] not in found] if isinstance(targets, list) else []
    if found and not missing:
        return []
    available = " ".join(f"{group.name} ({group.count})" for group in model.linear)
    example = "[" + ",".join(f'"{group.name}"' for group in model.linear[:2]) + "]"
    values = {
        "targets": str(missing or targets), "architecture": model.architecture, "available": available, "example": example,
    }  # fmt: skip
    return [Problem("E301", values=values)]


def _check_rank(run: Run, model: Model) -> list[Problem]:
    r, targets = run.peft.r, run.peft.target_modules
    if r == "auto" or targets == "auto":
        return []
    groups = [group for group in model.linear if group.name in matching(model, targets)]
    small = min(groups, key=lambda g: min(g.in_features, g.out_features), default=None)
    if small is None or r <= min(small.in_features, small.out_features):
        return []
    shape = f"{small.in_features} x {small.out_features}"
    return [
        Problem(
            "E312",
            values={"r": r, "name": small.name, "shape": shape, "largest": min(small.in_features, small.out_features)},
        )
    ]
