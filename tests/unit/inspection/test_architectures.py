"""The table of families, and models that no class of transformers can build: read from the names in their headers."""

import pytest

from tunewright.config.preset_table import PRESETS
from tunewright.inspection.architectures import FAMILIES, ia3_modules, names_of, norm_modules, roles_of, same_roles

from .conftest import Describe, blocks

SIZES = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 512}
ENDS = {"model.embed_tokens.weight": [512, 64], "model.norm.weight": [64]}
SQUARE, WIDE, NARROW = [64, 64], [96, 64], [64, 96]
REMOTE = {
    "qwen": (
        "QWenLMHeadModel", "transformer.h.{i}",
        {"attn.c_attn": [192, 64], "attn.c_proj": SQUARE, "mlp.w1": WIDE, "mlp.w2": WIDE, "mlp.c_proj": NARROW},
        ["c_attn", "attn.c_proj", "w2", "w1", "mlp.c_proj"],
    ),
    "internlm2": (
        "InternLM2ForCausalLM", "model.layers.{i}",
        {"attention.wqkv": [192, 64], "attention.wo": SQUARE, "feed_forward.w1": WIDE, "feed_forward.w3": WIDE,
         "feed_forward.w2": NARROW},
        ["wqkv", "wo", "w1", "w3", "w2"],
    ),
    "baichuan": (
        "BaichuanForCausalLM", "model.layers.{i}",
        {"self_attn.W_pack": [192, 64], "self_attn.o_proj": SQUARE, "mlp.gate_proj": WIDE, "mlp.up_proj": WIDE,
         "mlp.down_proj": NARROW},
        ["W_pack", "o_proj", "gate_proj", "up_proj", "down_proj"],
    ),
    "chatglm": (
        "ChatGLMForCausalLM", "transformer.encoder.layers.{i}",
        {"self_attention.query_key_value": [192, 64], "self_attention.dense": SQUARE, "mlp.dense_h_to_4h": [192, 64],
         "mlp.dense_4h_to_h": NARROW},
        ["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("family", REMOTE)
def test_families_with_code_of_their_own_are_known_by_their_names(describe: Describe, family: str) -> None:
    architecture, pattern, shapes, names = REMOTE[family]
    config = {**SIZES, "model_type": family, "architectures": [architecture]}
    model = describe(config, {"transformer.wte.weight": [512, 64], **blocks(pattern, shapes)})
    roles, is_known = roles_of(model)
    assert is_known
    assert names_of(roles, PRESETS["complex"].roles) == names
    assert sum(group.count for group in model.linear) == 2 * len(shapes)


@pytest.mark.parametrize(("family", "has_roles"), [(name, bool(row.roles)) for name, row in FAMILIES.items()])
def test_a_row_has_attention_or_nothing(family: str, has_roles: bool) -> None:
    roles = FAMILIES[family].roles
    assert ({"q", "k", "v", "o"} <= set(roles)) is has_roles
    assert all(names for names in roles.values())


def test_a_family_outside_the_table_is_read_from_its_names(describe: Describe) -> None:
    shapes = blocks(
        "a.{i}", {"attn.wq": SQUARE, "attn.wk": SQUARE, "attn.wv": SQUARE, "attn.wo": SQUARE, "ffn.fc1": WIDE}
    )
    roles, is_known = roles_of(
        describe({**SIZES, "model_type": "brand_new", "architectures": ["XForCausalLM"]}, shapes)
    )
    assert not is_known
    assert names_of(roles, PRESETS["complex"].roles) == ["wq", "wk", "wv", "wo", "fc1"]


def test_names_that_a_variant_lacks_are_passed_over(describe: Describe) -> None:
    config = {**SIZES, "model_type": "t5", "architectures": ["T5ForConditionalGeneration"]}
    plain = describe(
        config, blocks("encoder.block.{i}", {"layer.0.q": SQUARE, "layer.1.wi": WIDE, "layer.1.wo": NARROW})
    )
    gated = describe(
        config, blocks("encoder.block.{i}", {"layer.0.q": SQUARE, "layer.1.wi_0": WIDE, "layer.1.wi_1": WIDE})
    )
    assert dict(roles_of(plain)[0]) == {"q": ("q",), "up": ("wi",), "down": ("wo",)}
    assert dict(roles_of(gated)[0]) == {"q": ("q",), "gate": ("wi_0",), "up": ("wi_1",)}


def test_the_lessons_names_play_the_same_roles_in_todays_models(describe: Describe) -> None:
    shapes = ENDS | blocks("model.layers.{i}", {
        **{f"self_attn.{n}_proj": SQUARE for n in "qkvo"}, **{f"mlp.{n}_proj": WIDE for n in ("gate", "up", "down")},
    })  # fmt: skip
    model = describe({**SIZES, "model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"]}, shapes)
    assert same_roles(["c_attn"], model) == ["q_proj", "k_proj", "v_proj"]
    assert same_roles(["c_attn", "c_proj", "w1", "w2"], model) == [
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    ]  # fmt: skip
    assert same_roles(["nonsense"], model) == []


def test_ia3_takes_keys_values_and_feed_forward_unless_peft_says_otherwise(describe: Describe) -> None:
    shapes = ENDS | blocks("model.layers.{i}", {**{f"{n}_proj": SQUARE for n in "qkvo"}, "down_proj": NARROW})
    model = describe({**SIZES, "model_type": "llama", "architectures": ["LlamaForCausalLM"]}, shapes)
    assert ia3_modules(model) == (["k_proj", "v_proj", "down_proj"], ["down_proj"])
    assert ia3_modules(model.model_copy(update={"model_type": "qwen2"})) == (
        ["q_proj", "v_proj", "down_proj"],
        ["down_proj"],
    )


def test_norm_layers_are_named_one_by_one_where_a_block_has_none(describe: Describe) -> None:
    norms = {f"layers.{i}.{name}.weight": [64] for i in range(3) for name in ("attn_norm", "mlp_norm")}
    del norms["layers.0.attn_norm.weight"]
    model = describe(
        {**SIZES, "model_type": "modernbert", "num_hidden_layers": 3},
        {"embeddings.tok_embeddings.weight": [512, 64], **norms},
    )
    assert sorted(norm_modules(model)) == ["mlp_norm", "model.layers.1.attn_norm", "model.layers.2.attn_norm"]
    assert model.num_norm_parameters == 5 * 64
