"""`make_plan`: the only function from a run and facts to a plan."""

from collections.abc import Mapping

from tunewright.config.dotted_paths import value_at
from tunewright.config.load_config import DEFAULT, DEMO
from tunewright.config.resolved_config import ResolvedConfig
from tunewright.config.run_config import RunConfig
from tunewright.config.section import AUTO
from tunewright.errors import errors_of
from tunewright.i18n import N_
from tunewright.planning.alternatives import alternatives, in_full
from tunewright.planning.check_config import check, check_rows
from tunewright.planning.compatibility import check_method, check_schedule
from tunewright.planning.fast_paths import fast_paths, path_choices
from tunewright.planning.memory_ladder import fit
from tunewright.planning.passthrough_settings import check_blocks, check_counts, check_passed_on
from tunewright.planning.resolve import adapted_by, effective_batch, estimate_for, num_steps, resolve, trained_by
from tunewright.planning.run_plan import KEYED_FROM_ROWS, InspectedFacts, Plan, PlannedChoice
from tunewright.planning.time_estimate import estimate_time

ADAPTER_BYTES_PER_PARAMETER = 4
CHECKPOINTS_AT_ONCE = 4  # the newest two, the best, and the one being written


def make_plan(
    run: RunConfig,
    facts: InspectedFacts,
    origins: Mapping[str, str] | None = None,
    detected: tuple[PlannedChoice, ...] = (),
    factor: float = 1.0,
    *,
    with_alternatives: bool = True,
) -> Plan:
    """The plan of a run on these facts. Pure: the same input gives the same plan.

    `origins` says where each configured value comes from; `detected` are choices made on the way to the facts; `factor` is how
    much slower than the formula this machine was found to be. Cost: the alternatives take three quarters of the time.
    Raises: ConfigError, ModelError with all problems found.
    """
    problems = check_passed_on(run, facts.model) or check(run, facts) + check_method(run, facts)
    if problems:
        raise errors_of(problems)
    resolved, choices = resolve(run, facts)
    if problems := check_counts(effective_batch(resolved), num_steps(resolved, facts)):
        raise errors_of(problems)
    resolved, savings = fit(resolved, facts, config=run)
    problems = check(resolved, facts) + check_schedule(resolved, num_steps(resolved, facts))
    problems += check_rows(resolved.launch, effective_batch(resolved))
    problems += check_blocks(resolved, adapted_by(resolved, facts).groups(facts.model))
    if problems:
        raise errors_of(problems)
    memory = estimate_for(resolved, facts)
    trained = trained_by(resolved, facts)
    adapter_bytes = ADAPTER_BYTES_PER_PARAMETER * trained
    return Plan(
        run=resolved,
        choices=(
            *_user_choices(origins or {}, resolved),
            *detected,
            *_merge(choices, savings),
            *path_choices(resolved, facts),
        ),
        memory=memory,
        fits=memory.peak_bytes <= facts.room_for_each(resolved.launch.processes),
        num_steps=num_steps(resolved, facts),
        effective_batch=effective_batch(resolved),
        trainable_parameters=trained,
        adapter_bytes=adapter_bytes,
        disk_bytes=adapter_bytes * (1 + 3 * CHECKPOINTS_AT_ONCE),
        fast_paths=fast_paths(resolved, facts),
        facts=facts,
        time=estimate_time(resolved, facts, factor),
        alternatives=alternatives(resolved, facts, factor) if with_alternatives else (),
        full_fine_tuning=in_full(resolved, facts, factor) if with_alternatives else None,
        row_order="keyed" if facts.data.num_sequences >= KEYED_FROM_ROWS else "randperm",
    )


def _merge(choices: list[PlannedChoice], savings: list[PlannedChoice]) -> list[PlannedChoice]:
    """A saving replaces the choice it overrides."""
    saved = {choice.path for choice in savings}
    return [choice for choice in choices if choice.path not in saved] + savings


def _user_choices(origins: Mapping[str, str], run: ResolvedConfig) -> list[PlannedChoice]:
    """The values that were set, and where; `fast_paths`, a mapping, has choices of its own."""
    choices = []
    for path, origin in origins.items():
        value = value_at(run, path)
        is_mapping = isinstance(value, dict) and "." not in path
        if origin != DEFAULT and value != AUTO and not is_mapping:
            reason = N_("set by the demo, not by you") if origin == DEMO else N_("set by you")
            choices.append(PlannedChoice(path=path, value=value, origin=origin, reason=reason))
    return choices
