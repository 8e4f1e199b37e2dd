"""A comparison end to end: two ranks of a tiny model are trained, tested on the same rows and put side by side."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tunewright


def compare(rows: Path, model: Path, folder: Path, *words: str) -> dict[str, Any]:
    settings = ("train.max_steps=6", "eval.rows=4", "eval.max_new_tokens=4")
    command = [
        sys.executable, "-m", "tunewright", "compare", str(model), str(rows), "--ranks", "2,8", "-o", str(folder), "--json",
        *(word for setting in settings for word in ("--set", setting)), *words,
    ]  # fmt: skip
    done = subprocess.run(command, cwd=folder.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    output: dict[str, Any] = json.loads(done.stdout)
    return output


def test_two_ranks_are_trained_and_compared(tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path) -> None:
    output = compare(shop_rows, tiny_model(), tmp_path / "cmp")
    names = [("base", None), ("prompted", None), ("lora-r2", 2), ("lora-r8", 8)]
    assert [(row["name"], row["rank"]) for row in output["rows"]] == names
    assert output["shots"] == 3
    _base, _prompted, small, large = output["rows"]
    assert large["trainable_parameters"] == 4 * small["trainable_parameters"]
    for row in (small, large):
        assert row["metrics"]["held_out_loss"]["value"] < _base["metrics"]["held_out_loss"]["value"]
        assert (
            row["seconds"] > 0
            and row["tokens_per_second"] > 0
            and row["peak_rss_bytes"] > 0
            and row["adapter_bytes"] > 0
        )
    runs = {row["name"]: tunewright.open_run(row["run"]) for row in (small, large)}
    assert {run.result["tokens"] for run in runs.values()} == {runs["lora-r2"].result["tokens"]}
    assert {run.result["steps"] for run in runs.values()} == {6}
    assert "lora-r8" in Path(output["report"]).read_text(encoding="utf-8")
    begun = {name: run.dir.info().started for name, run in runs.items()}
    again = compare(shop_rows, tiny_model(), tmp_path / "cmp")
    assert again["rows"] == output["rows"]
    assert {name: run.dir.info().started for name, run in runs.items()} == begun
    assert tunewright.compare_runs(list(runs.values())).to_json()["rows"] == output["rows"]
