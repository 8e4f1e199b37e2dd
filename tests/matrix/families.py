"""The zoo: every family that can be built, tiny and random, from a config; and one real model under four names.

Two blocks, hidden size 64, vocabulary 512: some 100 to 300 thousand parameters, well under a second each.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    EncoderDecoderConfig,
    PreTrainedConfig,
    PreTrainedModel,
)

from tunewright.config.tasks import Task

Fields = Mapping[str, Any]
CLASSES: Mapping[Task, Any] = {
    "causal_lm": AutoModelForCausalLM,
    "seq2seq": AutoModelForSeq2SeqLM,
    "seq_cls": AutoModelForSequenceClassification,
}


@dataclass(frozen=True)
class Tiny:
    """One animal: its model type, the task it is built for, and its config."""

    model_type: str
    task: Task
    fields: Fields = field(default_factory=dict)

    def config(self) -> PreTrainedConfig:
        if self.model_type != "encoder-decoder":
            return AutoConfig.for_model(self.model_type, **self.fields)
        reads, writes = (AutoConfig.for_model("bert", **ENCODER) for _ in range(2))
        return EncoderDecoderConfig.from_encoder_decoder_configs(reads, writes, **self.fields)

    def build(self) -> PreTrainedModel:
        """The model with random weights, the same at each call."""
        torch.manual_seed(0)
        model: PreTrainedModel = CLASSES[self.task].from_config(self.config()).eval()
        return model


PLAIN = {
    "vocab_size": 512, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96,
}  # fmt: skip
GROUPED = {**PLAIN, "num_key_value_heads": 2}
WIDE = {**GROUPED, "head_dim": 16}
PADDED = {"pad_token_id": 0}
GPT = {"vocab_size": 512, "n_embd": 64, "n_layer": 2, "n_head": 4}
ENCODER = {**PLAIN, "max_position_embeddings": 128}
SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}
DEBERTA = {**ENCODER, "relative_attention": True, "pos_att_type": ["c2p", "p2c"]}
T5 = {
    "vocab_size": 512, "d_model": 64, "d_kv": 16, "d_ff": 96, "num_layers": 2, "num_decoder_layers": 3, "num_heads": 4,
    "decoder_start_token_id": 0, "pad_token_id": 0,
}  # fmt: skip
GATED = {**T5, "feed_forward_proj": "gated-gelu"}
BART = {
    "vocab_size": 512, "d_model": 64, "encoder_layers": 2, "decoder_layers": 3, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 96, "decoder_ffn_dim": 96, "max_position_embeddings": 256,
    "decoder_start_token_id": 2, "pad_token_id": 1,
}  # fmt: skip
LOCAL = {"num_local_experts": 4, "num_experts_per_tok": 2}
SOME = {"moe_intermediate_size": 48, "num_experts_per_tok": 2}
ROUTED = {**SOME, "n_routed_experts": 4, "first_k_dense_replace": 1, "n_group": 1, "topk_group": 1}
LATENT = {
    **PLAIN, **ROUTED, "num_key_value_heads": 4, "kv_lora_rank": 16, "q_lora_rank": 24, "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8, "v_head_dim": 16,
}  # fmt: skip


def _all(model_types: str, task: Task, fields: Fields) -> dict[str, Tiny]:
    return {name: Tiny(name, task, fields) for name in model_types.split()}


EXPERTS: Mapping[str, Tiny] = {
    "mixtral": Tiny("mixtral", "causal_lm", {**WIDE, **LOCAL}),
    "phimoe": Tiny("phimoe", "causal_lm", {**GROUPED, **LOCAL}),
    "gpt_oss": Tiny("gpt_oss", "causal_lm", {**WIDE, **LOCAL}),
    "granitemoe": Tiny("granitemoe", "causal_lm", {**GROUPED, **LOCAL}),
    "qwen2_moe": Tiny("qwen2_moe", "causal_lm", {**GROUPED, **SOME, "num_experts": 4, "shared_expert_intermediate_size": 48}),
    "qwen3_moe": Tiny("qwen3_moe", "causal_lm", {**WIDE, **SOME, "num_experts": 4}),
    "olmoe": Tiny("olmoe", "causal_lm", {**GROUPED, "num_experts": 4, "num_experts_per_tok": 2}),
    "glm4_moe": Tiny("glm4_moe", "causal_lm", {**WIDE, **ROUTED}),
    "ernie4_5_moe": Tiny("ernie4_5_moe", "causal_lm", {**WIDE, **SOME, "moe_num_experts": 4, "moe_k": 2}),
    "llama4_text": Tiny("llama4_text", "causal_lm", {**WIDE, **LOCAL, **PADDED, "intermediate_size_mlp": 96}),
    "deepseek_v2": Tiny("deepseek_v2", "causal_lm", LATENT),
    "deepseek_v3": Tiny("deepseek_v3", "causal_lm", LATENT),
}  # fmt: skip
MAMBA = {"vocab_size": 512, "hidden_size": 64, "num_hidden_layers": 2, "state_size": 8}
HYBRID = {**WIDE, "mamba_d_ssm": 64, "mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 8}
MAMBAS: Mapping[str, Tiny] = {
    "mamba": Tiny("mamba", "causal_lm", MAMBA),
    "mamba2": Tiny("mamba2", "causal_lm", {**MAMBA, "num_heads": 8, "head_dim": 16, "expand": 2}),
}
ZOO: Mapping[str, Tiny] = {
    **_all("llama mistral qwen2 phi3 granite cohere olmo olmo2 olmo3 stablelm starcoder2 smollm3",
           "causal_lm", {**GROUPED, **PADDED}),
    **_all("glm glm4 internlm3 ministral qwen3 gemma gemma2 gemma3_text cohere2 exaone4 helium nemotron arcee apertus ernie4_5 "
           "hunyuan_v1_dense seed_oss ministral3", "causal_lm", {**WIDE, **PADDED}),
    **_all("phi gpt_neox biogpt", "causal_lm", {**PLAIN, "max_position_embeddings": 256}),
    **_all("gpt2 gpt_bigcode openai-gpt", "causal_lm", {**GPT, "n_positions": 256}),
    **_all("gptj codegen", "causal_lm", {**GPT, "rotary_dim": 8}),
    "gpt_neo": Tiny("gpt_neo", "causal_lm", {
        "vocab_size": 512, "hidden_size": 64, "num_layers": 2, "num_heads": 4, "intermediate_size": 96,
        "attention_types": [[["global", "local"], 1]],
    }),
    "bloom": Tiny("bloom", "causal_lm", {"vocab_size": 512, "hidden_size": 64, "n_layer": 2, "n_head": 4}),
    "falcon": Tiny("falcon", "causal_lm", {**PLAIN, "new_decoder_architecture": False}),
    "falcon-new": Tiny("falcon", "causal_lm", {**PLAIN, "new_decoder_architecture": True, "num_kv_heads": 2}),
    "mpt": Tiny("mpt", "causal_lm", {"vocab_size": 512, "d_model": 64, "n_layers": 2, "n_heads": 4}),
    "opt": Tiny("opt", "causal_lm", {**PLAIN, "ffn_dim": 96, "word_embed_proj_dim": 64, "max_position_embeddings": 256}),
    "xglm": Tiny("xglm", "causal_lm", {"vocab_size": 512, "d_model": 64, "ffn_dim": 96, "num_layers": 2, "attention_heads": 4}),
    "falcon_h1": Tiny("falcon_h1", "causal_lm", HYBRID),
    "rwkv": Tiny("rwkv", "causal_lm", {"vocab_size": 512, "hidden_size": 64, "num_hidden_layers": 2}),
    **EXPERTS,
    "deepseek_v3-full": Tiny("deepseek_v3", "causal_lm", {**LATENT, "q_lora_rank": None}),
    "t5": Tiny("t5", "seq2seq", T5),
    "longt5": Tiny("longt5", "seq2seq", T5),
    "t5-gated": Tiny("t5", "seq2seq", GATED),
    **_all("mt5 umt5", "seq2seq", GATED),
    **_all("bart mbart pegasus marian blenderbot blenderbot-small m2m_100 plbart", "seq2seq", BART),
    "encoder-decoder": Tiny("encoder-decoder", "seq2seq", {"decoder_start_token_id": 1, "pad_token_id": 0}),
    **_all("bert roberta xlm-roberta xlm-roberta-xl camembert ernie layoutlm mpnet", "seq_cls", ENCODER),
    "electra": Tiny("electra", "seq_cls", {**ENCODER, "embedding_size": 64}),
    "albert": Tiny("albert", "seq_cls", {**ENCODER, "embedding_size": 32}),
    "distilbert": Tiny("distilbert", "seq_cls", {
        "vocab_size": 512, "dim": 64, "n_layers": 2, "n_heads": 4, "hidden_dim": 96, "max_position_embeddings": 128,
    }),
    **_all("deberta deberta-v2", "seq_cls", DEBERTA),
    "modernbert": Tiny("modernbert", "seq_cls", {**ENCODER, **SPECIAL}),
}  # fmt: skip

RELABELLED = ("mistral", "qwen2", "phi3", "granite")


def relabelled(llama: PreTrainedModel, family: str) -> PreTrainedModel:
    """The same weights as another family's model; its logits are the same to the bit."""
    config = _relabelled_config(llama.config, family)
    with torch.device("meta"):
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    weights = _relabelled_weights(llama.state_dict(), family)
    if family == "qwen2":
        weights |= {name: torch.zeros(p.shape) for name, p in model.named_parameters() if name.endswith("proj.bias")}
    model.load_state_dict(weights, assign=True)
    model.model.rotary_emb = type(model.model.rotary_emb)(config)
    model.tie_weights()
    return model.eval()


