"""What a worker does without: a package is hidden only where nothing of the plan can use it."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tunewright.config.run_config import DataConfig
from tunewright.engine.lean_start import unused_packages


def plan(
    data: Path, quantization: str = "none", optim: str = "adamw_torch", peft: str = "{}", holdout: object = 0.1
) -> Any:
    run = SimpleNamespace(
        data=DataConfig(train=str(data), holdout=holdout),
        model=SimpleNamespace(quantization=quantization),
        train=SimpleNamespace(optim=optim),
        peft=SimpleNamespace(model_dump_json=lambda: peft),
    )
    return SimpleNamespace(run=run)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": "a", "completion": "b"}\n')
    return path


def test_a_usual_run_uses_neither(rows: Path) -> None:
    assert list(unused_packages(plan(rows))) == ["bitsandbytes", "datasets"]


@pytest.mark.parametrize(
    "uses",
    [
        {"quantization": "4bit"},
        {"quantization": "8bit"},
        {"optim": "paged_adamw_8bit"},
        {"optim": "adamw_bnb_8bit"},
        {"optim": "paged_lion_32bit"},
        {"peft": '{"init_lora_weights": "loftq"}'},
    ],
)
def test_what_quantizes_is_there_for_all_that_may_ask_for_it(rows: Path, uses: dict[str, str]) -> None:
    assert list(unused_packages(plan(rows, **uses))) == ["datasets"]


@pytest.mark.parametrize("name", ["rows.parquet", "rows.arrow", "folder"])
def test_what_reads_tables_is_there_for_tables_on_either_side(rows: Path, tmp_path: Path, name: str) -> None:
    table = tmp_path / name
    if name == "folder":
        table.mkdir()
        (table / "train.parquet").touch()
    else:
        table.touch()
    assert list(unused_packages(plan(table))) == ["bitsandbytes"]
    assert list(unused_packages(plan(rows, holdout=str(table)))) == ["bitsandbytes"]


def test_rows_of_the_hub_are_read_by_it() -> None:
    assert list(unused_packages(plan(Path("somebody/something")))) == ["bitsandbytes"]


@pytest.mark.processes
def test_without_them_a_worker_imports_neither_a_compiler_nor_tables() -> None:
    """What they bring along: a second of torch's compiler, half a second of pandas and pyarrow."""
    heavy = ("bitsandbytes.functional", "torch._inductor.compile_fx", "datasets", "pandas", "pyarrow")
    code = (
        "import sys; [sys.modules.setdefault(name, None) for name in ('bitsandbytes', 'datasets')]; "
        f"import tunewright.engine.worker; print([name for name in {heavy} if sys.modules.get(name)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"
