"""Names people import: a change here needs a line in CHANGELOG.md."""

import inspect
import subprocess
import sys
from pathlib import Path

import tunewright
from tunewright import lesson


def test_the_package_exports_these_names() -> None:
    assert sorted(tunewright.__all__) == [
        "TrainedRun", "TunewrightError", "compare_runs", "data_check", "load_model", "open_run", "peft_config", "plan",
        "quickstart", "runs", "serve", "train",
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


def test_every_name_of_the_package_is_the_same_thing_whenever_it_is_asked_for() -> None:
    code = (
        "import tunewright as tw\n"
        "before = {name: getattr(tw, name) for name in tw.__all__}\n"
        "import tunewright.api, tunewright.api.run_handle, tunewright.planning.run_plan\n"
        "import tunewright.rundir.run_dir, tunewright.launch.start_run\n"
        "from tunewright import *\n"
        "from tunewright import plan as p, runs as r\n"
        "assert all(callable(found) and getattr(tw, name) is found for name, found in before.items())\n"
        "assert p is tw.plan and r is tw.runs and plan is p and runs is r\n"
        "assert tw.runs() == tw.runs() == []\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=Path(__file__).parent
    )
    assert ended.returncode == 0, ended.stderr


def test_no_name_of_the_package_is_that_of_a_module() -> None:
    inside = {path.stem for path in Path(tunewright.__file__).parent.iterdir()}
    assert not inside & set(tunewright.__all__)
