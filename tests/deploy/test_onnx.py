"""Classifiers and taggers through transformers' exporters: trained, exported, loaded by ONNX Runtime, equal to torch.

The tolerance is named in extras/export/write_onnx.py; the proof holds what was seen.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from tests.docs.test_readme import blocks
from tests.matrix.conftest import _measured, _settings_are_tried_here, task_rows, tiny_model
from tests.matrix.test_causal_lm import run_for
from tunewright.rundir import file_names

__all__ = ["_measured", "_settings_are_tried_here", "task_rows", "tiny_model"]
pytestmark = pytest.mark.processes


@pytest.mark.parametrize("task", ["seq_cls", "token_cls"])
def test_a_model_that_labels_gives_the_same_numbers_in_onnx_runtime(
    task: str, tiny_model: Callable[..., Path], task_rows: dict[str, Path], tmp_path: Path
) -> None:
    run = run_for(tiny_model("bert"), task_rows[task], tmp_path / "run", task=task)
    try:
        result = run.export(tmp_path / "labels-onnx", to="onnx")
    finally:
        run.close()
    assert result.proof is not None and not result.proof.failed
    checks = {check.name: check for check in result.proof.checks}
    assert checks["answers"].held == checks["answers"].total > 0
    assert (tmp_path / "labels-onnx" / file_names.PROOF).is_file()
    assert {"tokenizer.json", "config.json"} <= {path.name for path in (tmp_path / "labels-onnx").iterdir()}
    (file,) = (tmp_path / "labels-onnx").glob("*.onnx")
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    assert {entry.name for entry in session.get_inputs()} == {"input_ids", "attention_mask", "token_type_ids"}
    ids = np.array([[5, 6, 7, 8]])
    first, second = (
        session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": types})[0]
        for types in (np.zeros_like(ids), np.array([[0, 0, 1, 1]]))
    )
    assert np.abs(first - second).max() > 1e-3, "a second text is read as one"
    if task == "seq_cls":
        code = blocks("docs/deploy.md", "python")[0]
        ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
        assert ended.stdout.strip() in run.plan.facts.data.labels
