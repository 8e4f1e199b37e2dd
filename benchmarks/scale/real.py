"""A whole run by two processes beside the same by one: `python benchmarks/scale/real.py [--rows 300] [--processes 2] [--data FILE]`

SmolLM2 on the first rows of an Alpaca file, one epoch as planned, dealt into as many parts by both. Time is that of the training
steps; "computes" is the share of its steps that the process computed which waited most, by its own clock. Writes real-*.json and
REAL.md. About 6 minutes each for 300 rows on two cores; run it on an idle machine.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "speed"))

from run import ALPACA, processor, results_path  # noqa: E402

from tunewright.rundir.rank_files import read_states  # noqa: E402
from tunewright.rundir.run_dir import RunDir  # noqa: E402

SETS = {
    "train.num_train_epochs": "1",
    "eval.rows": "0",
    "data.max_truncated": "1",
    "train.early_stopping_patience": "0",
}


def measured(processes: int, parts: int, rows: Path, place: Path) -> dict[str, Any]:
    """One run: seconds, tokens a second, held-out losses, and what the process that waited most computed of its steps."""
    sets = {**SETS, "launch.processes": str(processes), "launch.parts": str(parts), "run.output_dir": str(place)}
    command = [sys.executable, "-m", "tunewright", "train", "smollm2", str(rows), "--json", "-q"]
    command += [word for path, value in sets.items() for word in ("--set", f"{path}={value}")]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    run = RunDir(place)
    result, plan = run.result(), run.plan()
    assert result and result.before and result.after
    shares = [state.share for state in read_states(place) if state.share is not None]
    return {
        "processes": processes, "steps": result.steps, "precision": plan.run.model.precision, "rows": plan.facts.data.num_train,
        "seconds": result.seconds["train"], "total_seconds": result.seconds["total"],
        "tokens_per_second": result.tokens_per_second, "share": min(shares, default=None),
        "loss_before": result.before["held_out_loss"], "loss_after": result.after["held_out_loss"],
    }  # fmt: skip


def table(results: dict[str, Any]) -> str:
    """The runs of a kind of processor."""
    chip, runs = results["processor"], results["runs"]
    first = runs[0]
    lines = [
        f"### {chip['name']} ({', '.join(chip['units'])}), {results['date']}\n",
        f"{first['rows']} training rows, {first['steps']} steps, {first['precision']}.\n",
        "| processes | training | whole run | tokens/s | of one process | computes | held-out loss before | after |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for run in runs:
        share = "" if run["share"] is None else f"{run['share']:.0%}"
        lines.append(
            f"| {run['processes']} | {run['seconds']:.0f} s | {run['total_seconds']:.0f} s | {run['tokens_per_second']:.0f} "
            f"| {run['tokens_per_second'] / first['tokens_per_second']:.2f} | {share} "
            f"| {run['loss_before']:.6f} | {run['loss_after']:.6f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--data", type=Path, default=ALPACA)
    parser.add_argument("--into", type=Path, default=HERE, help="where the results are written")
    asked = parser.parse_args()
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.json"
        rows.write_text(json.dumps(json.loads(asked.data.read_text(encoding="utf-8"))[: asked.rows]))
        for processes in (1, asked.processes):
            runs.append(measured(processes, asked.processes, rows, Path(folder) / f"run-{processes}"))
            print(json.dumps(runs[-1]), file=sys.stderr, flush=True)
    chip = processor()
    results = {"date": str(date.today()), "processor": chip, "runs": runs}
    path = asked.into / results_path(chip).name.replace("results-", "real-")
    path.write_text(json.dumps(results, indent=1) + "\n")
    known = sorted(
        (json.loads(path.read_text()) for path in asked.into.glob("real-*.json")), key=lambda one: one["date"]
    )
    title = "# A run by two processes\n\n" + __doc__.partition("\n")[2].strip() + "\n\n"
    (asked.into / "REAL.md").write_text(title + "\n".join(map(table, reversed(known))))


if __name__ == "__main__":
    main()
