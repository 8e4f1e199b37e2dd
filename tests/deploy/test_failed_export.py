"""An export that does not answer as its run stays aside with its proof, and one that was killed leaves nothing for long."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.matrix.conftest import _measured, _settings_are_tried_here, shop_rows, tiny_model
from tests.matrix.test_causal_lm import run_for
from tests.real_model import REAL_HOME
from tests.small_disk import run_inside
from tunewright.errors import ExportError, Problem
from tunewright.extras.export import export_run
from tunewright.rundir import file_names
from tunewright.rundir.records import Proof

__all__ = ["_measured", "_settings_are_tried_here", "shop_rows", "tiny_model"]
SHORT = {"train.max_steps": 1, "train.eval_steps": 1, "eval.rows": 0}


def test_it_stays_aside(
    tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_for(tiny_model("llama"), shop_rows, tmp_path / "run", **SHORT)
    proof = Proof(
        schema=file_names.SCHEMA, run=run.dir.info().id, name="run", what="vllm", created=1.0, engine="e", precision="f16",
        compared_rows=1, is_held_out=True, checks=[],
    )  # fmt: skip
    write = export_run.WRITERS["vllm"]
    monkeypatch.setattr(export_run, "WRITERS", {"vllm": lambda job: [write(job), proof][1]})
    failure = Problem("E662", values={"what": "vllm", "name": "run", "checks": "answers", "count": 1})
    monkeypatch.setattr(export_run.check_deployed, "failure", lambda proof: failure)
    with pytest.raises(ExportError, match=r"out\.failed") as caught:
        run.export(tmp_path / "out", to="vllm")
    assert caught.value.exit_code == 8
    assert not (tmp_path / "out").exists()
    assert {"adapter", file_names.PROOF} <= {path.name for path in (tmp_path / "out.failed").iterdir()}
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_what_a_killed_export_left_is_swept_by_the_next_one(
    tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path
) -> None:
    run = run_for(tiny_model("llama"), shop_rows, tmp_path / "run", **SHORT)
    left = tmp_path / ".making-0123456789ab"
    (left / ".staging-1").mkdir(parents=True)
    (left / ".staging-1/model.safetensors").touch()
    result = run.export(tmp_path / "out", to="vllm")
    assert Path(result.place) == tmp_path / "out" and not left.exists()
    assert not [path for path in (tmp_path / "out").rglob("*") if path.name.startswith(".")]


def test_a_disk_that_becomes_full_while_it_is_converted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEWRIGHT_HOME", str(REAL_HOME))  # the tests inside have homes of their own
    run_inside("tests/deploy/inside_small_disk.py")
