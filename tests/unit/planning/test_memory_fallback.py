"""The ladder of savings after memory ran out: pure, in its order, to its end."""

from collections.abc import Callable

import pytest

from tunewright.config.run_config import RunConfig
from tunewright.inspection.machine_info import SpeedProbe
from tunewright.planning.make_plan import make_plan
from tunewright.planning.memory_fallback import next_saving, remedied, remedies, what_would_help, wishes
from tunewright.planning.run_plan import InspectedFacts, Plan

Build = Callable[..., InspectedFacts]


def plan_of(
    facts: Build, *user_set: str, has_bitsandbytes: bool = True, probe: SpeedProbe | None = None, **sections: object
) -> Plan:
    run = RunConfig.model_validate({"model": "smollm2", "data": "rows.jsonl", "task": "causal_lm", **sections})
    known = facts(probe=probe)
    machine = known.machine.model_copy(update={"has_bitsandbytes": has_bitsandbytes})
    return make_plan(run, known.model_copy(update={"machine": machine}), dict.fromkeys(user_set, "--set"))


def ladder(plan: Plan, *, in_training: bool = True) -> list[tuple[str, str, str]]:
    """All savings to the end, in words; the effective batch is looked at on every rung."""
    steps, batch = [], plan.effective_batch
    while saving := next_saving(plan, in_training=in_training):
        plan = saving.plan
        assert plan.effective_batch == batch
        steps.append((saving.what, saving.was, saving.now))
        assert len(steps) < 20
    return steps


BATCH = {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 2}
SPLITS = [
    ("rows at once x micro-batches", "8 x 2", "4 x 4"),
    ("rows at once x micro-batches", "4 x 4", "2 x 8"),
    ("rows at once x micro-batches", "2 x 8", "1 x 16"),
]
CHECKPOINTING = ("activation checkpointing", "off", "on")
EIGHT_BIT = ("weights of the base", "fp32", "8bit")


def test_the_cheapest_saving_comes_first(facts: Build) -> None:
    assert ladder(plan_of(facts, train=BATCH)) == [*SPLITS, CHECKPOINTING, EIGHT_BIT]


def test_a_split_may_be_changed_though_it_was_asked_for(facts: Build) -> None:
    user_set = tuple(f"train.{name}" for name in BATCH)
    assert ladder(plan_of(facts, *user_set, train=BATCH)) == [*SPLITS, CHECKPOINTING, EIGHT_BIT]


def test_what_was_asked_for_otherwise_is_never_changed(facts: Build) -> None:
    user_set = ("train.activation_checkpointing", "model.quantization")
    plan = plan_of(facts, *user_set, train=BATCH | {"activation_checkpointing": False})
    assert ladder(plan) == SPLITS


def test_splits_that_divide_the_effective_batch_are_taken(facts: Build) -> None:
    odd = {"per_device_train_batch_size": 9, "gradient_accumulation_steps": 1}
    assert [now for _what, _was, now in ladder(plan_of(facts, train=odd))[:2]] == ["3 x 3", "1 x 9"]


def test_outside_of_training_only_the_weights_can_be_smaller(facts: Build) -> None:
    assert ladder(plan_of(facts, train=BATCH), in_training=False) == [EIGHT_BIT]


def test_eight_bits_need_bitsandbytes_and_a_method_that_can_train_on_them(facts: Build) -> None:
    assert EIGHT_BIT not in ladder(plan_of(facts, train=BATCH, has_bitsandbytes=False))
    assert EIGHT_BIT not in ladder(plan_of(facts, train=BATCH, method="vera"))
    assert CHECKPOINTING not in ladder(plan_of(facts, train=BATCH, method="prefix_tuning"))


@pytest.mark.fast_paths
def test_a_processor_that_multiplies_in_8_bits_needs_no_bitsandbytes_for_them(facts: Build) -> None:
    flops, rates = {"fp32": 250e9}, {"mkl": 200e9, "int8": 900e9}
    probe = SpeedProbe(device="cpu", device_name="CPU", memory_bytes=0, flops=flops, matmul=rates)
    assert EIGHT_BIT in ladder(plan_of(facts, train=BATCH, has_bitsandbytes=False, probe=probe))


@pytest.mark.fast_paths
def test_a_split_that_leaves_the_largest_micro_batch_as_it_is_is_passed_over(facts: Build) -> None:
    # A step of the longest rows has 4 x 490 tokens, so micro-batches of 2,048 and more hold it whole: 4 x 1024, 2 x 1024.
    train = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 1}
    plan = plan_of(facts, train=train, data={"train": "rows.jsonl", "max_length": 1024})
    assert [now for _what, _was, now in ladder(plan)[:1]] == ["1 x 4"]


def test_the_plan_tells_what_was_changed_and_keeps_the_rest(facts: Build) -> None:
    plan = plan_of(facts, "train.gradient_accumulation_steps", train=BATCH)
    saving = next_saving(plan, in_training=True)
    assert saving is not None
    changed = {"train.per_device_train_batch_size": 4, "train.gradient_accumulation_steps": 4}
    assert remedies(saving.plan) == changed
    assert wishes(saving.plan) == {}
    paths = [choice.path for choice in saving.plan.choices]
    assert len(paths) == len(set(paths))
    others = {choice.path: choice for choice in plan.choices if choice.path not in changed}
    assert {choice.path: choice for choice in saving.plan.choices if choice.path not in changed} == others
    assert all(choice.why() for choice in saving.plan.choices)
    assert saving.plan.time == plan.time
    assert saving.plan.memory.peak_bytes < plan.memory.peak_bytes


def test_savings_are_kept_side_by_side(facts: Build) -> None:
    plan = remedied(plan_of(facts, train=BATCH), {"train.activation_checkpointing": True})
    saving = next_saving(plan, in_training=False)
    assert saving is not None
    assert remedies(saving.plan) == {"train.activation_checkpointing": True, "model.quantization": "8bit"}


@pytest.mark.parametrize(
    ("user_set", "has_bitsandbytes", "expected"),
    [
        ((), True, {"shorter", "rank"}),
        ((), False, {"shorter", "rank", "package"}),
        (("model.quantization", "train.activation_checkpointing"), True,
         {"shorter", "rank", "quantization", "checkpointing"}),
    ],
)  # fmt: skip
def test_at_the_end_only_what_was_not_used_is_recommended(
    facts: Build, user_set: tuple[str, ...], has_bitsandbytes: bool, expected: set[str]
) -> None:
    train = BATCH | {"activation_checkpointing": False}
    plan = plan_of(facts, *user_set, has_bitsandbytes=has_bitsandbytes, train=train)
    while saving := next_saving(plan, in_training=True):
        plan = saving.plan
    assert set(what_would_help(plan)) == expected
