"""What a folder's headers tell: kind, tasks, sizes under every family's names, layers as the loaded model has them."""

import pytest

from tunewright.inspection.architectures import expert_parameters

from .conftest import Describe, blocks

BERT = {
    "model_type": "bert", "architectures": ["BertModel"], "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 96, "vocab_size": 512, "max_position_embeddings": 128,
}  # fmt: skip
BERT_SHAPES = {
    "embeddings.word_embeddings.weight": [512, 64],
    "embeddings.LayerNorm.weight": [64],
    "embeddings.LayerNorm.bias": [64],
    **blocks("encoder.layer.{i}", {"attention.self.query": [64, 64], "attention.output.dense": [64, 64]}),
    **blocks("encoder.layer.{i}", {"intermediate.dense": [96, 64], "output.dense": [64, 96]}),
}


def test_an_encoder_labels_but_does_not_write_though_transformers_has_a_class_for_it(describe: Describe) -> None:
    model = describe(BERT, BERT_SHAPES)
    assert (model.kind, model.tasks) == ("encoder", ("seq_cls", "token_cls"))


def test_a_checkpoint_without_head_has_the_paths_of_the_loaded_model(describe: Describe) -> None:
    model = describe(BERT, BERT_SHAPES)
    assert "bert.encoder.layer.1.attention.self.query" in model.linear_paths
    assert describe(BERT, {f"bert.{name}": shape for name, shape in BERT_SHAPES.items()}).linear == model.linear


def test_heads_of_pre_training_are_no_layers(describe: Describe) -> None:
    heads = {"cls.predictions.transform.LayerNorm.weight": [64], "cls.predictions.decoder.weight": [512, 64]}
    model = describe(BERT, {**BERT_SHAPES, **heads})
    assert model.num_norm_parameters == 128
    assert [group.name for group in model.vocabulary] == ["word_embeddings"]


def test_an_encoder_decoder_of_t5s_names(describe: Describe) -> None:
    config = {
        "model_type": "t5", "architectures": ["T5ForConditionalGeneration"], "is_encoder_decoder": True, "d_model": 512,
        "d_kv": 64, "d_ff": 1024, "num_layers": 8, "num_decoder_layers": 6, "num_heads": 6, "vocab_size": 32128,
        "n_positions": 512,
    }  # fmt: skip
    shapes = {
        "shared.weight": [32128, 512],
        **blocks(
            "encoder.block.{i}.layer.0",
            {"SelfAttention.q": [384, 512], "SelfAttention.relative_attention_bias": [32, 6]},
            count=8,
        ),
        **blocks("decoder.block.{i}.layer.0", {"SelfAttention.q": [384, 512]}, count=6),
    }
    model = describe(config, shapes)
    assert (model.kind, model.tasks) == ("encoder_decoder", ("seq2seq", "seq_cls", "token_cls"))
    assert (model.num_layers, model.num_decoder_layers) == (8, 6)
    assert (model.hidden_size, model.intermediate_size, model.num_attention_heads, model.head_dim) == (512, 1024, 6, 64)
    assert model.tie_word_embeddings
    assert [group.name for group in model.linear] == ["q"]


def test_a_composite_has_the_sizes_of_its_halves(describe: Describe) -> None:
    config = {
        "model_type": "encoder-decoder", "architectures": ["EncoderDecoderModel"], "is_encoder_decoder": True,
        "encoder": {**BERT, "num_hidden_layers": 3}, "decoder": {**BERT, "max_position_embeddings": 100, "vocab_size": 600},
    }  # fmt: skip
    third = {"encoder.encoder.layer.2.attention.self.query.weight": [64, 64]}
    shapes = third | {f"encoder.{name}": shape for name, shape in BERT_SHAPES.items()}
    shapes |= {f"decoder.bert.{name}": shape for name, shape in BERT_SHAPES.items()}
    model = describe(config, shapes)
    assert (model.kind, model.tasks) == ("encoder_decoder", ("seq2seq",))
    assert (model.num_layers, model.num_decoder_layers, model.hidden_size) == (3, 2, 64)
    assert (model.max_position_embeddings, model.vocab_size) == (100, 600)
    assert "decoder.bert.encoder.layer.0.attention.self.query" in model.linear_paths


