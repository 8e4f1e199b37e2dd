"""`benchmarks/gpu/run.py` from end to end with tiny shapes, so that a machine with a GPU meets a script that works."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NEEDS_GPU = {"out of memory"}


def run(output: Path, *words: str) -> tuple[int, dict, str]:
    command = [sys.executable, str(ROOT / "benchmarks/gpu/run.py"), "--tiny", "--output", str(output), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (output / "report.json").is_file(), done.stderr[-3000:]
    return done.returncode, json.loads((output / "report.json").read_text()), done.stdout


@pytest.mark.processes
def test_what_there_is_no_time_for_is_skipped_and_said(tmp_path: Path) -> None:
    code, report, shown = run(tmp_path / "out", "--minutes", "0")
    assert code == 0
    assert {part["status"] for part in report["parts"].values()} == {"skipped"}
    assert all(name in shown for name in report["parts"])
    assert "0 s were left" in shown


@pytest.mark.slow
def test_every_part_works_or_says_why_it_was_not_run(tmp_path: Path) -> None:
    code, report, shown = run(tmp_path / "out", "--minutes", "20")
    parts = report["parts"]
    missing = {"trl"} - set(report["about"]["packages"])
    expected = {
        name: "not run" if name in NEEDS_GPU or name.rpartition(" ")[2] in missing else "done" for name in parts
    }
    assert {name: part["status"] for name, part in parts.items()} == expected, shown
    assert code == 0
    agreed = {one["what"] for one in parts["parity"]["compared"] if one.get("agrees")}
    assert "fp32: packing against padded, all logits" in agreed
    assert parts["resume"]["device_repeats_itself"]
    assert parts["resume"]["bit_exact"]
    ours, peft = parts["1B none ours"], parts["1B none peft"]
    assert ours["losses"][0] == pytest.approx(peft["losses"][0], rel=0.01), "both train the same rows"
    assert all(part["tokens_per_second"] > 0 for part in (ours, peft))
    assert str(tmp_path) not in json.dumps(report)
    assert "times peft's tokens/s" in shown
