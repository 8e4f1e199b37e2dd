"""Tiny models with tokenizers that llama.cpp's converter knows, adapters on them, and their logits through llama.cpp."""

import io
import json
import shutil
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GemmaTokenizer,
    LlamaTokenizer,
    PreTrainedModel,
)

from tests.real_model import REAL_HOME
from tunewright.data import demo_data
from tunewright.extras.serve.llama_engine import LlamaModel, start_engine

SIZE = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}
GROUPED = {**SIZE, "num_key_value_heads": 2, "max_position_embeddings": 512}
WIDE = {**GROUPED, "head_dim": 16}
SENTENCEPIECE_ROWS = 515
SPECIAL_TOKENS = ["<start_of_turn>", "<end_of_turn>", "<|end|>"]


@dataclass(frozen=True)
class TinyFamily:
    """A family: its fields, and whether its tokenizer is SentencePiece's or the byte-level BPE of SmolLM2."""

    fields: dict[str, Any]
    is_sentencepiece: bool = False


FAMILIES: dict[str, TinyFamily] = {
    "llama": TinyFamily(GROUPED),
    "qwen2": TinyFamily(GROUPED, is_sentencepiece=True),
    "qwen3": TinyFamily(WIDE),
    "gemma2": TinyFamily({**WIDE, "query_pre_attn_scalar": 16, "sliding_window": 64}, is_sentencepiece=True),
    "gemma3_text": TinyFamily({**WIDE, "query_pre_attn_scalar": 16, "sliding_window": 64}, is_sentencepiece=True),
    "mistral": TinyFamily({**WIDE, "sliding_window": None}, is_sentencepiece=True),
    "phi3": TinyFamily({**GROUPED, "pad_token_id": 0, "sliding_window": None}, is_sentencepiece=True),
    "gpt2": TinyFamily({"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 512}),
}


def smollm2_folder() -> Path:
    """The built-in model, whose tokenizer the converter knows."""
    return next((REAL_HOME / "models").glob("smollm2-*"))


def sentencepiece_tokenizer(folder: Path, family: str) -> None:
    """A small SentencePiece tokenizer as models have it: tokenizer.model, and the tokenizer.json that transformers makes of it."""
    rows = (json.dumps(demo_data.as_messages(row)) for row in demo_data.generate("train", 200, 0))
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=rows, model_writer=written, vocab_size=SENTENCEPIECE_ROWS - 3, model_type="bpe", byte_fallback=True,
        pad_id=0, eos_id=1, bos_id=2, unk_id=3, pad_piece="<pad>", eos_piece="<eos>", bos_piece="<bos>",
        user_defined_symbols=SPECIAL_TOKENS, normalization_rule_name="identity", add_dummy_prefix=not family.startswith("gemma"),
        remove_extra_whitespaces=False, minloglevel=2,
    )  # fmt: skip
    (folder / "tokenizer.model").write_bytes(written.getvalue())
    special = {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>", "unk_token": "<unk>"}
    made_by = GemmaTokenizer if family.startswith("gemma") else LlamaTokenizer
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": made_by.__name__, **special}))
    made_by.from_pretrained(folder).save_pretrained(folder)


def tiny_family(name: str, folder: Path, *, scale: float = 3.0) -> PreTrainedModel:
    """A random model of a family in a folder, with a tokenizer; the larger its weights, the further apart its logits."""
    family = FAMILIES[name]
    folder.mkdir(parents=True)
    if family.is_sentencepiece:
        sentencepiece_tokenizer(folder, name)
    else:
        AutoTokenizer.from_pretrained(smollm2_folder()).save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    config = AutoConfig.for_model(name, vocab_size=len(tokenizer), **family.fields)
    config.bos_token_id, config.eos_token_id, config.pad_token_id = 2, 1, 0
    torch.manual_seed(0)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(scale)  # far from equal logits, so that a wrong layer shows
    model.save_pretrained(folder)
    return model


def add_lora(model: PreTrainedModel, folder: Path, **settings: Any) -> PeftModel:
    """The model with a random adapter on every linear layer of its blocks, saved as a run saves it."""
    settings = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", **settings}
    torch.manual_seed(1)
    tuned = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", init_lora_weights=False, **settings)).eval()
    tuned.save_pretrained(folder, save_embedding_layers=False)
    return tuned


def merged_folder(tuned: PeftModel, base: Path, target: Path) -> Path:
    """The merged model with the base's tokenizer, as a merge of ours leaves it, and tokenizer.model beside it."""
    tuned.merge_and_unload().save_pretrained(target)
    AutoTokenizer.from_pretrained(base).save_pretrained(target)
    if (base / "tokenizer.model").is_file():
        shutil.copyfile(base / "tokenizer.model", target / "tokenizer.model")
    config = json.loads((target / "config.json").read_text())
    if "n_positions" in config:  # as gguf_limits.complete_for_converter does
        (target / "config.json").write_text(json.dumps({**config, "n_ctx": config["n_positions"]}))
    return target


@torch.no_grad()
def logprobs(model: Any, ids: Sequence[int]) -> torch.Tensor:
    """Log-probabilities of the next token (V,)."""
    return model(input_ids=torch.tensor([list(ids)])).logits[0, -1].float().log_softmax(-1)


def largest_gap(
    expected: torch.Tensor, model: Path, adapters: tuple[Path, ...], ids: Sequence[int], log: Path
) -> float:
    """Largest difference of the ten likeliest next tokens' log-probabilities through llama.cpp to the expected ones."""
    with start_engine(LlamaModel(model, adapters, context=256, threads=1), log=log) as engine:
        body = {"prompt": list(ids), "n_predict": 1, "n_probs": 10, "temperature": 0.0, "cache_prompt": False}
        request = urllib.request.Request(
            f"{engine.url}/completion", json.dumps(body).encode(),
            {"Content-Type": "application/json", "Authorization": f"Bearer {engine.key}"},
        )  # fmt: skip
        with urllib.request.urlopen(request, timeout=60) as answer:
            (first,) = json.load(answer)["completion_probabilities"]
    return max(abs(entry["logprob"] - float(expected[entry["id"]])) for entry in first["top_logprobs"])
