"""Proofs on the real 135M model, through the command line. The model comes from the package index once."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from tests.real_model import model_home
from tunewright.config.run_config import FastPath
from tunewright.data import demo_data

__all__ = ["model_home"]


@pytest.fixture(autouse=True)
def _use_model_home(model_home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TUNEWRIGHT_HOME", str(model_home))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Forty-eight generated conversations."""
    path = tmp_path / "rows.jsonl"
    path.write_text(
        "".join(json.dumps(demo_data.as_messages(row)) + "\n" for row in demo_data.generate("train", 48, 7))
    )
    return path


def switches(request: pytest.FixtureRequest) -> list[str]:
    """What a command of its own process needs where the tests run with every fast path off."""
    if not request.config.getoption("--plain"):
        return []
    return [word for name in get_args(FastPath) for word in ("--set", f"fast_paths.{name}=false")]


@pytest.fixture
def tunewright(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[..., Any]:
    """The command; its JSON where `--json` is asked for. Fails with both streams if the exit code is not the wanted one."""

    def run(*arguments: str, code: int = 0) -> Any:
        if arguments[0] == "train":
            arguments = (*arguments, *switches(request))
        done = subprocess.run(
            [sys.executable, "-m", "tunewright", *arguments], capture_output=True, text=True, cwd=tmp_path, check=False
        )
        assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout) if "--json" in arguments and done.stdout.strip() else done.stdout

    return run


SMALL = (
    "--set", "train.max_steps=8", "--set", "train.eval_steps=4", "--set", "train.gradient_accumulation_steps=2",
    "--set", "train.per_device_train_batch_size=2", "--set", "eval.rows=2", "--set", "eval.max_new_tokens=4",
    "--set", "eval.loss_rows=4", "--set", "model.precision=fp32",
)  # fmt: skip


@pytest.fixture
def small(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Eight steps of four rows, twice held out and saved."""
    return (*SMALL, *switches(request))
