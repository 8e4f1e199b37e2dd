"""Classifiers and taggers through transformers' exporters: trained, exported, loaded by ONNX Runtime, equal to torch.

The tolerance is named in extras/export/write_onnx.py; the proof holds what was seen.
"""

from collections.abc import Callable
from pathlib import Path

import onnxruntime
import pytest

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
        result = run.export(tmp_path / "onnx", to="onnx")
    finally:
        run.close()
    assert result.proof is not None and not result.proof.failed
    checks = {check.name: check for check in result.proof.checks}
    assert checks["answers"].held == checks["answers"].total > 0
    assert (tmp_path / "onnx" / file_names.PROOF).is_file()
    assert {"tokenizer.json", "config.json"} <= {path.name for path in (tmp_path / "onnx").iterdir()}
    (file,) = (tmp_path / "onnx").glob("*.onnx")
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    assert {"input_ids", "attention_mask"} <= {entry.name for entry in session.get_inputs()}
