"""A base whose file does not hold what config.json says is refused by the names of the tensors; what is usual passes."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from tunewright import api
from tunewright.data.tokenized.tokenizer import load_tokenizer
from tunewright.engine.models.load_model import load_base
from tunewright.errors import ModelError, TunewrightError

Tensors = dict[str, torch.Tensor]
Change = Callable[[Tensors], object]
Changed = Callable[..., Path]


@pytest.fixture
def changed(tiny_model: Callable[..., Path], tmp_path: Path) -> Changed:
    """A copy of a tiny model with other tensors or another config."""

    def build(family: str, change: Change = lambda tensors: None, **config: object) -> Path:
        folder = tmp_path / "model"
        shutil.copytree(tiny_model(family), folder)
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | config))
        return folder

    return build


def loaded(folder: Path, rows: Path, **settings: object) -> torch.nn.Module:
    named = {"model.name": str(folder), "data.train": str(rows), **settings}
    return load_base(api.plan(api.load(named=named)), load_tokenizer(folder))


def problems_of(folder: Path, rows: Path, **settings: object) -> list[tuple[str, int, str]]:
    with pytest.raises(ModelError) as caught:
        loaded(folder, rows, **settings)
    return [(p.code, p.values["count"], p.values["names"]) for p in caught.value.problems]


@pytest.mark.parametrize(
    ("family", "name"),
    [
        ("llama", "lm_head.weight"), ("llama", "model.norm.weight"), ("llama", "model.layers.1.mlp.down_proj.weight"),
        ("llama", "model.embed_tokens.weight"), ("qwen2", "model.layers.0.self_attn.k_proj.bias"),
        ("gpt2", "transformer.ln_f.bias"), ("gpt_neox", "gpt_neox.layers.1.attention.dense.bias"),
    ],
)  # fmt: skip
def test_a_tensor_that_is_missing_is_named(
    changed: Changed, task_rows: dict[str, Path], family: str, name: str
) -> None:
    folder = changed(family, lambda tensors: tensors.pop(name))
    assert problems_of(folder, task_rows["causal_lm"]) == [("E316", 1, name)]


def test_tensors_that_have_no_place_are_named(changed: Changed, task_rows: dict[str, Path]) -> None:
    name = "model.layers.0.self_attn.q_proj.bias"  # a model of a kind with biases, under the config of one without
    both = {name: torch.zeros(64), name.replace("0", "1"): torch.zeros(64)}
    folder = changed("llama", lambda tensors: tensors.update(both))
    assert problems_of(folder, task_rows["causal_lm"]) == [("E317", 2, ", ".join(both))]


def test_tensors_of_another_shape_are_named_with_both(changed: Changed, task_rows: dict[str, Path]) -> None:
    folder = changed("llama", num_attention_heads=8)
    problems = problems_of(folder, task_rows["causal_lm"])
    first = "model.layers.0.self_attn.o_proj.weight (64 x 64 / 64 x 128)"
    assert [(code, count) for code, count, _names in problems] == [("E318", 4)]
    assert problems[0][2].startswith(first)


def test_a_reader_whose_base_lacks_a_tensor_is_refused_though_its_head_is_new(
    changed: Changed, task_rows: dict[str, Path]
) -> None:
    lost = "encoder.layer.1.output.dense.weight"
    folder = changed("bert", lambda tensors: tensors.pop(lost))
    assert problems_of(folder, task_rows["seq_cls"], task="seq_cls") == [("E316", 1, f"bert.{lost}")]


def test_a_run_ends_with_the_names_and_its_code(changed: Changed, task_rows: dict[str, Path], tmp_path: Path) -> None:
    folder = changed("llama", lambda tensors: tensors.pop("lm_head.weight"))
    with pytest.raises(TunewrightError) as caught:
        api.train(str(folder), task_rows["causal_lm"], inline_process=True, **{"run.output_dir": str(tmp_path / "run")})
    assert (caught.value.problems[0].code, caught.value.exit_code) == ("E316", 2)


def test_masks_of_older_versions_are_no_weights(changed: Changed, task_rows: dict[str, Path]) -> None:
    mask = torch.ones(1, 1, 8, 8, dtype=torch.bool)
    old = {"transformer.h.0.attn.bias": mask, "transformer.h.0.attn.masked_bias": torch.tensor(-1e4)}
    assert loaded(changed("gpt2", lambda tensors: tensors.update(old)), task_rows["causal_lm"])


def test_tables_of_older_versions_are_no_weights(changed: Changed, task_rows: dict[str, Path]) -> None:
    old = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(8)}
    assert loaded(changed("llama", lambda tensors: tensors.update(old)), task_rows["causal_lm"])


def test_heads_of_pre_training_are_left_in_the_file(changed: Changed, task_rows: dict[str, Path]) -> None:
    head = {"cls.predictions.bias": torch.ones(512), "embeddings.position_ids": torch.arange(512).unsqueeze(0)}
    folder = changed("bert", lambda tensors: tensors.update(head))
    assert loaded(folder, task_rows["seq_cls"], task="seq_cls")


@pytest.mark.parametrize("task", ["seq_cls", "token_cls"])
def test_a_head_with_other_labels_is_new(task_rows: dict[str, Path], changed: Changed, task: str) -> None:
    folder = changed("bert")
    AutoModelForSequenceClassification.from_pretrained(folder, num_labels=7).save_pretrained(folder)
    assert loaded(folder, task_rows[task], task=task)


def test_a_base_without_the_output_that_is_its_embedding_is_whole(changed: Changed, task_rows: dict[str, Path]) -> None:
    folder = changed("llama", tie_word_embeddings=True)
    AutoModelForCausalLM.from_pretrained(folder).model.save_pretrained(folder)  # no lm_head, no prefix
    assert "embed_tokens.weight" in load_file(folder / "model.safetensors")
    assert loaded(folder, task_rows["causal_lm"])
