"""Blocks and vocabulary of the file against config.json, by headers alone."""

import json
from pathlib import Path

import pytest

from tunewright.errors import ModelError
from tunewright.inspection.model_info import read_model

from .conftest import Describe, blocks
from .test_config_sizes import LLAMA, SHAPES


def codes_and_names(caught: pytest.ExceptionInfo[ModelError]) -> list[tuple[str, int, str]]:
    return [(p.code, p.values["count"], p.values["names"]) for p in caught.value.problems]


def test_blocks_that_the_file_lacks_are_missing_by_name(describe: Describe) -> None:
    with pytest.raises(ModelError) as caught:
        describe({**LLAMA, "num_hidden_layers": 4}, SHAPES)
    assert codes_and_names(caught) == [("E316", 4, "model.layers.2.*, model.layers.3.*")]
    assert caught.value.problems[0].fixes()[1].endswith('"num_hidden_layers": 2')


def test_a_block_lost_in_the_middle_is_missing_too(describe: Describe) -> None:
    left = {name: shape for name, shape in SHAPES.items() if ".0." not in name}
    with pytest.raises(ModelError) as caught:
        describe(LLAMA, left)
    assert codes_and_names(caught) == [("E316", 2, "model.layers.0.*")]


def test_blocks_beyond_the_config_are_surplus_by_name(describe: Describe) -> None:
    with pytest.raises(ModelError) as caught:
        describe({**LLAMA, "num_hidden_layers": 1}, SHAPES)
    names = "model.layers.1.self_attn.q_proj.weight, model.layers.1.mlp.down_proj.weight"
    assert codes_and_names(caught) == [("E317", 2, names)]


def test_another_vocabulary_is_told_with_both_sizes(describe: Describe) -> None:
    with pytest.raises(ModelError) as caught:
        describe({**LLAMA, "vocab_size": 600}, SHAPES)
    assert codes_and_names(caught) == [("E318", 1, "model.embed_tokens.weight (512 / 600)")]


def test_encoder_and_decoder_are_counted_each_for_itself(describe: Describe) -> None:
    config = {"model_type": "t5", "is_encoder_decoder": True, "d_model": 64, "num_layers": 2, "num_decoder_layers": 3,
              "num_heads": 4, "vocab_size": 512}  # fmt: skip
    sides = {
        **blocks("encoder.block.{i}.layer.0", {"SelfAttention.q": [64, 64]}),
        **blocks("decoder.block.{i}.layer.0", {"SelfAttention.q": [64, 64]}),
    }
    with pytest.raises(ModelError) as caught:
        describe(config, sides)
    assert codes_and_names(caught) == [("E316", 1, "decoder.block.2.*")]


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "albert", "num_hidden_layers": 12},  # one block for all
        {"num_nextn_predict_layers": 1, "num_hidden_layers": 1},  # a block that predicts further tokens
        {"model_type": "never-heard-of", "num_hidden_layers": 7},
        {"text_config": {**LLAMA, "num_hidden_layers": 1}},  # towers for pictures have blocks too
    ],
)
def test_what_is_not_known_raises_no_alarm(describe: Describe, config: dict[str, object]) -> None:
    assert describe({**LLAMA, **config}, SHAPES).vocab_size == 512


def test_a_shard_that_is_missing_is_told_by_name(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    named = {
        "lm_head.weight": "model-00001-of-00002.safetensors",
        "model.norm.weight": "model-00002-of-00002.safetensors",
    }
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": named}))
    (tmp_path / "model-00001-of-00002.safetensors").write_bytes(b"")
    with pytest.raises(ModelError) as caught:
        read_model(tmp_path, "model")
    (problem,) = caught.value.problems
    assert (problem.code, problem.values["files"]) == ("E320", "model-00002-of-00002.safetensors")


def test_weights_that_are_a_folder_are_told_by_name(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    (tmp_path / "model.safetensors").mkdir()
    with pytest.raises(ModelError, match=r"model\.safetensors is damaged: it is a folder"):
        read_model(tmp_path, "model")
