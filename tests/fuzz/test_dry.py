"""Settings that are passed on, tried before a run begins: who is blamed, and that no run's folder is made."""

import json
from pathlib import Path

import pytest

from tests.collecting_reporter import CollectingReporter
from tunewright import api
from tunewright.engine.training import dry_run
from tunewright.errors import ConfigError, Problem, TunewrightError
from tunewright.launch import start_run, trial_settings
from tunewright.planning.run_plan import Plan
from tunewright.reporting import SILENT


@pytest.fixture
def plan_of(model: Path, rows: Path, monkeypatch: pytest.MonkeyPatch):
    """The plan of some settings, which are not tried."""
    monkeypatch.setattr(start_run, "try_settings", lambda plan, reporter: None)

    def plan(*sets: str) -> Plan:
        return api.plan(api.load(named={"model.name": str(model), "data.train": str(rows)}, sets=sets))

    return plan


REFUSED = [
    (("train.lr_scheduler_kwargs={nosuch: 1}",), "train.lr_scheduler_kwargs", "nosuch"),
    (("train.lr_scheduler_type=cosine_with_min_lr",), "train.lr_scheduler_type", "min_lr"),
    (
        ("train.lr_scheduler_type=polynomial", "train.lr_scheduler_kwargs={power: -1}"),
        "train.lr_scheduler_kwargs",
        "negative power",  # at the last step
    ),
    (
        ("train.lr_scheduler_type=inverse_sqrt", "train.lr_scheduler_kwargs={timescale: 0}", "train.warmup_steps=2"),
        "train.lr_scheduler_kwargs",
        "ZeroDivisionError",  # behind the warm-up
    ),
    (
        ("train.lr_scheduler_type=polynomial", "train.lr_scheduler_kwargs={lr_end: -1}"),
        "train.lr_scheduler_kwargs",
        "the learning rate is -",  # away from the minimum, from some step on
    ),
    (("train.optim_args=abc",), "train.optim_args", "ValueError"),
    (("train.optim=galore_adamw",), "train.optim", "galore"),
    (("train.report_to=wandb",), "train.report_to", "wandb"),
    (("train.use_liger_kernel=true", "train.adam_beta1=0.8"), "train.use_liger_kernel", "liger"),
    (("peft.layers_pattern=nosuch",), "peft.layers_pattern", "layers_to_transform"),
    (("peft.use_bdlora={}", "peft.use_rslora=true"), "peft.use_bdlora", "block-diagonal"),
    (
        ("peft.exclude_modules=[q_proj, v_proj]", "peft.target_modules=[q_proj, v_proj]"),
        "peft.exclude_modules",
        "targeted",
    ),
    (("peft.target_modules='.*'",), "peft.target_modules", "Target module"),
    (("peft.target_modules='.*layers.*'", "peft.use_rslora=true"), "peft.target_modules", "Target module"),
    (("peft.rank_pattern={nosuch: 4}",), "peft.rank_pattern", "nosuch"),
    (("peft.rank_pattern={q_proj: 4, 'layers.7.q_proj': 2}",), "peft.rank_pattern", "layers.7"),
    (("peft.target_modules=[q_proj]", "peft.alpha_pattern={v_proj: 4}"), "peft.alpha_pattern", "v_proj"),
    (("method=loha", "peft.rank_pattern={'(a|b)_proj': 4}"), "peft.rank_pattern", "(a|b)"),
    (("method=boft", "peft.boft_block_size=3"), "peft.boft_block_size", "divisible"),
    (("method=prompt_tuning", "peft.prompt_tuning_init=TEXT"), "peft.prompt_tuning_init", "prompt_tuning_init_text"),
]


@pytest.mark.parametrize(("sets", "key", "word"), REFUSED)
def test_the_setting_that_upstream_refuses_is_named_with_its_words(plan_of, sets, key: str, word: str) -> None:
    problems = dry_run.problems_of(plan_of(*sets))
    assert [(p.code, p.values["key"]) for p in problems] == [("E141", key)]
    assert word in problems[0].message()


