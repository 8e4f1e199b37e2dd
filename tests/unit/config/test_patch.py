"""A Run is one frozen value: changes are patches, and its file gives it back."""

import pickle
from pathlib import Path

import pytest
from pydantic import ValidationError

from tunewright.config.load_config import load, patch, to_yaml
from tunewright.config.run_config import RunConfig, TrainConfig
from tunewright.errors import ConfigError

RUN = load(
    named={"model": "m", "data": "d"},
    sets=[
        "peft.target_modules=[q_proj, v_proj]",
        "peft.use_rslora=true",
        "peft.rank_pattern={layers.0: 4, layers.1: 8}",
        "train.neftune_noise_alpha=5",
        "train.learning_rate=1e-5",
        "data.map={prompt: 'no', completion: '1'}",
        "data.system='yes'",
        "model.revision='1234567'",
        "run.name=support-r16",
        "fast_paths.answer_loss=false",
    ],
).run


def test_loading_the_written_config_gives_the_same_run(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(RUN), encoding="utf-8")
    assert load(config=path).run == RUN


def test_the_written_config_holds_upstream_fields_in_place() -> None:
    text = to_yaml(RUN)
    assert "\n  neftune_noise_alpha: 5.0\n" in text
    assert "\n  use_rslora: true\n" in text
    assert "extra" not in text


def test_the_same_list_twice_is_written_without_anchors() -> None:
    names = ["q_proj"]
    run = patch(RUN, {"peft.target_modules": names, "peft.modules_to_save": names})
    assert "&" not in to_yaml(run)


def test_a_patch_changes_what_it_names_and_nothing_else() -> None:
    changed = patch(RUN, {"peft.r": 4, "train.eval_steps": 10, "data.map.system": "s", "train.optim_args": "x"})
    assert (changed.peft.r, changed.train.eval_steps, changed.data.map["system"]) == (4, 10, "s")
    assert changed.train.extra == {"neftune_noise_alpha": 5, "optim_args": "x"}
    undone = patch(changed, {"peft.r": "auto", "train.eval_steps": "auto", "data.map": dict(RUN.data.map)})
    assert undone.peft == RUN.peft
    assert undone.data == RUN.data
    assert RUN.peft.r == "auto"


def test_a_patch_is_checked_like_a_file() -> None:
    with pytest.raises(ConfigError) as caught:
        patch(RUN, {"peft.r": 0, "train.learing_rate": 1, "train.bf16": True})
    assert [p.code for p in caught.value.problems] == ["E103", "E102", "E118"]


def test_a_run_cannot_be_edited_and_survives_pickling() -> None:
    with pytest.raises(ValidationError):
        RUN.preset = "simple"  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(RUN)) == RUN
    assert RunConfig.model_validate_json(RUN.model_dump_json()) == RUN


@pytest.mark.parametrize("key", ["extra", "_extra", "bf16", "gradient_checkpointing"])
def test_python_cannot_write_what_a_file_cannot(key: str) -> None:
    with pytest.raises(ValidationError):
        TrainConfig(**{key: {}})
