"""What a run takes, before it starts: memory of 7B models, time, other devices, what could be done otherwise."""

from collections.abc import Callable, Mapping

import pytest

from tunewright.config.run_config import RunConfig
from tunewright.errors import ConfigError
from tunewright.inspection.data_info import length_at
from tunewright.inspection.machine_info import SpeedProbe
from tunewright.planning.device_table import DEVICES, device_of, facts_on
from tunewright.planning.flops import frozen_numbers, work
from tunewright.planning.make_plan import make_plan
from tunewright.planning.resolve import SHARE_OF_FREE, largest_step
from tunewright.planning.run_plan import InspectedFacts, Plan

from .conftest import GIB, seven_billion, smollm2

Build = Callable[..., InspectedFacts]
MEASURED = SpeedProbe(device="cpu", device_name="CPU", memory_bytes=0, flops={"fp32": 250e9, "bf16": 440e9})


def ask(**sections: object) -> RunConfig:
    return RunConfig.model_validate({"model": "smollm2", "data": "rows.jsonl", "task": "causal_lm", **sections})


def small_steps(**sections: object) -> RunConfig:
    """A micro-batch of one row of 512 tokens, as on a small card."""
    train = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 16, "activation_checkpointing": True}
    return ask(train=train, data={"train": "rows.jsonl", "max_length": 512}, eval={"rows": 0}, **sections)


@pytest.mark.parametrize(("name", "billions"), [("llama2", 6.738), ("qwen25", 7.615)])
def test_the_lessons_table_for_7b_models(facts: Build, name: str, billions: float) -> None:
    """Full: 56 GB and more (weights 14, gradients 14, optimizer 28); LoRA about 15: 3.7 times less."""
    model = seven_billion(name)
    assert model.num_parameters == pytest.approx(billions * 1e9, rel=1e-3)
    plan = make_plan(small_steps(), facts_on(facts(model=model), "a100-80"))
    assert plan.run.model.precision == "bf16"
    full, lora = plan.full_fine_tuning, plan.memory
    assert full is not None
    parts = full.memory.parts
    assert parts["weights"] == parts["gradients"] == parts["optimizer"] // 2 == 2 * model.num_parameters
    assert full.memory.peak_bytes > 8 * model.num_parameters
    assert 2 * model.num_parameters < lora.peak_bytes < 2.4 * model.num_parameters
    assert 3.4 < full.memory.peak_bytes / lora.peak_bytes < 4.2


def test_a_7b_model_fits_a_24_gb_card_with_lora_and_not_in_full(facts: Build) -> None:
    plan = make_plan(ask(), facts_on(facts(model=seven_billion("llama2")), "rtx3090"))
    assert plan.fits
    assert plan.memory.peak_bytes < 24 * GIB
    assert plan.full_fine_tuning is not None
    assert plan.full_fine_tuning.memory.peak_bytes > 24 * GIB


def test_a_7b_model_as_it_is_does_not_fit_a_12_gb_card(facts: Build) -> None:
    on_card = facts_on(facts(model=seven_billion("llama2")), "rtx3060")
    plain, in_4_bits = (make_plan(ask(model={"name": "x", "quantization": kind}), on_card) for kind in ("none", "4bit"))
    assert not plain.fits
    assert in_4_bits.fits
    (offered,) = [other for other in plain.alternatives if other.changes == {"model.quantization": "4bit"}]
    assert offered.flags() == "--set model.quantization=4bit"
    assert offered.peak_bytes < plain.memory.peak_bytes / 2


@pytest.mark.parametrize(("size", "stored"), [("24GB", "none"), ("16GB", "none"), ("12GB", "4bit"), ("8GB", "4bit")])
def test_a_7b_model_is_stored_in_as_many_bits_as_there_is_room_for(facts: Build, size: str, stored: str) -> None:
    plan = make_plan(ask(), facts_on(facts(model=seven_billion("llama2")), size))
    assert plan.fits
    assert plan.run.model.quantization == stored
    (quantization,) = [choice for choice in plan.choices if choice.path == "model.quantization"]
    assert quantization.value == stored
    # QLoRA: its moments are paged.
    assert plan.run.train.optim == ("paged_adamw_32bit" if stored == "4bit" else "adamw_torch_fused")
    assert [choice.value for choice in plan.choices if choice.path == "train.optim"] == [plan.run.train.optim]


@pytest.mark.parametrize(("free", "stored"), [(21, "none"), (12, "8bit"), (7.6, "4bit"), (6.5, "4bit")])
def test_pages_of_a_checkpoints_file_take_only_the_room_that_there_is(facts: Build, free: float, stored: str) -> None:
    """The kernel takes them back before it refuses memory: a machine with less than the file takes can load it."""
    model, matmul, speed = seven_billion("llama2"), {"mkl": 2e11, "bf16": 6e11}, {"fp32": 2e11, "mixed": 5e11}
    probe = MEASURED.model_copy(update={"matmul": matmul, "training": speed})
    plan = make_plan(ask(), with_bitsandbytes(facts(memory=free, free=free, model=model, probe=probe)))
    assert plan.fits and plan.run.model.quantization == stored
    assert plan.memory.phases["load"] <= SHARE_OF_FREE * free * GIB
    in_4_bits = ask(model={"name": "x", "quantization": "4bit"})
    roomy = make_plan(in_4_bits, with_bitsandbytes(facts(memory=64, free=60, model=model, probe=probe)))
    assert roomy.memory.parts["checkpoint"] == model.weight_bytes


