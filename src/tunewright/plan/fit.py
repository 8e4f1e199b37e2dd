"""The ladder of savings: what is given up when the plan does not fit, cheapest loss of quality first."""

from collections.abc import Callable

from tunewright.i18n import N_
from tunewright.plan.adapter import choice
from tunewright.plan.choose import effective_batch, estimate_for, room_bytes, value_at
from tunewright.plan.plan import Choice, Facts
from tunewright.spec.load import patch
from tunewright.spec.run import Run

SHARE_OF_FREE = 0.9


def _smaller_micro_batch(run: Run) -> dict[str, int] | None:
    rows, batch = run.train.per_device_train_batch_size, effective_batch(run)
    smaller = next((n for n in range(int(rows) - 1, 0, -1) if batch % n == 0), None)
    if smaller is None:
        return None
    return {"train.per_device_train_batch_size": smaller, "train.gradient_accumulation_steps": batch // smaller}


def _checkpoint_activations(run: Run) -> dict[str, bool] | None:
    is_out = run.train.activation_checkpointing or run.method == "prefix_tuning"  # its prefix is a cache
    return None if is_out else {"train.activation_checkpointing": True}


RUNGS: tuple[tuple[Callable[[Run], dict[str, int] | dict[str, bool] | None], str], ...] = (
    (_smaller_micro_batch, N_("fewer rows at once fit into {free} GiB; the effective batch stays {batch}")),
    (_checkpoint_activations, N_("activations are recomputed to fit into {free} GiB; nothing of the result changes")),
)


def fit(run: Run, facts: Facts, *, asked: Run) -> tuple[Run, list[Choice]]:
    """The run made smaller until it fits; values that were asked for are never changed."""
    made: dict[str, Choice] = {}
    room = SHARE_OF_FREE * room_bytes(facts)
    for rung, reason in RUNGS:
        while _peak(run, facts) > room:
            changes = rung(run)
            if changes is None or any(value_at(asked, path) != "auto" for path in changes):
                break
            run = patch(run, changes)
            values = {"free": f"{room_bytes(facts) / 2**30:.1f}", "batch": effective_batch(run)}
            made.update({path: choice(path, value, reason, **values) for path, value in changes.items()})
    return run, list(made.values())


def _peak(run: Run, facts: Facts) -> int:
    return estimate_for(run, facts, checkpointing=bool(run.train.activation_checkpointing)).peak_bytes
