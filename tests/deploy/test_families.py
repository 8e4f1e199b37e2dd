"""Families through llama.cpp: merged and as adapter, converted by its own scripts and compared with transformers in fp32.

Tolerance: llama.cpp keeps keys and values in 16 bits, which moves these models' log-probabilities by up to 0.004; the adapters
move them by more than 1, so that a layer in the wrong place shows.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.deployed_models import FAMILIES, add_lora, largest_gap, logprobs, merged_folder, tiny_family
from tunewright.errors import TunewrightError
from tunewright.extras.export.gguf import adapter_to_gguf, to_gguf
from tunewright.reporting import SILENT

GAP = 0.05
IDS = (5, 6, 7, 8, 260, 9, 300)
pytestmark = [pytest.mark.processes, pytest.mark.usefixtures("converters")]


QUICK = ("llama", "qwen2")
VARIANTS: dict[str, dict[str, Any]] = {
    "rslora": {"use_rslora": True},
    "ranks": {"rank_pattern": {"q_proj": 2, "down_proj": 8}},
    "alphas": {"alpha_pattern": {"v_proj": 32, "up_proj": 2}},
    "all": {"use_rslora": True, "rank_pattern": {"q_proj": 2, "down_proj": 8}, "alpha_pattern": {"v_proj": 32}},
}
NAMES = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES]


@pytest.mark.parametrize("name", NAMES)
def test_a_merged_model_of_a_family_gives_the_same_logits_in_llama_cpp(name: str, tmp_path: Path) -> None:
    tuned = add_lora(tiny_family(name, tmp_path / "base"), tmp_path / "adapter")
    expected = logprobs(tuned, IDS)
    merged = merged_folder(tuned, tmp_path / "base", tmp_path / "merged")
    to_gguf(merged, tmp_path / "model.gguf", "f32", SILENT)
    assert largest_gap(expected, tmp_path / "model.gguf", (), IDS, tmp_path / "log") < GAP


@pytest.mark.parametrize("name", [name for name in NAMES if name is not NAMES[-1]])  # gpt2 is refused: test_refusals.py
def test_an_adapter_of_a_family_gives_the_same_logits_in_llama_cpp(name: str, tmp_path: Path) -> None:
    model = tiny_family(name, tmp_path / "base")
    of_base = logprobs(model, IDS)
    expected = logprobs(add_lora(model, tmp_path / "adapter"), IDS)
    assert (expected - of_base).abs().max() > 1
    to_gguf(tmp_path / "base", tmp_path / "base.gguf", "f32", SILENT)
    adapter_to_gguf(tmp_path / "adapter", tmp_path / "base", tmp_path / "adapter.gguf", SILENT)
    files = (tmp_path / "base.gguf", (tmp_path / "adapter.gguf",))
    assert largest_gap(expected, *files, IDS, tmp_path / "log") < GAP


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_of_lora_gives_the_same_logits_in_llama_cpp(variant: str, tmp_path: Path) -> None:
    model = tiny_family("llama", tmp_path / "base")
    expected = logprobs(add_lora(model, tmp_path / "adapter", **VARIANTS[variant]), IDS)
    to_gguf(tmp_path / "base", tmp_path / "base.gguf", "f32", SILENT)
    adapter_to_gguf(tmp_path / "adapter", tmp_path / "base", tmp_path / "adapter.gguf", SILENT)
    files = (tmp_path / "base.gguf", (tmp_path / "adapter.gguf",))
    assert largest_gap(expected, *files, IDS, tmp_path / "log") < GAP


def test_an_adapter_of_gpt2_is_written_turned_over(tmp_path: Path) -> None:
    """Why test_refusals.py holds that it is refused; where this fails, the converter has learned to turn its factors."""
    tuned = add_lora(tiny_family("gpt2", tmp_path / "base"), tmp_path / "adapter")
    config = json.loads((tmp_path / "base/config.json").read_text())
    (tmp_path / "base/config.json").write_text(json.dumps({**config, "n_ctx": config["n_positions"]}))
    to_gguf(tmp_path / "base", tmp_path / "base.gguf", "f32", SILENT)
    adapter_to_gguf(tmp_path / "adapter", tmp_path / "base", tmp_path / "adapter.gguf", SILENT)
    files = (tmp_path / "base.gguf", (tmp_path / "adapter.gguf",))
    with pytest.raises(TunewrightError, match="E640"):  # llama.cpp compares the shapes
        largest_gap(logprobs(tuned, IDS), *files, IDS, tmp_path / "log")