def test_frozen_weights_are_kept_in_bf16_before_they_are_kept_in_8_bits(facts: Build) -> None:
    """Where bf16 is slower here, it is taken for its memory; where it was not measured, it may be slower by far."""
    speed = {"training": {"fp32": 2e11, "mixed": 1e11}, "matmul": {"mkl": 2e11, "bf16": 1e11}}
    probe, model = MEASURED.model_copy(update=speed), seven_billion("llama2")
    plan = make_plan(ask(), with_bitsandbytes(facts(free=21, model=model, probe=probe)))
    assert plan.fits and (plan.run.model.precision, plan.run.model.quantization) == ("mixed", "none")
    (precision,) = [choice for choice in plan.choices if choice.path == "model.precision"]
    assert precision.value == "mixed" and "fit into" in precision.reason
    unknown = make_plan(ask(), with_bitsandbytes(facts(free=21, model=model, probe=MEASURED)))
    assert unknown.run.model.precision == "fp32" and unknown.run.model.quantization != "none"
    asked = make_plan(
        ask(model={"name": "x", "precision": "fp32"}), with_bitsandbytes(facts(free=21, model=model, probe=probe))
    )
    assert asked.run.model.precision == "fp32" and asked.run.model.quantization != "none"


def with_bitsandbytes(known: InspectedFacts) -> InspectedFacts:
    return known.model_copy(update={"machine": known.machine.model_copy(update={"has_bitsandbytes": True})})


def test_weights_are_not_stored_in_what_the_method_or_the_machine_cannot_read(facts: Build) -> None:
    on_card = facts_on(facts(model=seven_billion("llama2")), "8GB")
    assert not make_plan(ask(method="vera"), on_card).fits
    machine = on_card.machine.model_copy(update={"has_bitsandbytes": False})
    bare = make_plan(ask(), on_card.model_copy(update={"machine": machine}))
    assert not bare.fits
    assert bare.run.model.quantization == "none"


@pytest.mark.parametrize(("size", "rank"), [("24GB", 32), ("16GB", 16), ("12GB", 16), ("8GB", 8)])
def test_the_rank_follows_the_cards_memory(facts: Build, size: str, rank: int) -> None:
    """The lesson: 16 to 32 from 24 GB on, 8 to 16 from 12 GB on, 4 to 8 below."""
    plan = make_plan(ask(preset="complex"), facts_on(facts(), size))
    assert dict(plan.run.peft)["r"] == rank


def test_devices_are_found_by_name_and_by_size() -> None:
    assert device_of("RTX3090") == DEVICES["rtx3090"]
    assert device_of("24GB GPU").gib == 24
    assert device_of("24 GiB").bf16 == min(d.bf16 for d in DEVICES.values() if d.gib == 24 and d.bf16)
    for unknown in ("a1000", "", "0GB", "9" * 7 + "GB", "9" * 26 + "GB GPU", "9" * 5000 + "g"):
        with pytest.raises(ConfigError) as caught:
            device_of(unknown)
        assert caught.value.problems[0].code == "E124"


def test_time_is_unknown_where_nothing_was_measured(facts: Build) -> None:
    assert make_plan(ask(), facts()).time is None


def test_time_grows_with_the_rows_and_shrinks_with_the_speed(facts: Build) -> None:
    def train_seconds(rows: int, probe: SpeedProbe) -> float:
        plan = make_plan(ask(train={"num_train_epochs": 1}), facts(rows=rows, probe=probe))
        assert plan.time is not None
        return plan.time.parts["train"]

    twice = MEASURED.model_copy(update={"flops": {name: 2 * rate for name, rate in MEASURED.flops.items()}})
    once = train_seconds(10_000, MEASURED)
    assert train_seconds(20_000, MEASURED) == pytest.approx(2 * once, rel=0.1)
    assert 0.5 * once < train_seconds(10_000, twice) < 0.6 * once


def test_tests_are_as_fast_as_passes_forward_alone_were_measured(facts: Build) -> None:
    def seconds(gain: float) -> Mapping[str, float]:
        forward = {name: gain * rate for name, rate in MEASURED.flops.items()}
        run = ask(eval={"rows": 0}, train={"num_train_epochs": 1, "eval_steps": 10_000})
        plan = make_plan(run, facts(held_out=2000, probe=MEASURED.model_copy(update={"forward": forward})))
        assert plan.time is not None
        return plan.time.parts

    as_steps, twice = seconds(1.0), seconds(2.0)
    assert 0.5 * as_steps["evaluate_before"] < twice["evaluate_before"] < 0.6 * as_steps["evaluate_before"]
    assert twice["rehearse"] == as_steps["rehearse"]
    assert seconds(1.0) == make_seconds_unmeasured(facts)


