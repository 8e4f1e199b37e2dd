"""Small model folders of each kind, whole, so that data are read for them as for any other."""

from pathlib import Path

from tests.hostile import CONFIG, llama_shapes, safetensors, tokenizer_folder, write_json
from tests.shapes.shape import Reader

SIZE, WIDE, WORDS, PLACES = 16, 32, 512, 256
BERT = {
    "model_type": "bert", "architectures": ["BertModel"], "hidden_size": SIZE, "intermediate_size": WIDE,
    "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": WORDS, "max_position_embeddings": PLACES,
    "type_vocab_size": 2,
}  # fmt: skip
T5 = {
    "model_type": "t5", "architectures": ["T5ForConditionalGeneration"], "d_model": SIZE, "d_ff": WIDE, "d_kv": 8,
    "num_layers": 1, "num_decoder_layers": 1, "num_heads": 2, "vocab_size": WORDS, "eos_token_id": 2,
    "decoder_start_token_id": 0, "is_encoder_decoder": True, "relative_attention_num_buckets": 8,
}  # fmt: skip


def bert_shapes() -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (WORDS, SIZE),
        "embeddings.position_embeddings.weight": (PLACES, SIZE),
        "embeddings.token_type_embeddings.weight": (2, SIZE),
    }
    layer = "encoder.layer.0"
    square = [f"{layer}.attention.self.{part}" for part in ("query", "key", "value")] + [
        f"{layer}.attention.output.dense"
    ]
    for name, (out, into) in {
        **dict.fromkeys(square, (SIZE, SIZE)), f"{layer}.intermediate.dense": (WIDE, SIZE),
        f"{layer}.output.dense": (SIZE, WIDE), "pooler.dense": (SIZE, SIZE),
    }.items():  # fmt: skip
        shapes |= {f"{name}.weight": (out, into), f"{name}.bias": (out,)}
    for name in ("embeddings", f"{layer}.attention.output", f"{layer}.output"):
        shapes |= {f"{name}.LayerNorm.weight": (SIZE,), f"{name}.LayerNorm.bias": (SIZE,)}
    return shapes


def t5_shapes() -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {"shared.weight": (WORDS, SIZE)}
    for stack, attentions in (("encoder", ("SelfAttention",)), ("decoder", ("SelfAttention", "EncDecAttention"))):
        shapes[f"{stack}.final_layer_norm.weight"] = (SIZE,)
        for place, attention in enumerate(attentions):
            block = f"{stack}.block.0.layer.{place}"
            shapes |= {f"{block}.{attention}.{part}.weight": (SIZE, SIZE) for part in "qkvo"}
            shapes[f"{block}.layer_norm.weight"] = (SIZE,)
        shapes[f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"] = (8, 2)
        block = f"{stack}.block.0.layer.{len(attentions)}"
        shapes |= {f"{block}.DenseReluDense.wi.weight": (WIDE, SIZE), f"{block}.DenseReluDense.wo.weight": (SIZE, WIDE)}
        shapes[f"{block}.layer_norm.weight"] = (SIZE,)
    return shapes


KINDS = {
    "decoder": ({**CONFIG, "max_position_embeddings": 1024}, llama_shapes),
    "encoder": (BERT, bert_shapes),
    "encoder_decoder": (T5, t5_shapes),
}


def model_folder(folder: Path, reader: Reader) -> Path:
    """A model of this kind, for any row of text."""
    config, shapes = KINDS[reader]
    tokenizer_folder(folder)
    write_json(folder / "config.json", config)
    (folder / "model.safetensors").write_bytes(safetensors(shapes()))
    return folder
