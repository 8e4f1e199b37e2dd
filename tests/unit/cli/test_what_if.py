"""Settings tried one after another on facts that are held: each plan is the one that `api.plan` makes, to the last figure."""

import json
import random
import shutil
import time
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tunewright import api
from tunewright.config import load_config
from tunewright.errors import ConfigError, DataError, TrainingError, TunewrightError
from tunewright.inspection import machine_info
from tunewright.launch import inspect_inputs
from tunewright.launch import planner as planner_module
from tunewright.rundir import file_names
from tunewright.rundir.finding import Remedy
from tunewright.rundir.run_dir import RunDir

MakeRun = Callable[..., api.TrainedRun]
Memory = namedtuple("Memory", "total available")
# What somebody may try, each with values that can be planned and some that cannot.
CHOICES: dict[str, list[Any]] = {
    "method": ["lora", "ia3", "adalora", "vera", "prompt_tuning", "prefix_tuning"],
    "preset": ["simple", "medium", "complex"],
    "task": ["causal_lm", "seq_cls", "seq2seq"],
    "train.num_train_epochs": [1.0, 2.5, 20.0],
    "train.max_steps": [3, 100],
    "train.learning_rate": [1e-5, 3e-4],
    "train.per_device_train_batch_size": [1, 3, 16],
    "train.gradient_accumulation_steps": [1, 4],
    "train.activation_checkpointing": [True, False],
    "train.data_seed": [1, 2],
    "train.seed": [7],
    "train.warmup_steps": [0.1, 5.0],
    "data.max_length": [16, 64, 512, 4096],
    "data.holdout": [0.0, 0.25],
    "data.train_on": ["all", "last_answer"],
    "data.system": ["Be brief."],
    "data.max_truncated": [1.0, 0.0],
    "data.map": [{"prompt": "answer", "completion": "question"}],
    "model.quantization": ["8bit", "4bit", "none"],
    "model.precision": ["fp32", "bf16"],
    "model.chat_template": ["chatml"],
    "eval.rows": [0, 2],
    "eval.max_new_tokens": [8, 64],
    "run.device_index": [0, 1],
    "launch.processes": [1, 2],
    "fast_paths": [{"packing": False}],
}


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose free memory and disk do not move between two looks."""
    monkeypatch.setattr(psutil, "virtual_memory", lambda: Memory(2**34, 2**33))
    monkeypatch.setattr(machine_info, "_cgroup_limit", lambda: 0)
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)


def outcome(plan: Callable[..., Any], loaded: Any, **options: Any) -> Any:
    """The JSON of a plan, or the problems that there are instead."""
    try:
        return plan(loaded, **options).to_json()
    except TunewrightError as refused:
        return [problem.to_json() for problem in refused.problems]


@pytest.mark.usefixtures("still")
@pytest.mark.parametrize("tries", [15, pytest.param(50, marks=pytest.mark.slow)])
def test_settings_tried_in_turn_are_planned_as_each_would_be_alone(model: Path, rows: Path, tries: int) -> None:
    rng = random.Random(5)
    planner = api.Planner()
    planned = 0
    for _try in range(tries):
        tried = {name: rng.choice(CHOICES[name]) for name in rng.sample(sorted(CHOICES), rng.randrange(1, 5))}
        loaded = api.load(named={"model.name": str(model), "data.train": str(rows)} | tried)
        device = rng.choice([None, None, "24GB GPU", "8x h100-80"])
        mine = outcome(planner.plan, loaded, device=device, with_alternatives=True)
        assert mine == outcome(api.plan, loaded, device=device), (tried, device)
        planned += isinstance(mine, dict)
    assert planned > 0.4 * tries


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The configs whose model and rows were looked at."""
    seen: list[Any] = []
    inspect = inspect_inputs.inspect

    def inspected(run: Any, **options: Any) -> Any:
        seen.append(run)
        return inspect(run, **options)

    monkeypatch.setattr(planner_module, "inspect", inspected)
    return seen


def test_rows_are_looked_at_anew_only_for_what_changes_them(model: Path, rows: Path, looks: list[Any]) -> None:
    planner, base = api.Planner(), api.load(named={"model.name": str(model), "data.train": str(rows)})
    planner.plan(base)
    for changes in (
        {"peft.r": 4},
        {"method": "ia3"},
        {"train.per_device_train_batch_size": 1},
        {"model.quantization": "8bit"},
    ):
        planner.plan(load_config.changed(base, changes))
    assert len(looks) == 1
    changing: tuple[dict[str, Any], ...] = (
        {"data.max_length": 64},
        {"task": "causal_lm"},
        {"train.data_seed": 1},
        {"data.map": {"prompt": "answer", "completion": "question"}},
        {"model.chat_template": "chatml"},
        {"method": "prompt_tuning"},
    )
    for number, changes in enumerate(changing, 2):
        planner.plan(load_config.changed(base, changes))
        planner.plan(load_config.changed(base, changes | {"train.seed": 3}))
        assert len(looks) == number, changes


def test_a_file_that_was_changed_is_looked_at_anew(model: Path, rows: Path, looks: list[Any]) -> None:
    planner, base = api.Planner(), api.load(named={"model.name": str(model), "data.train": str(rows)})
    before = planner.plan(base).facts.data
    with rows.open("a") as file:
        file.write(json.dumps({"question": "One more?", "answer": "Yes."}) + "\n")
    after = planner.plan(base).facts.data
    assert before.num_train + before.num_held_out + 1 == after.num_train + after.num_held_out
    (model / "tokenizer_config.json").write_text((model / "tokenizer_config.json").read_text() + "\n")
    planner.plan(base)
    assert len(looks) == 3


