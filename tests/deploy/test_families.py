"""Families through llama.cpp: merged and as adapter, converted by its own scripts and compared with transformers in fp32.

Tolerance: llama.cpp keeps keys and values in 16 bits, which moves these models' log-probabilities by up to 0.004; the adapters
move them by more than 1, so that a layer in the wrong place shows.
"""

from pathlib import Path

import pytest

from tests.deploy.deployed_models import FAMILIES, add_lora, largest_gap, logprobs, merged_folder, tiny_family
from tunewright.extras.export.gguf import adapter_to_gguf, to_gguf
from tunewright.reporting import SILENT

GAP = 0.05
IDS = (5, 6, 7, 8, 260, 9, 300)
pytestmark = [pytest.mark.processes, pytest.mark.usefixtures("converters")]


QUICK = ("llama", "qwen2")
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
