"""What a plan does on devices other than the CPU: CUDA, MPS, XPU, and cards of the table."""

from collections.abc import Callable

import pytest

from tunewright.config.load_config import patch
from tunewright.config.run_config import RunConfig
from tunewright.errors import ConfigError
from tunewright.inspection.machine_info import SpeedProbe
from tunewright.planning.device_table import facts_on
from tunewright.planning.make_plan import make_plan
from tunewright.planning.run_plan import InspectedFacts

from .conftest import seven_billion

Build = Callable[..., InspectedFacts]
GIB = 2**30


def ask(**settings: object) -> RunConfig:
    run = RunConfig.model_validate({"model": "smollm2", "data": "rows.jsonl", "task": "causal_lm"})
    return patch(run, {path.replace("__", "."): value for path, value in settings.items()})


def probe(device: str, gib: int = 24, **fields: object) -> SpeedProbe:
    rates = {"fp32": 1e13, "bf16": 3e13, "fp16": 3e13}
    return SpeedProbe.model_validate(
        {"device": device, "device_name": "Card", "memory_bytes": gib * GIB, "flops": rates, **fields}
    )


@pytest.mark.parametrize("device", ["cuda", "xpu", "mps"])
def test_every_accelerator_has_a_plan_with_its_time(facts: Build, device: str) -> None:
    plan = make_plan(ask(), facts(probe=probe(device)))
    assert plan.time is not None and plan.fits
    assert plan.facts.room_bytes == 24 * GIB


@pytest.mark.parametrize("device", ["cuda", "xpu", "mps"])
def test_an_accelerator_that_computes_bf16_takes_it_and_fuses_its_optimizer(facts: Build, device: str) -> None:
    """Half the memory, even where bf16 was measured to be no faster."""
    as_fast = probe(device, flops={"fp32": 1e13, "bf16": 1e13})
    run = make_plan(ask(), facts(probe=as_fast)).run
    assert (run.model.precision, run.train.optim) == ("bf16", "adamw_torch_fused")
    without = probe(device, flops={"fp32": 1e13, "fp16": 3e13})
    assert make_plan(ask(), facts(probe=without)).run.model.precision == "fp32"


def test_a_cpu_computes_adamw_as_before(facts: Build) -> None:
    assert make_plan(ask(), facts()).run.train.optim == "adamw_torch"
    assert make_plan(ask(), facts(probe=probe("cpu"))).run.train.optim == "adamw_torch"


def test_an_optimizer_that_was_asked_for_stays_beside_4_bits(facts: Build) -> None:
    on_card = facts_on(facts(model=seven_billion("llama2")), "12GB")
    run = make_plan(ask(train__optim="adamw_torch_fused"), on_card).run
    assert (run.model.quantization, run.train.optim) == ("4bit", "adamw_torch_fused")


def test_qlora_of_eight_billion_fits_into_16_gb(facts: Build) -> None:
    """The sizes of Qwen2.5-7B, which has 7.6 billion parameters, and a longer text."""
    on_card = facts_on(facts(model=seven_billion("qwen25"), longest=2048, p99=1800), "16GB")
    plan = make_plan(ask(), on_card)
    assert plan.fits and plan.run.model.precision == "bf16"
    assert (plan.run.model.quantization, plan.run.train.optim) == ("4bit", "paged_adamw_32bit")


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_a_gpu_that_is_not_there_is_refused(facts: Build, device: str) -> None:
    with pytest.raises(ConfigError, match="torch sees no GPU of this number"):
        make_plan(ask(run__device_index=1), facts(probe=probe(device)))


def test_another_gpu_is_taken(facts: Build) -> None:
    assert make_plan(ask(run__device_index=1), facts(probe=probe("cuda"))).run.run.device_index == 1


@pytest.mark.parametrize("setting", [{"model__quantization": "4bit"}, {"peft__init_lora_weights": "loftq"}])
def test_apples_gpu_has_neither_bitsandbytes_nor_loftq(facts: Build, setting: dict[str, str]) -> None:
    here = facts(probe=probe("cuda"))
    here = here.model_copy(update={"machine": here.machine.model_copy(update={"has_bitsandbytes": True})})
    make_plan(ask(**setting), here)
    apple = here.model_copy(update={"machine": here.machine.model_copy(update={"probe": probe("mps")})})
    with pytest.raises(ConfigError, match="MPS"):
        make_plan(ask(**setting), apple)


def test_processes_take_the_gpus_from_the_one_that_was_named_on(facts: Build) -> None:
    there = facts(probe=probe("cuda"))
    there = there.model_copy(update={"machine": there.machine.model_copy(update={"num_devices": 2})})
    assert make_plan(ask(launch__processes=2), there).run.launch.processes == 2
    for settings in ({"launch__processes": 3}, {"launch__processes": 2, "run__device_index": 1}):
        with pytest.raises(ConfigError, match="--device-index 0 --processes 2"):
            make_plan(ask(**settings), there)
