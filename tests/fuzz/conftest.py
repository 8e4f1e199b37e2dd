"""A tiny model with weights, rows for it, and a machine whose speed is known."""

import json
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch

from tests.matrix.conftest import CHATML, tiny_causal, tiny_tokenizer
from tunewright.inspection.machine_info import SpeedProbe, probe_path
from tunewright.rundir import atomic_io


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A random Llama of 127 thousand parameters."""
    torch.manual_seed(0)
    folder = tmp_path / "llama"
    tiny_causal("llama").save_pretrained(folder)
    tiny_tokenizer(folder, CHATML)
    return folder


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """24 short questions and answers."""
    path = tmp_path / "rows.jsonl"
    rows = [{"prompt": f"How much is {i} and {i}?", "completion": f"It is {2 * i}."} for i in range(24)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(autouse=True)
def _known_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)  # nothing is asked for again and again
    probe = SpeedProbe(device="cpu", device_name="CPU", memory_bytes=0, flops={"fp32": 2e11, "bf16": 1e11})
    probe_path().parent.mkdir(parents=True, exist_ok=True)
    atomic_io.write_text(probe_path(), probe.model_dump_json())
