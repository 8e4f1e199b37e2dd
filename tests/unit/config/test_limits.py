"""Limits and types of every value, Tunewright's own and those that go to transformers and PEFT."""

from typing import Any

import pytest

from tunewright.config.load_config import load
from tunewright.config.methods import METHODS
from tunewright.config.run_config import TrainConfig
from tunewright.config.schema_keys import SECTIONS, methods_with, options, upstream
from tunewright.config.section import MOST
from tunewright.errors import ConfigError

SMALL = {"model": "m", "data": "rows.jsonl"}
DIGITS = "1" + "0" * 400


def refusal(*sets: str, **named: Any) -> tuple[str, str]:
    """Code and sentence of the one problem of these settings."""
    with pytest.raises(ConfigError) as caught:
        load(named=SMALL | named, sets=sets)
    problem = caught.value.problems[0]
    return problem.code, problem.message()


def value(setting: str, **named: Any) -> Any:
    run = load(named=SMALL | named, sets=[setting]).run.model_dump()
    section, _dot, key = setting.partition("=")[0].partition(".")
    return run[section][key]


@pytest.mark.parametrize("key", ["train.seed", "train.data_seed"])
@pytest.mark.parametrize("seed", ["4294967296", "18446744073709551616", DIGITS])
def test_a_seed_is_below_two_to_the_32(key: str, seed: str) -> None:
    code, sentence = refusal(f"{key}={seed}")
    assert code == "E103" and sentence.startswith(f"{key} must be below 4294967296, got ")
    assert value(f"{key}=4294967295") == 4294967295
    assert value(f"{key}=0") == 0


def test_no_number_of_any_option_is_endless() -> None:
    for path, _field in options():
        named = {"method": methods_with(path.partition(".")[2])[0]} if path.startswith("peft.") else {}
        for text in (DIGITS, "-" + DIGITS, str(MOST + 1), "1e308", ".inf", ".nan"):
            try:
                sections = load(named=SMALL | named | {"model.name": "m"}, sets=[f"{path}={text}"]).run.model_dump()
            except ConfigError:
                continue
            section, _dot, key = path.partition(".")
            stored = sections[section][key] if key else sections[section]
            assert isinstance(stored, str) or abs(stored) < 2**32, (path, text, stored)


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("train.num_train_epochs=1e308", "train.num_train_epochs must be at most 1000000 or auto, got 1e308"),
        ("train.adam_beta1=abc", "train.adam_beta1 must be a number, got abc"),
        ("train.adam_beta1=2", "train.adam_beta1 must be below 1, got 2"),
        ("train.adam_beta2=1", "train.adam_beta2 must be below 1, got 1"),
        ("train.adam_epsilon=-1", "train.adam_epsilon must be at least 0, got -1"),
        ("train.adam_epsilon=.nan", "train.adam_epsilon must be a finite number, got .nan"),
        ("train.dataloader_num_workers=abc", "train.dataloader_num_workers must be a whole number, got abc"),
        ("train.dataloader_num_workers=true", "train.dataloader_num_workers must be a whole number, got true"),
        ("train.dataloader_num_workers=1000000", "train.dataloader_num_workers must be at most 1024, got 1000000"),
        ("train.logging_strategy=abc", "train.logging_strategy must be one of no, steps, epoch, got abc"),
        ("train.debug=abc", "train.debug must be underflow_overflow, got abc"),
        ("train.full_determinism=abc", "train.full_determinism must be true or false, got abc"),
        ("peft.alpha_pattern=abc", "peft.alpha_pattern must be a mapping of keys to values, got abc"),
        ("peft.rank_pattern={q_proj: 0}", "peft.rank_pattern.q_proj must be at least 1, got 0"),
        ("peft.rank_pattern={q_proj: -1}", "peft.rank_pattern.q_proj must be at least 1, got -1"),
        ("peft.layers_to_transform=-1", "peft.layers_to_transform must be at least 0, got -1"),
        ("peft.layers_to_transform=[0, x]", "peft.layers_to_transform[1] must be a whole number, got x"),
        ("peft.modules_to_save=nosuch", "peft.modules_to_save must be a list, got nosuch"),
        ("peft.layer_replication=[[0]]", "peft.layer_replication[0] must be a list of at least 2 values, got [0]"),
        ("peft.trainable_token_indices=[-1]", "peft.trainable_token_indices[0] must be at least 0, got -1"),
    ],
)
def test_a_value_that_upstream_would_not_take_is_refused_by_name(setting: str, sentence: str) -> None:
    assert refusal(setting) == ("E103", sentence)


