"""Tensors that a block lacks, or of another shape than the config's sizes say: told in the plan, by headers alone."""

from typing import Any

import pytest

from tunewright.errors import ModelError

from .conftest import Describe, blocks
from .test_config_sizes import LLAMA

WHOLE = {
    "model.embed_tokens.weight": [512, 64],
    "model.norm.weight": [64],
    "lm_head.weight": [512, 64],
    **blocks("model.layers.{i}", {
        "self_attn.q_proj": [64, 64], "self_attn.k_proj": [32, 64], "self_attn.v_proj": [32, 64],
        "self_attn.o_proj": [64, 64], "mlp.gate_proj": [96, 64], "mlp.up_proj": [96, 64], "mlp.down_proj": [64, 96],
        "input_layernorm": [64],
    }),
}  # fmt: skip


def problem_values(caught: pytest.ExceptionInfo[ModelError]) -> list[tuple[str, int, str]]:
    return [(p.code, p.values["count"], p.values["names"]) for p in caught.value.problems]


def test_a_whole_model_passes(describe: Describe) -> None:
    assert describe(LLAMA, WHOLE).num_key_value_heads == 2
    assert describe({**LLAMA, "model_type": "qwen2"}, WHOLE).num_layers == 2


@pytest.mark.parametrize(
    "name",
    [
        "model.layers.1.mlp.down_proj.weight", "model.layers.0.self_attn.k_proj.weight", "model.layers.1.input_layernorm.weight",
        "model.embed_tokens.weight", "model.norm.weight",
    ],
)  # fmt: skip
def test_one_tensor_that_is_missing_is_named(describe: Describe, name: str) -> None:
    with pytest.raises(ModelError) as caught:
        describe(LLAMA, {other: shape for other, shape in WHOLE.items() if other != name})
    assert problem_values(caught) == [("E316", 1, name)]


def test_a_bias_that_one_block_lacks_is_named(describe: Describe) -> None:
    with pytest.raises(ModelError) as caught:
        describe({**LLAMA, "model_type": "qwen2"}, WHOLE | {"model.layers.0.self_attn.q_proj.bias": [64]})
    assert problem_values(caught) == [("E316", 1, "model.layers.1.self_attn.q_proj.bias")]


@pytest.mark.parametrize(
    ("change", "count", "first"),
    [
        ({"num_key_value_heads": 4}, 4, "model.layers.0.self_attn.k_proj.weight (32 x 64 / 64 x 64)"),
        ({"num_key_value_heads": 1}, 4, "model.layers.0.self_attn.k_proj.weight (32 x 64 / 16 x 64)"),
        ({"num_key_value_heads": None}, 4, "model.layers.0.self_attn.k_proj.weight (32 x 64 / 64 x 64)"),
        ({"head_dim": 32}, 8, "model.layers.0.self_attn.k_proj.weight (32 x 64 / 64 x 64)"),
        ({"intermediate_size": 128}, 6, "model.layers.0.mlp.down_proj.weight (64 x 96 / 64 x 128)"),
        ({"num_attention_heads": 2}, 4, "model.layers.0.self_attn.k_proj.weight (32 x 64 / 64 x 64)"),
    ],
)
def test_sizes_that_do_not_fit_the_layers_are_told_with_both(
    describe: Describe, change: dict[str, Any], count: int, first: str
) -> None:
    with pytest.raises(ModelError) as caught:
        describe({**LLAMA, **change}, WHOLE)
    ((code, number, names),) = problem_values(caught)
    assert (code, number, names.split(",")[0]) == ("E318", count, first)


@pytest.mark.parametrize(
    ("config", "more"),
    [
        ({}, {"model.layers.0.self_attn.rotary_emb.inv_freq": [8]}),  # older versions saved it
        ({"num_nextn_predict_layers": 1}, {"model.layers.2.eh_proj.weight": [64, 128]}),
        ({"model_type": "gemma4_text", "num_key_value_heads": 1}, {}),  # sizes that change from block to block
        ({"model_type": "mixtral", "intermediate_size": 7}, {}),
        ({"intermediate_size": [96, 96]}, {}),
    ],
)
def test_what_is_usual_raises_no_alarm(describe: Describe, config: dict[str, Any], more: dict[str, list[int]]) -> None:
    assert describe({**LLAMA, **config}, WHOLE | more).vocab_size == 512


def test_a_bare_base_is_looked_at_too(describe: Describe) -> None:
    bare = {name.removeprefix("model."): shape for name, shape in WHOLE.items() if name != "lm_head.weight"}
    assert describe(LLAMA, bare).num_layers == 2
    with pytest.raises(ModelError) as caught:
        describe({**LLAMA, "num_key_value_heads": 4}, bare)
    assert problem_values(caught)[0][:2] == ("E318", 4)