def test_rows_that_are_wrong_are_not_read_again_until_they_are_mended(
    model: Path, rows: Path, looks: list[Any]
) -> None:
    planner, base = api.Planner(), api.load(named={"model.name": str(model), "data.train": str(rows)})
    rows.write_text(rows.read_text() + "broken\n")
    for rank in (2, 4):
        with pytest.raises(DataError, match="E216"):
            planner.plan(load_config.changed(base, {"peft.r": rank}))
    assert len(looks) == 1
    rows.write_text(rows.read_text().removesuffix("broken\n"))
    assert planner.plan(base).fits and len(looks) == 2


def test_what_is_held_does_not_grow_without_end(model: Path, rows: Path, looks: list[Any]) -> None:
    planner, base = api.Planner(), api.load(named={"model.name": str(model), "data.train": str(rows)})
    seeds = range(planner_module.MOST_HELD + 1)
    for seed in seeds:
        planner.plan(load_config.changed(base, {"train.data_seed": seed}))
    planner.plan(load_config.changed(base, {"train.data_seed": seeds[-1]}))
    assert len(looks) == len(seeds)
    planner.plan(load_config.changed(base, {"train.data_seed": seeds[0]}))
    assert len(looks) == len(seeds) + 1


def test_another_setting_is_planned_in_less_than_150_ms(model: Path, rows: Path) -> None:
    planner, base = api.Planner(), api.load(named={"model.name": str(model), "data.train": str(rows)})
    planner.plan(base)
    seconds = []
    for rank in (2, 4, 8, 16, 32):
        begun = time.process_time()
        planner.plan(load_config.changed(base, {"peft.r": rank}))
        seconds.append(time.process_time() - begun)
    assert min(seconds) < 0.15, seconds


def test_a_change_of_method_leaves_out_what_it_does_not_have(rows: Path) -> None:
    base = api.load(
        named={"model.name": "smollm2", "data.train": str(rows), "peft.r": 4, "peft.lora_alpha": 8, "train.seed": 3}
    )
    new = load_config.changed(base, {"method": "loha"})
    assert (new.run.method, dict(new.run.peft)["r"], new.run.train.seed) == ("loha", 4, 3)
    assert new.origins["train.seed"] == "argument" and new.origins["train.data_seed"] == "default"
    with pytest.raises(ConfigError) as refused:
        load_config.changed(base, {"peft.r": "many", "train.epochs": 3})
    assert {problem.code for problem in refused.value.problems} == {"E103", "E104"}


@pytest.mark.parametrize(
    ("sets", "options"),
    [
        (["train.learning_rate=fast", "peft.r=0", "train.lr=3"], {"train.learning_rate", "peft.r", "train.lr"}),
        (["data.max_length=100000"], {"data.max_length"}),
        (["task=token_cls", "model.name=nowhere/at-all", "run.offline=true"], {"model.name"}),
        (["data.train=none.jsonl"], {"data.train"}),
        (["peft.target_modules=[c_attn]"], {"peft.target_modules"}),
        (["model.precision=fp16"], {"model.precision"}),
    ],
)  # fmt: skip
def test_every_problem_names_the_option_that_it_is_about(
    model: Path, rows: Path, sets: list[str], options: set[str]
) -> None:
    with pytest.raises(TunewrightError) as refused:
        api.Planner().plan(api.load(named={"model.name": str(model), "data.train": str(rows)}, sets=sets))
    assert {api.option_of(problem) for problem in refused.value.problems} == options


def test_a_remedy_is_applied_in_a_new_run(make_run: MakeRun, worked: list[RunDir]) -> None:
    sick = make_run("sick")
    remedy = Remedy(
        "lower the rate", "tunewright train x", {"train.learning_rate": 1e-4, "train.num_train_epochs": 2.0}
    )
    assert not api.can_go_on_with(sick, remedy)
    healed = api.apply_remedy(sick, remedy, "again")
    assert healed.path != sick.path and worked == [healed.dir] and healed.state == "finished"
    config = api.load(config=healed.dir.file(file_names.CONFIG)).run
    assert (config.train.learning_rate, config.train.num_train_epochs) == (1e-4, 2.0)
    assert config.data == api.load(config=sick.dir.file(file_names.CONFIG)).run.data
    assert healed.plan.run.train.learning_rate == 1e-4
    assert sick.plan.run.train.learning_rate != 1e-4


def test_a_run_that_ended_early_goes_on_with_what_may_be_changed(make_run: MakeRun, worked: list[RunDir]) -> None:
    stopped = make_run("stopped", state="stopped")
    rate = Remedy("lower the rate", "", {"train.learning_rate": 1e-4})
    seed = Remedy("another seed", "", {"train.seed": 7})
    assert api.can_go_on_with(stopped, rate) and not api.can_go_on_with(stopped, seed)
    with pytest.raises(TrainingError, match="E502"):
        api.apply_remedy(stopped, seed, "continue")
    assert not worked
    same = api.apply_remedy(stopped, rate, "continue")
    assert same.path == stopped.path and same.plan.run.train.learning_rate == 1e-4


def test_a_remedy_for_a_person_is_not_applied(make_run: MakeRun, worked: list[RunDir]) -> None:
    with pytest.raises(ConfigError, match="E147"):
        api.apply_remedy(make_run(), Remedy("look at the rows", "tunewright data check my.jsonl"), "again")
    assert not worked
