"""Families through llama.cpp: merged and as adapter, converted by its own scripts and compared with transformers in fp32.

Tolerance: f32 files differ from torch by the order of sums alone; 2e-3 of a log-probability leaves room for it in models whose
logits are as large as these.
"""

from pathlib import Path

import pytest

from tests.deploy.deployed_models import FAMILIES, add_lora, largest_gap, logprobs, merged_folder, tiny_family
from tunewright.extras.export.gguf import adapter_to_gguf, to_gguf
from tunewright.reporting import SILENT

GAP = 2e-3
IDS = (5, 6, 7, 8, 260, 9, 300)
pytestmark = [pytest.mark.processes, pytest.mark.usefixtures("converters")]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_merged_model_of_a_family_gives_the_same_logits_in_llama_cpp(name: str, tmp_path: Path) -> None:
    tuned = add_lora(tiny_family(name, tmp_path / "base"), tmp_path / "adapter")
    expected = logprobs(tuned, IDS)
    merged = merged_folder(tuned, tmp_path / "base", tmp_path / "merged")
    to_gguf(merged, tmp_path / "model.gguf", "f32", SILENT)
    assert largest_gap(expected, tmp_path / "model.gguf", (), IDS, tmp_path / "log") < GAP


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "gpt2"])
def test_an_adapter_of_a_family_gives_the_same_logits_in_llama_cpp(name: str, tmp_path: Path) -> None:
    model = tiny_family(name, tmp_path / "base")
    of_base = logprobs(model, IDS)
    expected = logprobs(add_lora(model, tmp_path / "adapter"), IDS)
    assert (expected - of_base).abs().max() > 0.1
    to_gguf(tmp_path / "base", tmp_path / "base.gguf", "f32", SILENT)
    adapter_to_gguf(tmp_path / "adapter", tmp_path / "base", tmp_path / "adapter.gguf", SILENT)
    files = (tmp_path / "base.gguf", (tmp_path / "adapter.gguf",))
    assert largest_gap(expected, *files, IDS, tmp_path / "log") < GAP