def make_seconds_unmeasured(facts: Build) -> Mapping[str, float]:
    """The same of a probe that did not measure them, as of a device that is not here."""
    run = ask(eval={"rows": 0}, train={"num_train_epochs": 1, "eval_steps": 10_000})
    plan = make_plan(run, facts(held_out=2000, probe=MEASURED))
    assert plan.time is not None
    return plan.time.parts


def test_what_calibration_learned_stretches_the_training_alone(facts: Build) -> None:
    plain, slower = (make_plan(ask(), facts(probe=MEASURED), factor=f).time for f in (1.0, 1.5))
    assert plain is not None
    assert slower is not None
    assert slower.parts["train"] == pytest.approx(1.5 * plain.parts["train"])
    assert slower.parts["load"] == plain.parts["load"]


def test_the_range_of_a_device_that_is_not_here_is_wider(facts: Build) -> None:
    here = make_plan(ask(), facts(probe=MEASURED)).to_json()["time"]
    there = make_plan(ask(), facts_on(facts(), "a100-80")).to_json()["time"]
    assert here["high"] / here["low"] < there["high"] / there["low"]
    assert here["low"] < here["seconds"] < here["high"]


@pytest.mark.fast_paths
def test_operations_are_those_of_frozen_layers_adapters_attention_and_head(facts: Build) -> None:
    inspected = facts(probe=MEASURED)
    plan = make_plan(ask(train={"per_device_train_batch_size": 1, "gradient_accumulation_steps": 1}), inspected)
    todo = work(plan.run, inspected)
    tokens, frozen = 160.0, frozen_numbers(smollm2())
    forward = 2 * tokens * (frozen + plan.trainable_parameters) + 2 * tokens**2 * 9 * 64 * 30 + 2 * 100 * 576 * 49152
    assert todo.row_tokens == tokens
    assert todo.forward == pytest.approx(forward)
    assert todo.step == pytest.approx(2 * forward + 2 * tokens * plan.trainable_parameters)


def test_quantiles_lie_between_those_that_are_known() -> None:
    lengths = {"median": 100, "p95": 200, "p99": 300, "longest": 1000}
    assert [length_at(lengths, share) for share in (0.25, 0.5, 0.95, 0.97, 1.0)] == pytest.approx(
        [50, 100, 200, 250, 1000]
    )


def test_alternatives_name_what_changes_and_what_it_saves(facts: Build) -> None:
    plan = make_plan(ask(), facts(probe=MEASURED))
    by_flags = {other.flags(): other for other in plan.alternatives}
    half = by_flags["--set peft.r=8 --set peft.lora_alpha=16"]
    assert half.trainable_parameters == plan.trainable_parameters // 2
    assert half.adapter_bytes == plan.adapter_bytes // 2
    recomputed = by_flags["--set train.activation_checkpointing=true"]
    assert recomputed.peak_bytes < plan.memory.peak_bytes
    assert plan.time is not None
    assert recomputed.seconds is not None
    assert recomputed.seconds > plan.time.seconds
    assert by_flags["--set method=ia3"].trainable_parameters < half.trainable_parameters
    assert all(isinstance(other.name(), str) and "{" not in other.name() for other in plan.alternatives)


def test_a_plan_that_cannot_fit_says_what_would(facts: Build) -> None:
    as_it_is = ask(model={"name": "x", "quantization": "none"})
    plan: Plan = make_plan(as_it_is, facts_on(facts(model=seven_billion("qwen25")), "8GB"))
    assert not plan.fits
    assert [other.flags() for other in plan.alternatives if other.fits] == ["--set model.quantization=4bit"]


@pytest.mark.fast_paths
def test_a_gpu_packs_rows_where_torch_has_the_kernel(facts: Build) -> None:
    on_card = facts_on(facts(), "a100-80")
    paths = make_plan(ask(), on_card).fast_paths
    assert "packing" in paths and "shared_prefix" not in paths  # with dropout no row may share
    assert "shared_prefix" in make_plan(ask(peft={"lora_dropout": 0.0}), on_card).fast_paths
    assert "packing" not in make_plan(ask(), facts_on(facts(), "t4")).fast_paths
    assert "packing" not in make_plan(ask(model={"name": "x", "precision": "fp32"}), on_card).fast_paths
    odd = on_card.model_copy(update={"model": on_card.model.model_copy(update={"head_dim": 100})})
    assert "packing" not in make_plan(ask(), odd).fast_paths


@pytest.mark.fast_paths
def test_the_largest_step_has_the_longest_rows_and_a_common_beginning_once(facts: Build) -> None:
    run = make_plan(ask(train={"per_device_train_batch_size": 4, "gradient_accumulation_steps": 1}), facts()).run
    alone = largest_step(run, facts())
    # Four of a thousand rows, between the 99th percentile of 300 and the longest of 512.
    assert 4 * 160 < 4 * 300 < alone.tokens < 4 * 512
    data = facts().data.model_copy(update={"common_prefix": 25})
    assert alone.tokens - largest_step(run, facts().model_copy(update={"data": data})).tokens == 3 * 25