def test_start_values_are_those_that_peft_names() -> None:
    assert refusal("peft.init_lora_weights=nosuch")[1].startswith("peft.init_lora_weights must be ")
    assert value("peft.init_lora_weights=pissa_niter_4") == "pissa_niter_4"
    assert value("peft.init_lora_weights=false") is False
    assert refusal("peft.init_lora_weights='pissa_niter_[number of iters]'")[0] == "E103"


@pytest.mark.parametrize(
    "name",
    ["fsdp", "fsdp_config", "deepspeed", "parallelism_config", "accelerator_config", "ddp_backend", "ddp_timeout"],
)
def test_what_needs_several_processes_is_refused_by_name(name: str) -> None:
    code, sentence = refusal(f"train.{name}=abc")
    assert code == "E118"
    assert sentence == (
        f'"{name}" is not set here: what several processes share is set by launch.processes and launch.strategy, and '
        "transformers sees one process"
    )


def test_own_and_passed_on_values_are_told_together_each_at_its_place() -> None:
    with pytest.raises(ConfigError) as caught:
        load(named=SMALL, sets=["train.seed=-1", "train.adam_beta1=7", "train.learning_rate=2", "peft.use_dora=maybe"])
    keys = [problem.values["key"] for problem in caught.value.problems]
    assert sorted(keys) == ["peft.use_dora", "train.adam_beta1", "train.learning_rate", "train.seed"]


def test_numbers_come_as_numbers_whatever_yaml_made_of_them() -> None:
    assert value("train.adam_epsilon=1e-6") == 1e-6
    assert value("peft.alpha_pattern={q_proj: 1e1}") == {"q_proj": 10.0}
    assert TrainConfig.model_validate({"adam_beta1": "0.5"}).extra == {"adam_beta1": 0.5}


def test_every_passed_on_field_has_a_type_and_refuses_what_is_of_none() -> None:
    assert len(upstream("train")) > 30 and len(upstream("peft")) > 50
    for section in SECTIONS:
        for name in upstream(section):
            method = methods_with(name)[0] if section == "peft" else "lora"
            refused = 0
            for text in ("[{a: [1]}]", "{1: {2: 3}}", "abc", "-1.5"):
                try:
                    load(named=SMALL | {"method": method}, sets=[f"{section}.{name}={text}"])
                except ConfigError as fault:
                    refused += all("another kind of value" not in p.message() for p in fault.problems)
            assert refused, (section, name)


def test_each_method_has_the_types_of_its_own_config() -> None:
    assert value("peft.init_weights=bat", method="miss") == "bat"
    assert refusal("peft.init_weights=bat", method="vera")[0] == "E103"
    assert set(METHODS) >= {"miss", "vera"}


@pytest.mark.parametrize("key", ["model.name", "data.train", "data.holdout", "run.output_dir", "data.system"])
@pytest.mark.parametrize("text", ['"a\\0b"', '"\\ud800"', "x" * 5000])
def test_a_text_that_no_file_can_hold_is_refused(key: str, text: str) -> None:
    assert refusal(f"{key}={text}")[0] in ("E103", "E105")


@pytest.mark.parametrize(
    "setting",
    [
        'train.optim_args="\\ud800"',
        'peft.rank_pattern={"\\ud800": 4}',
        'peft.target_modules=["\\0"]',
        "train.project=\udc80",
    ],
)
def test_halves_of_characters_are_refused_wherever_they_stand(setting: str) -> None:
    assert refusal(setting)[0] in ("E103", "E105")


def test_numbers_inside_mappings_are_numbers() -> None:
    assert value("train.lr_scheduler_kwargs={min_lr: 1e-6, num_cycles: 2}") == {"min_lr": 1e-6, "num_cycles": 2}


@pytest.mark.parametrize("value", ["3.5e38", "-1e308"])
def test_no_number_is_beyond_what_a_parameter_holds(value: str) -> None:
    code, sentence = refusal("method=vera", f"peft.d_initial={value}")
    assert code == "E103" and sentence.startswith("peft.d_initial must be a number of at most 3.4e38")


@pytest.mark.parametrize("port", ["0", "65536", "99999", "029500", "x"])
def test_a_port_is_one_that_a_machine_has(port: str) -> None:
    code, sentence = refusal(f"launch.main=10.0.0.1:{port}")
    assert (code, "launch.main must be HOST:PORT, with a port from 1 to 65535" in sentence) == ("E103", True)


@pytest.mark.parametrize("port", ["1", "80", "9999", "29500", "59999", "64999", "65499", "65529", "65535"])
def test_every_port_is_one(port: str) -> None:
    assert value(f"launch.main=10.0.0.1:{port}") == f"10.0.0.1:{port}"
