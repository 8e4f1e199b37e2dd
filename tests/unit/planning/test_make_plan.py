"""Plans as values: what `auto` becomes, why, and what is refused."""

from collections.abc import Callable

import pytest

from tunewright.config.run_config import RunConfig
from tunewright.errors import ConfigError, ModelError
from tunewright.inspection.machine_info import SpeedProbe
from tunewright.planning.check_config import matching
from tunewright.planning.make_plan import make_plan
from tunewright.planning.run_plan import InspectedFacts, Plan

from .conftest import smollm2

Build = Callable[..., InspectedFacts]


def ask(**sections: object) -> RunConfig:
    return RunConfig.model_validate({"model": "smollm2", "data": "rows.jsonl", "task": "causal_lm", **sections})


def chosen(plan: Plan, path: str) -> object:
    return next(choice.value for choice in plan.choices if choice.path == path)


def test_a_plan_has_no_auto_left(facts: Build) -> None:
    plan = make_plan(ask(), facts())
    # Of labels, which these rows lack; as the data are laid out; and as each file is.
    open_ones = ('"problem_type":"auto"', '"holdout":"auto"', '"sample_by":"auto"')
    left = plan.run.model_dump_json()
    for value in open_ones:
        left = left.replace(value, "")
    assert "auto" not in left
    assert plan.fits
    assert all(choice.why() and "{" not in choice.why() for choice in plan.choices)


def test_the_same_input_gives_the_same_plan(facts: Build) -> None:
    assert make_plan(ask(), facts()) == make_plan(ask(), facts())


def test_a_stored_plan_is_the_plan(facts: Build) -> None:
    plan = make_plan(ask(peft={"use_rslora": True}, train={"adam_beta2": 0.95}), facts())
    assert Plan.model_validate(plan.model_dump(mode="json")) == plan
    assert Plan.model_validate(plan.model_dump(mode="json")).run.peft.extra == {"use_rslora": True}


@pytest.mark.parametrize(
    ("preset", "r", "names"),
    [
        ("simple", 8, ["q_proj", "v_proj"]),
        ("medium", 16, ["q_proj", "k_proj", "v_proj", "o_proj"]),
        ("complex", 32, ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]),
    ],
)
def test_presets_give_rank_alpha_and_layers(facts: Build, preset: str, r: int, names: list[str]) -> None:
    plan = make_plan(ask(preset=preset), facts(memory=32))
    assert (plan.run.peft.r, plan.run.peft.lora_alpha, plan.run.peft.target_modules) == (r, 2 * r, names)


@pytest.mark.parametrize(("memory", "most"), [(8, 8), (16, 16), (32, 32)])
def test_the_rank_follows_the_memory(facts: Build, memory: int, most: int) -> None:
    assert make_plan(ask(preset="complex"), facts(memory=memory, free=memory - 2)).run.peft.r == most


def test_trainable_parameters_are_those_of_the_layers(facts: Build) -> None:
    assert make_plan(ask(), facts()).trainable_parameters == 1_843_200


def test_full_fine_tuning_trains_the_weights_of_the_linear_layers_by_small_steps(facts: Build) -> None:
    plan = make_plan(ask(method="ln_tuning", peft={"target_modules": "all-linear"}), facts())
    groups = facts().model.linear
    assert plan.trainable_parameters == sum(g.in_features * g.out_features * g.count for g in groups) > 10**8
    assert plan.run.train.learning_rate == 1e-4
    adapter = make_plan(ask(), facts())
    assert plan.memory.peak_bytes > adapter.memory.peak_bytes + 3 * 4 * 10**8, "weights, gradients and moments"


def test_the_length_keeps_99_percent_of_rows_whole(facts: Build) -> None:
    assert make_plan(ask(), facts(p99=300, longest=2944)).run.data.max_length == 320
    assert make_plan(ask(), facts(p99=300, longest=310)).run.data.max_length == 320


def test_less_memory_gives_smaller_micro_batches_and_the_same_effective_batch(facts: Build) -> None:
    roomy, tight = make_plan(ask(), facts()), make_plan(ask(), facts(free=1.6))
    assert tight.effective_batch == roomy.effective_batch
    assert tight.memory.peak_bytes < roomy.memory.peak_bytes
    assert int(str(tight.run.train.per_device_train_batch_size)) < int(str(roomy.run.train.per_device_train_batch_size))


def test_what_was_asked_for_is_never_changed_to_fit(facts: Build) -> None:
    plan = make_plan(ask(train={"per_device_train_batch_size": 8, "activation_checkpointing": False}), facts(free=1.2))
    assert plan.run.train.per_device_train_batch_size == 8
    assert not plan.fits


@pytest.mark.parametrize("rows", [2**31 - 1, 2**31 - 2, 2**30, 46341 * 46337])
def test_rows_at_once_of_any_size_are_planned_without_trying_each_smaller_number(facts: Build, rows: int) -> None:
    settings = {"per_device_train_batch_size": rows, "gradient_accumulation_steps": 1}
    plan = make_plan(ask(train=settings), facts())
    assert plan.effective_batch == rows and not plan.fits


