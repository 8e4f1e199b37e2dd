"""Names people import: a change here needs a line in CHANGELOG.md."""

import inspect

import tunewright
from tunewright import lesson


def test_the_package_exports_these_names() -> None:
    assert sorted(tunewright.__all__) == [
        "TrainedRun", "TunewrightError", "compare_runs", "data_check", "load_model", "open_run", "peft_config", "plan",
        "quickstart", "runs", "train",
    ]  # fmt: skip
    assert all(getattr(tunewright, name) for name in tunewright.__all__)


def test_the_lesson_has_its_names_and_signatures() -> None:
    signature = str(inspect.signature(lesson.create_lora_config))
    for part in (
        "r: int = 8",
        "lora_alpha: int = 16",
        "lora_dropout: float = 0.1",
        "bias: str = 'none'",
        "task_type: str = 'CAUSAL_LM'",
    ):
        assert part in signature
    assert list(inspect.signature(lesson.LoraTrainer).parameters) == [
        "model_name",
        "output_dir",
        "lora_r",
        "lora_alpha",
    ]
    assert list(inspect.signature(lesson.LoraTrainer.train).parameters)[1:] == [
        "num_epochs",
        "batch_size",
        "learning_rate",
        "save_steps",
    ]
    assert {"basic_usage", "test_inference"} <= set(dir(lesson.PEFTQuickStart))
    assert {"llama_config", "qwen_config", "print_all_presets"} <= set(dir(lesson.LoraConfigPresets))