@pytest.mark.parametrize(
    "sets",
    [
        ("train.adam_beta1=0.8", "train.adam_epsilon=1e-6", "train.optim=sgd"),
        ("train.dataloader_num_workers=2", "train.dataloader_prefetch_factor=3"),
        ("train.neftune_noise_alpha=5", "train.full_determinism=false"),
        ("train.lr_scheduler_type=cosine_with_min_lr", "train.lr_scheduler_kwargs={min_lr: 1e-6}"),
        ("train.lr_scheduler_type=polynomial", "train.lr_scheduler_kwargs={lr_end: 0, power: 2}"),
        ("train.lr_scheduler_type=inverse_sqrt", "train.warmup_steps=2"),
        ("peft.init_lora_weights=pissa", "peft.use_rslora=true"),
        ("peft.rank_pattern={q_proj: 2}", "peft.alpha_pattern={q_proj: 4}"),
        ("peft.target_modules='.*(q|v)_proj'",),
        ("peft.target_modules='.*\\.0\\..*q_proj'", "peft.use_rslora=true"),
        ("peft.layer_replication=[[0, 2], [0, 1]]",),
        ("peft.modules_to_save=[lm_head]",),
        ("train.optim=loraplus",),
        ("method=p_tuning", "peft.encoder_reparameterization_type=LSTM"),
    ],
)
def test_settings_that_work_are_blamed_for_nothing(plan_of, sets) -> None:
    assert dry_run.problems_of(plan_of(*sets)) == []


def test_modules_that_are_not_there_are_named(plan_of) -> None:
    problems = dry_run.problems_of(plan_of("peft.modules_to_save=[lm_head, nosuch, classifier]"))
    assert [p.code for p in problems] == ["E145"]
    assert problems[0].values["names"] == "nosuch, classifier"


def test_what_the_meta_device_cannot_do_is_held_against_no_setting() -> None:
    def attempt(settings):
        raise RuntimeError("meta tensors hold no numbers")

    assert dry_run.blame("peft", "PEFT", {"use_dora": True}, attempt) == []


def test_training_is_refused_before_its_folder_is_made(
    model: Path, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        named = {"model.name": str(model), "data.train": str(rows)}
        api.train_loaded(api.load(named=named, sets=["peft.layers_pattern=nosuch"]))
    assert caught.value.problems[0].code == "E141"
    assert not (tmp_path / "runs").exists()


def test_a_trial_that_takes_too_much_is_refused_with_its_settings(plan_of, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, reporter = plan_of("train.adam_beta1=0.8"), CollectingReporter()
    monkeypatch.setattr(trial_settings, "MEGABYTES", 64)  # less than torch itself takes
    with pytest.raises(TunewrightError, match=r"E142.*train\.adam_beta1"):
        trial_settings.try_settings(plan, reporter)
    assert "train.adam_beta1" in reporter.notes[0]


def test_plain_settings_start_no_process(plan_of, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(trial_settings, "tried", refuse)
    trial_settings.try_settings(plan_of("train.learning_rate=1e-3", "peft.r=4", "train.seed=0"), SILENT)


def test_what_was_accepted_once_is_not_tried_again_and_what_was_refused_is(
    plan_of, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    answers: dict[str, object] = {"problems": []}

    def answer(_module: str, request: dict[str, object], **_: object) -> dict[str, object]:
        asked.append(request)
        return answers

    monkeypatch.setattr(trial_settings, "tried", answer)
    accepted, other = plan_of("train.adam_beta1=0.81"), plan_of("train.adam_beta1=0.82")
    for _time in range(2):
        trial_settings.try_settings(accepted, SILENT)
    assert len(asked) == 1
    answers["problems"] = [Problem("E141", values={"key": "train.adam_beta1", "reason": "no"}).to_record()]
    for _time in range(2):
        with pytest.raises(ConfigError):
            trial_settings.try_settings(other, SILENT)
    assert len(asked) == 3
    facts = accepted.facts.model_copy(update={"model": accepted.facts.model.model_copy(update={"digest": "another"})})
    with pytest.raises(ConfigError):
        trial_settings.try_settings(accepted.model_copy(update={"facts": facts}), SILENT)


def test_a_pattern_that_takes_for_ever_is_refused_in_time(plan_of) -> None:
    with pytest.raises(ConfigError) as caught:
        plan_of("peft.target_modules='(.*.*.*.*.*.*.*.*)*x'")
    assert json.loads(json.dumps(caught.value.problems[0].to_json()))["code"] == "E143"