MATMUL = {"mkl": 200e9, "onednn": 250e9, "bf16": 600e9}


def cpu(matmul: dict[str, float] | None = None, **training: float) -> SpeedProbe:
    flops = {"fp32": 250e9, "bf16": 900e9}
    return SpeedProbe(
        device="cpu", device_name="CPU", memory_bytes=0, flops=flops, matmul=matmul or {}, training=training
    )


@pytest.mark.parametrize(
    ("probe", "precision", "why"),
    [
        (None, "fp32", "was not measured"),
        (cpu(), "fp32", "bf16 was not measured on this CPU"),
        (
            cpu({**MATMUL, "bf16": 150e9}),
            "fp32",
            "bf16 150 against 250 GFLOP/s in fp32; mixed precision would be no faster",
        ),
        (cpu(MATMUL, fp32=2e11, mixed=2.4e11), "fp32", "1.2 times as fast; below 1.3 times"),
        (cpu(MATMUL, fp32=2e11, mixed=5e11), "mixed", "trains 2.5 times as fast"),
    ],
)
def test_mixed_precision_is_chosen_only_where_this_model_was_measured_to_train_faster(
    facts: Build, probe: SpeedProbe | None, precision: str, why: str
) -> None:
    plan = make_plan(ask(), facts(probe=probe))
    assert plan.run.model.precision == precision
    assert why in next(c.why() for c in plan.choices if c.path == "model.precision")


def test_models_that_are_no_decoders_of_linear_layers_stay_in_fp32(facts: Build) -> None:
    model = smollm2(is_conv1d=True)
    plan = make_plan(ask(), facts(probe=cpu(MATMUL, fp32=2e11, mixed=5e11), model=model))
    assert plan.run.model.precision == "fp32"
    assert "not for models of this kind" in next(c.why() for c in plan.choices if c.path == "model.precision")


def test_a_mixed_run_is_promised_the_measured_speed_and_half_the_weights(facts: Build) -> None:
    probe = cpu(MATMUL, fp32=2e11, mixed=5e11)
    mixed, plain = (
        make_plan(ask(model={"name": "smollm2", "precision": p}), facts(probe=probe)) for p in ("mixed", "fp32")
    )
    assert mixed.time and plain.time
    assert mixed.time.step_seconds < 0.55 * plain.time.step_seconds
    assert mixed.memory.parts["weights"] == plain.memory.parts["weights"] // 2


@pytest.mark.parametrize(("bf16", "may"), [(250e9, False), (320e9, False), (330e9, True)])
def test_a_model_is_measured_only_where_products_promise_something(bf16: float, may: bool) -> None:
    assert cpu({**MATMUL, "bf16": bf16}).may_gain_by_mixed is may


def test_short_answers_are_written_in_tests_and_long_ones_sampled(facts: Build) -> None:
    assert make_plan(ask(), facts(answer=20)).run.eval.rows == 100
    assert make_plan(ask(), facts(answer=150)).run.eval.rows == 6
    assert make_plan(ask(), facts(form="text")).run.eval.rows == 0


def test_steps_are_counted_as_transformers_counts_them(facts: Build) -> None:
    train = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2, "num_train_epochs": 1.5}
    assert make_plan(ask(train=train), facts(rows=1001)).num_steps == 189  # ceil(1.5 * ceil(1001 / 8))
    assert make_plan(ask(train=train | {"max_steps": 7}), facts()).num_steps == 7


def test_unknown_layers_are_refused_with_those_that_exist(facts: Build) -> None:
    with pytest.raises(ModelError) as caught:
        make_plan(ask(peft={"target_modules": ["c_attn", "q_proj"]}), facts())
    (problem,) = caught.value.problems
    assert problem.code == "E301"
    assert "c_attn" in problem.message()
    assert "q_proj (30)" in problem.message()


def test_a_rank_above_the_layer_is_refused(facts: Build) -> None:
    with pytest.raises(ModelError, match="E312"):
        make_plan(ask(peft={"r": 256, "target_modules": ["k_proj"]}), facts())


def test_a_length_above_the_positions_is_refused(facts: Build) -> None:
    with pytest.raises(ConfigError, match="E109"):
        make_plan(ask(data={"train": "x.jsonl", "max_length": 10_000}), facts())


def test_a_family_outside_the_table_takes_names_found_in_the_model(facts: Build) -> None:
    plan = make_plan(ask(), facts(model=smollm2(model_type="brand_new")))
    assert plan.run.peft.target_modules == ["q_proj", "k_proj", "v_proj", "o_proj"]
    assert "not in the table" in next(c.why() for c in plan.choices if c.path == "peft.target_modules")


@pytest.mark.parametrize(
    ("targets", "count"),
    [("all-linear", 7), (["q_proj"], 1), (["self_attn.q_proj", "v_proj"], 2), (r".*\.(q|k)_proj", 2), ([], 0)],
)
def test_target_modules_mean_what_they_mean_in_peft(targets: str | list[str], count: int) -> None:
    assert len(matching(smollm2(), targets)) == count
