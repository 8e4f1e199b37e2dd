"""Variants of a run: other ranks, methods and storage of the model side by side, each with its cost."""

from collections.abc import Mapping

from tunewright.config.load_config import patch
from tunewright.config.methods import METHODS, Method
from tunewright.config.resolved_config import ResolvedConfig
from tunewright.config.run_config import RunConfig
from tunewright.config.section import AUTO
from tunewright.i18n import N_
from tunewright.planning.check_config import check
from tunewright.planning.compatibility import check_method
from tunewright.planning.flops import frozen_numbers, work
from tunewright.planning.memory_estimate import full_fine_tuning
from tunewright.planning.resolve import effective_batch, estimate_for, kind_of, largest_step, resolve, trained_by
from tunewright.planning.run_plan import Alternative, FullFineTuning, InspectedFacts
from tunewright.planning.time_estimate import estimate_time

BYTES_A_PARAMETER = 4
METHODS_BESIDE: tuple[Method, ...] = ("lora", "ia3", "prompt_tuning")


def alternatives(run: ResolvedConfig, facts: InspectedFacts, factor: float = 1.0) -> tuple[Alternative, ...]:
    """What else a run could be; only what works for this model and task."""
    candidates = [*_ranks(run), *_savings(run), *_stored(run)]
    results = [
        _alternative(patch(run, changes), facts, title, changes, values, factor)
        for title, changes, values in candidates
    ]
    results += [_of_method(run, facts, method, factor) for method in METHODS_BESIDE if method != run.method]
    return tuple(alternative for alternative in results if alternative is not None)


WantedMethods = tuple[str, Mapping[str, object], Mapping[str, object]]


def _ranks(run: ResolvedConfig) -> list[WantedMethods]:
    rank = dict(run.peft).get("r")
    if not isinstance(rank, int):
        return []
    alpha = dict(run.peft).get("lora_alpha")
    ranks = [value for value in (rank // 2, 2 * rank) if value >= 1]
    return [
        (N_("rank {rank}"), {"peft.r": r, **({"peft.lora_alpha": 2 * r} if alpha else {})}, {"rank": r}) for r in ranks
    ]


def _savings(run: ResolvedConfig) -> list[WantedMethods]:
    savings: list[WantedMethods] = []
    rows, batch = run.train.per_device_train_batch_size, effective_batch(run)
    half = rows // 2
    if half and batch % half == 0:
        changes = {"train.per_device_train_batch_size": half, "train.gradient_accumulation_steps": batch // half}
        values = {"rows": half, "now": rows, "batch": batch}
        savings.append((N_("{rows} rows at once instead of {now}, the effective batch stays {batch}"), changes, values))
    if not run.train.activation_checkpointing and run.method != "prefix_tuning":
        savings.append((N_("activations recomputed (checkpointing)"), {"train.activation_checkpointing": True}, {}))
    return savings


def _stored(run: ResolvedConfig) -> list[WantedMethods]:
    title = N_("frozen weights in {kind}")
    kinds = ("8bit", "4bit", "none")
    return [
        (title, {"model.quantization": k}, {"kind": k}) for k in kinds if k != run.model.quantization and k != "none"
    ]


def _of_method(run: ResolvedConfig, facts: InspectedFacts, method: Method, factor: float) -> Alternative | None:
    """The run by another method, whose own fields the plan chooses."""
    open_config = RunConfig.model_validate({**run.model_dump(), "method": method, "peft": {}})
    resolved, _choices = resolve(patch(open_config, {"train.learning_rate": AUTO}), facts)
    title = METHODS[method].title
    return _alternative(resolved, facts, "{title}", {"method": method}, {"title": title}, factor)


def _alternative(
    run: ResolvedConfig,
    facts: InspectedFacts,
    title: str,
    changes: Mapping[str, object],
    values: Mapping[str, object],
    factor: float,
) -> Alternative | None:
    if check(run, facts) or check_method(run, facts):
        return None
    memory = estimate_for(run, facts)
    time = estimate_time(run, facts, factor)
    trained = trained_by(run, facts)
    return Alternative(
        title=title,
        changes=dict(changes),
        values=dict(values),
        peak_bytes=memory.peak_bytes,
        seconds=round(time.seconds, 1) if time else None,
        trainable_parameters=trained,
        adapter_bytes=BYTES_A_PARAMETER * trained,
        fits=memory.peak_bytes <= facts.room_for_each(run.launch.processes),
    )


def in_full(run: ResolvedConfig, facts: InspectedFacts, factor: float = 1.0) -> FullFineTuning:
    """What training every weight of the model on the same rows would take."""
    kind = kind_of(run, facts)
    memory = full_fine_tuning(
        run, facts.model, largest_step(run, facts), num_labels=len(facts.data.labels) or 1, kind=kind
    )
    time, todo = estimate_time(run, facts, factor), work(run, facts)
    if time is None:
        return FullFineTuning(memory=memory, seconds=None)
    # Two more operations for the gradient of each weight and token.
    more = 2 * frozen_numbers(facts.model) * todo.row_tokens * effective_batch(run) / todo.step
    return FullFineTuning(memory=memory, seconds=round(time.seconds + more * time.parts["train"], 1))
