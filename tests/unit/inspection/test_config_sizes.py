"""Sizes that no model can have are told with file and key; those of real configs pass."""

from typing import Any

import pytest

from tunewright.errors import ModelError

from .conftest import Describe, blocks

LLAMA = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 96, "vocab_size": 512,
    "max_position_embeddings": 128,
}  # fmt: skip
SHAPES = {
    "model.embed_tokens.weight": [512, 64],
    "model.norm.weight": [64],
    "lm_head.weight": [512, 64],
    **blocks("model.layers.{i}", {"self_attn.q_proj": [64, 64], "mlp.down_proj": [64, 96]}),
}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_hidden_layers", 2.5), ("num_hidden_layers", 0), ("num_hidden_layers", "2"), ("num_hidden_layers", True),
        ("num_attention_heads", -4), ("num_attention_heads", 0), ("num_attention_heads", 6), ("num_key_value_heads", 3),
        ("hidden_size", 10**300), ("hidden_size", -64), ("vocab_size", 0), ("intermediate_size", -1), ("head_dim", 0),
        ("max_position_embeddings", 0), ("max_position_embeddings", -5), ("max_position_embeddings", 2**40),
    ],
)  # fmt: skip
def test_a_size_that_no_model_has_is_told_with_its_key(describe: Describe, key: str, value: Any) -> None:
    with pytest.raises(ModelError) as caught:
        describe({**LLAMA, key: value}, SHAPES)
    (problem,) = caught.value.problems
    assert problem.code == "E319"
    assert problem.values["key"] == key
    assert problem.where.file.endswith("config.json")
    assert len(problem.message()) < 300


def test_all_of_them_are_told_at_once_also_inside_of_a_composite(describe: Describe) -> None:
    wrong = {**LLAMA, "text_config": {**LLAMA, "num_hidden_layers": -1, "vocab_size": 1.5}, "hidden_size": "64"}
    with pytest.raises(ModelError) as caught:
        describe(wrong, SHAPES)
    keys = [problem.values["key"] for problem in caught.value.problems]
    assert keys == ["hidden_size", "text_config.num_hidden_layers", "text_config.vocab_size"]


@pytest.mark.parametrize(
    "fields",
    [
        {"num_attention_heads": 6, "num_key_value_heads": 6, "head_dim": 16, "model_type": "never-heard-of"},
        {"head_dim": None, "num_key_value_heads": None},
        {"intermediate_size": [96, 96]},
    ],
)
def test_what_real_configs_write_passes(describe: Describe, fields: dict[str, Any]) -> None:
    assert describe({**LLAMA, **fields}, SHAPES).num_layers == 2


def test_a_padded_table_without_a_place_is_told(describe: Describe) -> None:
    config = {**LLAMA, "model_type": "roberta", "max_position_embeddings": 2, "pad_token_id": 1}
    with pytest.raises(ModelError, match="max_position_embeddings is 2"):
        describe(config, {})
