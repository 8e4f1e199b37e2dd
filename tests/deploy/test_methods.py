"""Each method that can be merged: a tiny run, merged into GGUF, and asked through llama.cpp for what the run answers."""

from pathlib import Path

import pytest

from tests.deploy.deployed_models import tiny_family
from tests.matrix.conftest import _measured, _settings_are_tried_here, shop_rows
from tests.matrix.test_causal_lm import run_for
from tunewright.config.methods import METHODS

__all__ = ["_measured", "_settings_are_tried_here", "shop_rows"]
pytestmark = [pytest.mark.processes, pytest.mark.usefixtures("converters")]

QUICK = ("ia3", "adalora")
MERGED = [name for name, method in METHODS.items() if method.merges]
NAMES = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in MERGED]


@pytest.mark.parametrize("method", NAMES)
def test_a_merged_run_of_a_method_is_proved_through_llama_cpp(method: str, shop_rows: Path, tmp_path: Path) -> None:
    tiny_family("llama", tmp_path / "base")
    run = run_for(tmp_path / "base", shop_rows, tmp_path / "run", method=method, **{"train.max_steps": 12})
    try:
        result = run.export(tmp_path / "out", to="gguf", quant="f32", rows=6)
    finally:
        run.close()
    assert result.proof is not None
    checks = {check.name: check for check in result.proof.checks}
    assert not result.proof.failed
    assert checks["answers"].outcome == checks["logits"].outcome == "ok" and checks["answers"].total
