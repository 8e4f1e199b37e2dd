"""Tiny models made in memory and written as folders: no download, well under a second each."""

import gc
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    EncoderDecoderConfig,
    EncoderDecoderModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from tunewright.data import demo_data
from tunewright.engine.training import dry_run
from tunewright.inspection.machine_info import SpeedProbe, probe_path
from tunewright.launch import trial_settings
from tunewright.planning.run_plan import Plan
from tunewright.rundir import atomic_io

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SIZE = {"vocab_size": 512, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}
GROUPED = {**SIZE, "num_key_value_heads": 2}
FAMILIES: dict[str, dict[str, object]] = {
    "llama": GROUPED,
    "mistral": GROUPED,
    "qwen2": GROUPED,
    "qwen3": {**GROUPED, "head_dim": 16},
    "gemma2": {**GROUPED, "head_dim": 16, "final_logit_softcapping": 5.0},
    "granite": {**GROUPED, "logits_scaling": 4.0},
    "phi": SIZE,
    "phi3": {**GROUPED, "pad_token_id": 0},
    "gpt2": {"vocab_size": 512, "n_embd": 64, "n_layer": 2, "n_head": 4},
    "gpt_neox": SIZE,
    "bloom": {"vocab_size": 512, "hidden_size": 64, "n_layer": 2, "n_head": 4},
    "falcon": {**SIZE, "new_decoder_architecture": False},
    "opt": {**SIZE, "ffn_dim": 96, "word_embed_proj_dim": 64, "max_position_embeddings": 256},
}


def tiny_tokenizer(folder: Path, chat_template: str | None) -> None:
    """A byte-level tokenizer with an end token and, if wanted, a chat template."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(["user assistant system hello answer question"], trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>", unk_token="<|endoftext|>"
    )
    fast.chat_template = chat_template
    fast.save_pretrained(folder)


def tiny_causal(family: str) -> PreTrainedModel:
    """A random decoder of a family."""
    config = AutoConfig.for_model(family, **FAMILIES[family])
    config.eos_token_id, config.bos_token_id = 2, 1
    return AutoModelForCausalLM.from_config(config)


def tiny_bert() -> PreTrainedModel:
    """A random encoder."""
    return AutoModel.from_config(AutoConfig.for_model("bert", **SIZE, pad_token_id=0))


def tiny_t5() -> PreTrainedModel:
    """A random T5: two blocks of encoder, two of decoder."""
    sizes = {"vocab_size": 512, "d_model": 64, "d_kv": 16, "d_ff": 96, "num_layers": 2, "num_heads": 4}
    ids = {"decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 2}
    return AutoModelForSeq2SeqLM.from_config(AutoConfig.for_model("t5", **sizes, **ids))


def tiny_bert2bert() -> PreTrainedModel:
    """Two random encoders, the second turned into a decoder."""
    encoder = AutoConfig.for_model("bert", **SIZE)
    decoder = AutoConfig.for_model("bert", **SIZE, is_decoder=True, add_cross_attention=True)
    config = EncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)
    model = EncoderDecoderModel(config=config)
    for holder in (model.config, model.generation_config):
        holder.decoder_start_token_id, holder.pad_token_id, holder.eos_token_id = 1, 0, 2
    return model


READERS: dict[str, Callable[[], PreTrainedModel]] = {
    "bert": tiny_bert, "t5": tiny_t5, "bert2bert": tiny_bert2bert
}  # fmt: skip


@pytest.fixture(scope="session", autouse=True)
def _libraries_are_no_garbage() -> None:
    """A run collects garbage five times; with the modules of all libraries in the same process each takes a third of a second."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _measured(home: Path) -> None:
    """A speed for this machine, so that no plan starts a process to measure it; one thread, so that sums have one order."""
    torch.set_num_threads(1)
    probe = SpeedProbe(device="cpu", device_name="CPU", memory_bytes=0, flops={"fp32": 2e11, "bf16": 1e11})
    atomic_io.write_text(probe_path(), probe.model_dump_json())


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A folder with a random model of a family; made once for each family and template."""
    folders: dict[tuple[str, bool], Path] = {}

    def build(family: str = "llama", *, chat: bool = True) -> Path:
        if (family, chat) not in folders:
            torch.manual_seed(0)
            model = tiny_causal(family) if family in FAMILIES else READERS[family]()
            folder = tmp_path_factory.mktemp(f"{family}-{chat}")
            model.save_pretrained(folder)
            tiny_tokenizer(folder, CHATML if chat else None)
            folders[family, chat] = folder
        return folders[family, chat]

    return build


@pytest.fixture(scope="session")
def task_rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Twenty-four generated rows as a file, for each task in its own form."""
    views = {
        "causal_lm": demo_data.as_messages,
        "seq2seq": demo_data.as_pair,
        "seq_cls": demo_data.as_label,
        "token_cls": demo_data.as_tags,
    }
    folder = tmp_path_factory.mktemp("tasks")
    for task, view in views.items():
        rows = (view(row) for row in demo_data.generate("train", 24, 0))
        (folder / f"{task}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {task: folder / f"{task}.jsonl" for task in views}


@pytest.fixture(scope="session")
def shop_rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty generated conversations as a file."""
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    rows = (demo_data.as_messages(row) for row in demo_data.generate("train", 40, 0))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(autouse=True)
def _settings_are_tried_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings that are passed on are tried in this process, which has torch already: to start one for it takes five seconds
    of computing. tests/fuzz/test_dry.py and tests/unit/cli start it.
    """

    def tried(module: str, request: dict[str, Any], *, wait_seconds: float) -> dict[str, Any]:
        assert module == "tunewright.engine.training.dry_run"
        problems = dry_run.problems_of(Plan.model_validate(request["plan"]))
        return {"problems": [problem.to_record() for problem in problems]}

    monkeypatch.setattr(trial_settings, "tried", tried)
