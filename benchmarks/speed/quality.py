"""What do mixed precision and 8 bits cost in quality? `python benchmarks/speed/quality.py [--rows N] [--epochs N] [--seeds N,N]`

Whole runs, as the plan makes them but for `--epochs`, of SmolLM2-135M on three data sets: Alpaca in English and in Chinese
(held-out loss), and 20 intents of CLINC150 (accuracy on the file of test rows). Within a data set and a seed everything but
the way of computing is the same. Writes quality-*.json and QUALITY.md.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

from run import HERE, OURS, processor, results_path

SHARED = HERE.parents[2] / "shared/data"
DATA = {
    "alpaca_en": ("alpaca_en_demo.json", {}),
    "alpaca_zh": ("alpaca_zh_demo.json", {}),
    "clinc20": ("clinc20_train.jsonl", {"task": "seq_cls", "data.holdout": str(SHARED / "clinc20_test.jsonl")}),
}
# Of a row: long ones take hours here and tell nothing else.
MOST_BYTES = 600
# A fresh head begins at chance and needs so many times as long.
HEAD_EPOCHS = 5


def first_rows(path: Path, count: int, folder: Path) -> Path:
    """A file of the same kind with rows from all over it, none of them long."""
    text = path.read_text(encoding="utf-8")
    every = json.loads(text) if path.suffix == ".json" else [json.loads(line) for line in text.splitlines()]
    rows = [row for row in every if len(json.dumps(row, ensure_ascii=False).encode()) <= MOST_BYTES]
    chosen = rows[:: max(1, len(rows) // count)][:count]
    target = folder / f"{path.stem}.jsonl"
    target.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in chosen), encoding="utf-8")
    return target


def scores(data: str, way: str, seed: int, rows: int, epochs: str | None, place: Path) -> dict[str, Any]:
    """The scores after one run, and its seconds of training."""
    name, settings = DATA[data]
    sets = {
        **settings, **OURS[way], "train.seed": str(seed), "train.data_seed": str(seed),
        "eval.rows": "auto" if settings else "0", "run.output_dir": str(place / f"{data}-{way}-{seed}"),
    }  # fmt: skip
    if epochs:
        sets["train.num_train_epochs"] = str(HEAD_EPOCHS * int(epochs) if settings else epochs)
    command = [
        sys.executable,
        "-m",
        "tunewright",
        "train",
        "smollm2",
        str(first_rows(SHARED / name, rows, place)),
        "--json",
        "-q",
    ]
    command += [word for path, value in sets.items() for word in ("--set", f"{path}={value}")]
    done = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
    return {**done["after"], "seconds": done["seconds"]["train"]}


def table(results: dict[str, Any]) -> str:
    chip = results["processor"]
    epochs, units = results["epochs"] or "as planned", ", ".join(chip["units"])
    lines = [f"### {chip['name']} ({units}), {results['date']}, {results['rows']} rows, epochs: {epochs}", ""]
    lines += ["| data, seed | way | held-out loss | of fp32 | accuracy | seconds |", "|---|---|---|---|---|---|"]
    for row in results["runs"]:
        exact = next(
            r for r in results["runs"] if (r["data"], r["seed"], r["way"]) == (row["data"], row["seed"], "ours")
        )
        accuracy = f"{row['accuracy']:.3f}" if "accuracy" in row else ""
        share = row["held_out_loss"] / exact["held_out_loss"] - 1
        way = {"ours": "fp32", "ours_mixed": "mixed", "ours_8bit": "8bit"}[row["way"]]
        loss = f"{row['held_out_loss']:.4f} | {share:+.2%}"
        lines.append(f"| {row['data']}, {row['seed']} | {way} | {loss} | {accuracy} | {row['seconds']:.0f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=160)
    parser.add_argument("--epochs", help="instead of what the plan takes")
    parser.add_argument("--go-on", action="store_true", help="after the runs that are stored for this processor")
    parser.add_argument("--seeds", default="42,43")
    parser.add_argument("--data", nargs="*", default=list(DATA))
    asked = parser.parse_args()
    chip = processor()
    path = results_path(chip).with_name(results_path(chip).name.replace("results", "quality"))
    stored = json.loads(path.read_text()) if asked.go_on else {"runs": []}
    runs, known = stored["runs"], {(run["data"], run["seed"], run["way"]) for run in stored["runs"]}
    with tempfile.TemporaryDirectory() as place:
        for seed in map(int, asked.seeds.split(",")):
            for data in asked.data:
                for way in OURS:
                    if (data, seed, way) in known:
                        continue
                    found = scores(data, way, seed, asked.rows, asked.epochs, Path(place))
                    runs.append({"data": data, "seed": seed, "way": way, **found})
                    print(json.dumps(runs[-1]), file=sys.stderr, flush=True)
                    results = {
                        "date": str(date.today()),
                        "processor": chip,
                        "rows": asked.rows,
                        "epochs": asked.epochs,
                        "runs": runs,
                    }
                    path.write_text(json.dumps(results, indent=1) + "\n")
    known = sorted((json.loads(one.read_text()) for one in HERE.glob("quality-*.json")), key=lambda one: one["date"])
    page = f"# Quality\n\n{__doc__.partition(chr(10))[2].strip()}\n\n" + "\n".join(map(table, reversed(known)))
    (HERE / "QUALITY.md").write_text(page)


if __name__ == "__main__":
    main()