def test_roberta_has_fewer_positions_than_its_table_has_rows(describe: Describe) -> None:
    config = {**BERT, "model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}
    assert describe(config, BERT_SHAPES).max_position_embeddings == 512


@pytest.mark.parametrize(
    ("fields", "heads"),
    [
        ({}, 4),
        ({"num_key_value_heads": 2}, 2),
        ({"multi_query": True}, 1),
        ({"multi_query": True, "new_decoder_architecture": True, "num_kv_heads": 2}, 4),
    ],
)
def test_key_value_heads_are_those_of_the_cache(describe: Describe, fields: dict[str, object], heads: int) -> None:
    model = describe({**BERT, "model_type": "falcon", **fields}, BERT_SHAPES)
    assert model.num_key_value_heads == heads


def test_conv1d_weights_stand_the_other_way_round(describe: Describe) -> None:
    config = {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "n_embd": 64,
        "n_layer": 2,
        "n_head": 4,
        "vocab_size": 512,
    }
    model = describe(config, {"wte.weight": [512, 64], **blocks("h.{i}", {"attn.c_attn": [64, 192]})})
    (group,) = model.linear
    assert model.is_conv1d
    assert (group.in_features, group.out_features) == (64, 192)
    assert group.paths[0] == "transformer.h.0.attn.c_attn"


MOE = {
    "model_type": "qwen3_moe", "architectures": ["Qwen3MoeForCausalLM"], "hidden_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "vocab_size": 512,
}  # fmt: skip
ONE_BY_ONE = {f"experts.{i}.{name}": shape for i in range(4) for name, shape in (
    ("gate_proj", [48, 64]), ("up_proj", [48, 64]), ("down_proj", [64, 48]),
)}  # fmt: skip


def test_experts_are_one_parameter_a_block_however_the_checkpoint_holds_them(describe: Describe) -> None:
    attention = blocks("model.layers.{i}", {"self_attn.q_proj": [64, 64], "mlp.gate": [4, 64]})
    apart = describe(MOE, {**attention, **blocks("model.layers.{i}.mlp", ONE_BY_ONE)})
    whole = {"mlp.experts.gate_up_proj": [4, 96, 64], "mlp.experts.down_proj": [4, 64, 48]}
    together = describe(
        MOE, attention | {f"model.layers.{i}.{name}": shape for i in range(2) for name, shape in whole.items()}
    )
    groups = {g.name: (g.num_experts, g.in_features, g.out_features, g.count) for g in apart.experts}
    assert groups == {"experts.gate_up_proj": (4, 64, 96, 2), "experts.down_proj": (4, 48, 64, 2)}
    assert set(together.experts) == set(apart.experts)
    assert [group.name for group in apart.linear] == ["q_proj"]
    assert expert_parameters(apart) == ["experts.gate_up_proj", "experts.down_proj"]


def test_tied_embeddings_are_told_by_the_config_or_by_a_missing_output(describe: Describe) -> None:
    llama = {**MOE, "model_type": "llama"}
    embedding, output = (
        {"model.embed_tokens.weight": [512, 64], "model.norm.weight": [64]},
        {"lm_head.weight": [512, 64]},
    )
    assert describe(llama, embedding).tie_word_embeddings
    assert not describe(llama, embedding | output).tie_word_embeddings
    assert describe({**llama, "tie_word_embeddings": True}, embedding | output).tie_word_embeddings


def test_a_type_that_transformers_does_not_know_is_judged_by_its_class(describe: Describe) -> None:
    unknown = {**MOE, "model_type": "brand_new", "architectures": ["BrandNewForCausalLM"]}
    assert describe(unknown, {"a.0.q_proj.weight": [64, 64]}).tasks == ("causal_lm",)
    assert describe({**unknown, "architectures": ["BrandNewForVision"]}, {"a.0.q_proj.weight": [64, 64]}).tasks == ()


def test_what_maps_sounds_to_text_does_no_task_of_ours(describe: Describe) -> None:
    config = {**MOE, "model_type": "qwen2_audio", "architectures": ["Qwen2AudioForConditionalGeneration"]}
    assert describe(config, {"a.0.q_proj.weight": [64, 64]}).tasks == ()
