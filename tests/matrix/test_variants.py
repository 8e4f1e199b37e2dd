"""LoRA's own variants, as fields of PEFT's config: what is saved and loaded gives the loss that the run ended with."""

from collections.abc import Callable
from pathlib import Path

import pytest
from peft import PeftConfig

from tunewright import api
from tunewright.engine.models.peft_adapter import planned_config
from tunewright.engine.session_server import SessionServer
from tunewright.errors import TunewrightError
from tunewright.planning.resolve import steps_for
from tunewright.rundir.session_protocol import EvaluateRequest

from .test_causal_lm import run_for

TRAINED = {"peft.r": 4, "train.max_steps": 4, "train.eval_steps": 2, "eval.rows": 0}
VARIANTS: dict[str, dict[str, object]] = {
    "dora": {"peft.use_dora": True},
    "rslora": {"peft.use_rslora": True},
    "pissa": {"peft.init_lora_weights": "pissa"},
    "pissa, fast": {"peft.init_lora_weights": "pissa_niter_4"},
    "olora": {"peft.init_lora_weights": "olora"},
    "eva": {"peft.init_lora_weights": "eva"},
    "gaussian": {"peft.init_lora_weights": "gaussian"},
    "loraplus": {"train.optim": "loraplus"},
    "lorafa": {"train.optim": "lorafa"},
    "rank_pattern": {"peft.rank_pattern": {"q_proj": 8}, "peft.alpha_pattern": {"q_proj": 32}},
    "layers_to_transform": {"peft.layers_to_transform": [1]},
    "modules_to_save": {"peft.modules_to_save": ["lm_head"]},
    "trainable tokens": {"peft.trainable_token_indices": [3, 4, 5]},
    "lora_bias": {"peft.lora_bias": True},
    "bias": {"peft.bias": "lora_only"},
    "all biases": {"peft.bias": "all"},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_trains_and_is_loaded_as_it_was_trained(
    variant: str, tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path
) -> None:
    run = run_for(tiny_model("qwen2"), shop_rows, tmp_path / "run", **TRAINED, **VARIANTS[variant])
    losses = [event.loss for event in run.dir.read_events() if event.kind == "log"]
    assert losses[-1] < losses[0]
    assert run.dir.plan().trainable_parameters == run.result["trainable_parameters"]
    again = SessionServer(run.dir, lambda message: None).evaluate(EvaluateRequest(0))
    assert again.after["held_out_loss"] == pytest.approx(run.result["after"]["held_out_loss"], abs=2e-5)
    assert again.before["held_out_loss"] == pytest.approx(run.result["before"]["held_out_loss"], abs=2e-5)
    assert PeftConfig.from_pretrained(run.adapter).peft_type == "LORA"


def test_adalora_is_told_the_steps_that_the_rows_really_give(
    tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path
) -> None:
    settings = {"method": "adalora", "data.train": str(shop_rows), "model.name": str(tiny_model("llama"))}
    plan = api.plan(api.load(named=settings | {"train.num_train_epochs": 8}))
    assert planned_config(plan).total_step == plan.num_steps
    steps = steps_for(plan.run, plan.facts.data.num_train // 2)
    fewer = planned_config(plan, steps)
    assert steps < plan.num_steps
    assert (fewer.total_step, fewer.tinit) == (steps, plan.run.peft.tinit * steps // plan.num_steps)


@pytest.mark.parametrize("settings", [
    {"peft.init_lora_weights": "loftq"}, {"method": "prefix_tuning", "train.activation_checkpointing": True},
])  # fmt: skip
def test_what_cannot_run_here_is_refused_by_the_plan(
    settings: dict[str, object], tiny_model: Callable[..., Path], shop_rows: Path
) -> None:
    with pytest.raises(TunewrightError) as caught:
        api.plan(api.load(named={"model.name": str(tiny_model()), "data.train": str(shop_rows), **settings}))
    assert [problem.code for problem in caught.value.problems] == ["E109"]


@pytest.mark.parametrize(("method", "fields"), [
    ("prefix_tuning", {"peft.prefix_projection": True, "peft.encoder_hidden_size": 16}),
    ("prompt_tuning", {"peft.prompt_tuning_init": "TEXT", "peft.prompt_tuning_init_text": "Turn the message into JSON"}),
    ("prompt_tuning", {"peft.prompt_tuning_init": "SAMPLE_VOCAB"}),
    ("p_tuning", {"peft.encoder_reparameterization_type": "LSTM", "peft.encoder_hidden_size": 16}),
])  # fmt: skip
def test_prompts_start_and_are_written_as_asked(
    method: str, fields: dict[str, object], tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path
) -> None:
    settings = {
        "method": method,
        "peft.num_virtual_tokens": 4,
        "train.max_steps": 4,
        "train.eval_steps": 2,
        "eval.rows": 0,
    }
    run = run_for(tiny_model(), shop_rows, tmp_path / "run", **settings, **fields)
    again = SessionServer(run.dir, lambda message: None).evaluate(EvaluateRequest(0))
    assert again.after["held_out_loss"] == pytest.approx(run.result["after"]["held_out_loss"], abs=1e-5)
    assert again.after["held_out_loss"] < again.before["held_out_loss"]
