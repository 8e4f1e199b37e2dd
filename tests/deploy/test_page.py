"""docs/deploy.md: its bash blocks as one session and its python block, on a tiny model with a tokenizer that llama.cpp knows."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.deployed_models import tiny_family
from tests.docs.test_readme import blocks
from tests.matrix.conftest import _measured, _settings_are_tried_here, shop_rows
from tests.matrix.test_causal_lm import run_for

__all__ = ["_measured", "_settings_are_tried_here", "shop_rows"]
PAGES = ("docs/deploy.md", "docs/deploy.zh.md")
pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.usefixtures("converters")]


def test_the_page_runs(shop_rows: Path, tmp_path: Path, home: Path) -> None:
    tiny_family("llama", tmp_path / "model", scale=1.0)
    run_for(tmp_path / "model", shop_rows, tmp_path / "runs/shop", preset="complex")
    script = tmp_path / "bin/tunewright"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tunewright "$@"\n')
    script.chmod(0o755)
    environment = {**os.environ, "PATH": f"{script.parent}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    commands = "set -euo pipefail\n" + "\n".join(blocks(PAGES[0], "bash"))
    shell = subprocess.run(
        ["bash", "-c", commands], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert shell.returncode == 0, shell.stdout[-3000:] + shell.stderr[-3000:]
    for folder, files in {
        "shop-gguf": {"model.gguf", "proof.json"}, "shop-adapter": {"base.gguf", "adapter.gguf", "proof.json"},
        "shop-ollama": {"model.gguf", "Modelfile", "proof.json"}, "shop-vllm": {"adapter", "serve-vllm.sh", "serve-sglang.sh"},
    }.items():  # fmt: skip
        assert files <= {path.name for path in (tmp_path / folder).iterdir()}, folder
    proof = json.loads((tmp_path / "shop-gguf/proof.json").read_text())
    assert "failed" not in {check["outcome"] for check in proof["checks"]}
    _of_onnx, code = blocks(PAGES[0], "python")  # the first is run by test_onnx.py
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0 and ended.stdout.strip().endswith("[]"), ended.stdout + ended.stderr


@pytest.mark.parametrize("language", ["bash", "python"])
def test_both_pages_have_the_same_blocks(language: str) -> None:
    assert blocks(PAGES[0], language) == blocks(PAGES[1], language)
