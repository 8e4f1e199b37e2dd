"""`tunewright presets`: the table, one preset as a config, a model's own names and counts."""

from pathlib import Path

import pytest
import yaml
from safetensors.numpy import load_file, save_file

from tunewright.config.preset_table import PRESETS
from tunewright.errors.exit_codes import EXIT_USAGE
from tunewright.inspection.architectures import FAMILIES
from tunewright.planning.preset_targets import all_rows


def test_the_table_has_every_family_and_keeps_to_eighty_columns(tw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = tw("presets")
    assert shown.code == 0
    words = shown.out.split()
    assert all(name in words for name, family in FAMILIES.items() if family.roles)
    assert max(map(len, shown.out.splitlines())) <= 80
    assert {"simple", "medium", "complex", "8", "16", "32", "64"} <= set(words)


def test_the_table_as_json_has_every_level_of_every_family(tw) -> None:
    record = tw("presets", "--json").json
    assert record["schema"] == 1
    assert len(record["presets"]) == len(all_rows())
    first = record["presets"][0]
    assert (first["family"], first["level"], first["target_modules"]) == ("llama", "simple", ["q_proj", "v_proj"])
    assert "trainable_parameters" not in first


@pytest.mark.parametrize(("word", "row"), [(f"{row.family}/{row.preset.level}", row) for row in all_rows()[::11]])
def test_a_preset_is_shown_as_a_config(tw, word: str, row) -> None:
    shown = tw("presets", "show", word)
    config = yaml.safe_load(shown.out)
    assert config["method"] == "lora"
    assert config["peft"]["r"] == row.preset.r
    assert config["peft"]["lora_alpha"] == row.preset.lora_alpha
    assert config["peft"]["target_modules"] == row.target_modules
    assert config["peft"].get("target_parameters", []) == row.target_parameters
    assert tw("presets", "show", word, "--json").json["target_modules"] == row.target_modules


def test_a_config_with_experts_has_no_dropout(tw) -> None:
    config = yaml.safe_load(tw("presets", "show", "mixtral/complex").out)
    assert config["peft"]["target_parameters"] == ["experts.gate_up_proj", "experts.down_proj"]
    assert config["peft"]["lora_dropout"] == 0


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("lama/medium", "llama/medium"),
        ("llama", "llama/medium"),
        ("llama/medum", "llama/medium"),
        ("Bert/simple", "bert/simple"),
    ],
)
def test_an_unknown_preset_is_answered_with_the_nearest(tw, word: str, meant: str) -> None:
    shown = tw("presets", "show", word)
    assert shown.code == EXIT_USAGE
    assert "E123" in shown.err
    assert f'"{meant}"' in shown.err


def test_a_word_far_from_all_presets_is_answered_with_the_table(tw) -> None:
    shown = tw("presets", "show", "zzzzzz")
    assert shown.code == EXIT_USAGE
    assert "tunewright presets" in shown.err


def test_a_models_presets_have_its_names_and_what_they_train(tw, model: Path) -> None:
    shown = tw("presets", "--model", str(model))
    assert shown.code == 0
    rows = tw("presets", "--model", str(model), "--json").json["presets"]
    assert [row["level"] for row in rows] == list(PRESETS)
    counts = [row["trainable_parameters"] for row in rows]
    assert counts == sorted(counts)
    assert all(f"{count:,}" in shown.out for count in counts)
    assert all(row["num_parameters"] > 0 for row in rows)


def test_a_preset_for_a_model_tells_what_it_trains(tw, model: Path) -> None:
    shown = tw("presets", "show", "llama/simple", "--model", str(model))
    record = tw("presets", "show", "llama/simple", "--model", str(model), "--json").json
    assert f"{record['trainable_parameters']:,} parameters are trained" in shown.out
    assert yaml.safe_load(shown.out)["peft"]["target_modules"] == record["target_modules"]
    other = tw("presets", "show", "bert/simple", "--model", str(model))
    assert (other.code, "E123" in other.err) == (EXIT_USAGE, True)


def test_a_family_without_presets_is_answered_with_the_layers_that_work(tw, model: Path) -> None:
    config = model / "config.json"
    config.write_text(config.read_text().replace('"llama"', '"mamba"'))
    weights = model / "model.safetensors"
    tensors = load_file(weights)
    save_file({name.replace("model.", "backbone."): tensor for name, tensor in tensors.items()}, weights)
    shown = tw("presets", "--model", str(model))
    assert shown.code == EXIT_USAGE
    assert "E109" in shown.err
