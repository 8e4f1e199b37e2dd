"""What do several processes bring on the cores of one machine? `python benchmarks/scale/run.py [--rounds 2] [--steps 4]`

The same rows, the first of an Alpaca file (generated ones where there is none), by 1, 2 and 4 processes that share the cores, in
turns; and by 1 and 2 beside one program that computes without pause. Tokens a second are those of the steps after the first;
"computes" is the share of its steps that the process computed which waited most, by its own clock.
Writes results-*.json and README.md's table. Linux; run it on an idle machine.

Memory of each of 8 and 64 devices beside the plan's: [MEMORY.md](MEMORY.md), by memory.py. A whole run: [REAL.md](REAL.md), by
real.py. Many rows: [rows.md](rows.md), by rows.py; its 5,000,000 rows were prepared and trained by two processes in a control
group of 2 GB: prepared beside other work on both cores (a 7B model was loading), the first step measured alone, files in the cache.
The cells beside a neighbour of 2026-12-01 had tests on the cores as well, those of 2026-11-30 had not.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "speed"))

from busy import neighbours  # noqa: E402
from run import ALPACA, STEP_ROWS, processor, results_path, rows_of  # noqa: E402

from tunewright.rundir.rank_files import read_states  # noqa: E402
from tunewright.rundir.run_dir import RunDir  # noqa: E402

CELLS = ((1, 0), (2, 0), (4, 0), (1, 1), (2, 1))  # processes, neighbours
SETS = {
    "model.precision": "fp32", "data.holdout": "0", "data.max_length": "512", "data.max_truncated": "1", "peft.lora_dropout": "0",
    "train.per_device_train_batch_size": "2", "train.gradient_accumulation_steps": str(STEP_ROWS // 2), "eval.rows": "0",
    "train.train_sampling_strategy": "sequential",
}  # fmt: skip


def measured(processes: int, busy: int, rows: Path, steps: int, place: Path) -> dict[str, Any]:
    """One run: tokens a second, the loss of the last step, and what the process that waited most computed of its steps."""
    sets = {**SETS, "train.max_steps": str(steps), "launch.processes": str(processes), "run.output_dir": str(place)}
    command = [sys.executable, "-m", "tunewright", "train", "smollm2", str(rows), "--json", "-q"]
    command += [word for path, value in sets.items() for word in ("--set", f"{path}={value}")]
    with neighbours(busy) if busy else nullcontext():
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    logs = [event for event in RunDir(place).each_event() if event.kind == "log"]
    tokens, seconds = logs[-1].tokens - logs[0].tokens, logs[-1].train_seconds - logs[0].train_seconds
    shares = [state.share for state in read_states(place) if state.share is not None]
    return {"tokens_per_second": tokens / seconds, "loss": logs[-1].loss, "share": min(shares, default=None)}


def table(results: dict[str, Any]) -> str:
    chip = results["processor"]
    lines = [f"### {chip['name']} ({', '.join(chip['units'])}), {results['date']}, rounds: {results['rounds']}", ""]
    lines += [
        "| processes | neighbours | tokens/s | of one process, idle | computes | loss of the last step |",
        "|---|---|---|---|---|---|",
    ]
    first = results["cells"][0]["tokens_per_second"]
    for cell in results["cells"]:
        rate = cell["tokens_per_second"]
        share = "" if cell.get("share") is None else f"{cell['share']:.0%}"
        lines.append(
            f"| {cell['processes']} | {cell['neighbours']} | {rate:.0f} | {rate / first:.2f} | {share} | {cell['loss']:.6f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=4)
    asked = parser.parse_args()
    found: dict[tuple[int, int], list[dict[str, Any]]] = {cell: [] for cell in CELLS}
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.jsonl"
        pairs = rows_of(ALPACA, STEP_ROWS * asked.steps)
        rows.write_text("".join(json.dumps({"prompt": r["prompt"], "completion": r["answer"]}) + "\n" for r in pairs))
        for number in range(asked.rounds):
            for cell in CELLS:
                run = measured(*cell, rows, asked.steps, Path(folder) / f"{number}-{cell[0]}-{cell[1]}")
                found[cell].append(run)
                print(number, cell, json.dumps(run), file=sys.stderr, flush=True)
    chip = processor()
    cells = [
        {
            "processes": cell[0], "neighbours": cell[1], "loss": runs[0]["loss"],
            "tokens_per_second": median(run["tokens_per_second"] for run in runs), "runs": runs,
            "share": None if runs[0]["share"] is None else median(run["share"] for run in runs),
        }
        for cell, runs in found.items()
    ]  # fmt: skip
    results = {"date": str(date.today()), "processor": chip, "rounds": asked.rounds, "cells": cells}
    (HERE / results_path(chip).name).write_text(json.dumps(results, indent=1) + "\n")
    known = sorted((json.loads(path.read_text()) for path in HERE.glob("results-*.json")), key=lambda one: one["date"])
    title = "# Several processes\n\n" + __doc__.partition("\n")[2].strip() + "\n\n"
    (HERE / "README.md").write_text(title + "\n".join(map(table, reversed(known))))


if __name__ == "__main__":
    main()