def _relabelled_config(llama: PreTrainedConfig, family: str) -> PreTrainedConfig:
    names = (
        "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
        "hidden_act", "max_position_embeddings", "rms_norm_eps", "tie_word_embeddings", "rope_parameters", "bos_token_id",
        "eos_token_id", "pad_token_id",
    )  # fmt: skip
    same = {name: llama.to_dict()[name] for name in names}
    head = llama.hidden_size // llama.num_attention_heads
    own: Mapping[str, dict[str, Any]] = {
        "mistral": {"sliding_window": None, "head_dim": head},
        "qwen2": {"use_sliding_window": False},
        "phi3": {"sliding_window": None, "original_max_position_embeddings": llama.max_position_embeddings},
        "granite": {
            "embedding_multiplier": 1.0, "residual_multiplier": 1.0, "logits_scaling": 1.0,
            "attention_multiplier": head**-0.5,
        },
    }  # fmt: skip
    return AutoConfig.for_model(family, **same, **own[family])


def _relabelled_weights(weights: dict[str, torch.Tensor], family: str) -> dict[str, torch.Tensor]:
    if family != "phi3":
        return {path: tensor.clone() for path, tensor in weights.items()}
    fused = {
        "q_proj": "qkv_proj",
        "k_proj": "qkv_proj",
        "v_proj": "qkv_proj",
        "gate_proj": "gate_up_proj",
        "up_proj": "gate_up_proj",
    }
    order = {name: place for place, name in enumerate(fused)}
    parts: dict[str, dict[int, torch.Tensor]] = {}
    for path, tensor in weights.items():
        name = path.split(".")[-2]
        parts.setdefault(path.replace(name, fused.get(name, name)), {})[order.get(name, 0)] = tensor
    return {
        path: torch.cat([parts_by_place[place] for place in sorted(parts_by_place)])
        for path, parts_by_place in parts.items()
    }


def saved(model: PreTrainedModel, folder: Path) -> Path:
    """The folder with the model in it."""
    model.save_pretrained(folder)
    return folder
