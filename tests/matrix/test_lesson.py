"""Every call of the lesson runs as it is written there."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from peft import AutoPeftModelForCausalLM, LoraConfig, PeftModel

from tunewright.errors import HubError
from tunewright.lesson import LoraConfigPresets, LoraTrainer, PEFTQuickStart, create_lora_config


def test_create_lora_config_is_pefts_config() -> None:
    config = create_lora_config(r=4, target_modules=["q_proj"], modules_to_save=["lm_head"])
    assert isinstance(config, LoraConfig)
    assert (config.r, config.lora_alpha, config.lora_dropout, config.bias) == (4, 16, 0.1, "none")
    assert (config.target_modules, config.modules_to_save, config.task_type) == ({"q_proj"}, ["lm_head"], "CAUSAL_LM")


@pytest.mark.parametrize(
    ("level", "r", "alpha", "llama", "qwen"),
    [("simple", 8, 16, 2, 1), ("medium", 16, 32, 4, 2), ("complex", 32, 64, 7, 4)],
)
def test_presets_are_those_of_the_lesson(level: str, r: int, alpha: int, llama: int, qwen: int) -> None:
    for config, count in ((LoraConfigPresets.llama_config(level), llama), (LoraConfigPresets.qwen_config(level), qwen)):
        assert (config.r, config.lora_alpha, config.lora_dropout) == (r, alpha, 0.05)
        assert len(config.target_modules) == count
    with pytest.raises(ValueError, match="simple, medium, complex"):
        LoraConfigPresets.llama_config("hard")


def test_all_presets_are_printed_and_the_qwen_generations_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    LoraConfigPresets.print_all_presets()
    printed = capsys.readouterr().out
    assert "c_attn, c_proj, w1, w2" in printed
    assert "Qwen1.5 and newer" in printed


def test_the_quick_start_counts_and_writes(tiny_model: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    quick_start = PEFTQuickStart(str(tiny_model()))
    model, tokenizer = quick_start.basic_usage()
    assert isinstance(model, PeftModel)
    text = quick_start.test_inference(model, tokenizer)
    assert text.startswith("Hello, I am a")
    printed = capsys.readouterr().out
    assert "Parameters of" in printed
    assert "trained" in printed


def test_the_trainer_trains_a_file_of_texts(tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    path = tmp_path / "texts.json"
    path.write_text(json.dumps([{"text": f"Sentence number {i} is about the number {i}."} for i in range(40)]))
    trainer = LoraTrainer(str(tiny_model()), output_dir=str(tmp_path / "lora_output"), lora_r=4, lora_alpha=8)
    model, _tokenizer = trainer.prepare_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items() if "lora_B" in name}
    account = trainer.prepare_data(str(path))
    assert account["used"] + account["held_out"] == 40
    assert account["held_out"] > 0
    result = trainer.train(num_epochs=2, batch_size=2, learning_rate=5e-3, save_steps=2)
    assert result["state"] == "finished"
    assert result["after"]["held_out_loss"] < result["before"]["held_out_loss"]
    assert any(not tensor.equal(before[name]) for name, tensor in model.state_dict().items() if name in before)
    saved = trainer.save_lora_weights(tmp_path / "weights")
    assert AutoPeftModelForCausalLM.from_pretrained(saved).peft_config["default"].r == 4


def test_wikitext_without_network_says_what_to_pass_instead(
    tiny_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(HubError, match="pass a file instead"):
        LoraTrainer(str(tiny_model())).prepare_data("wikitext")
