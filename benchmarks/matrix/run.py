"""Every method on every task, each cell a real run on a built-in model: `python benchmarks/matrix/run.py [CELL ...]`.

A cell is METHOD:TASK, as in ia3:seq_cls; without any, all are run. What is there already in results.json is kept, so a
broken-off benchmark goes on where it was. Writes results.json and the table of README.md.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import date
from pathlib import Path
from typing import Any

from tunewright.config.methods import METHODS
from tunewright.config.tasks import TASKS
from tunewright.data import demo_data

HERE = Path(__file__).parent
ONE_CORE = {**os.environ, "OMP_NUM_THREADS": "1"}
RESULTS = HERE / "results.json"
VIEWS = {
    "causal_lm": demo_data.as_messages,
    "seq2seq": demo_data.as_pair,
    "seq_cls": demo_data.as_label,
    "token_cls": demo_data.as_tags,
}
MODELS = {"causal_lm": "smollm2", "seq2seq": "bert2bert", "seq_cls": "minilm", "token_cls": "minilm"}
ROWS = {"causal_lm": 320, "seq2seq": 800, "seq_cls": 400, "token_cls": 500}
HELD_OUT = {"causal_lm": 40, "seq2seq": 60, "seq_cls": 120, "token_cls": 120}
CORES = 2
METRIC = {"causal_lm": "field_f1", "seq2seq": "rougeL", "seq_cls": "accuracy", "token_cls": "entity_f1"}
# The same for all methods of a task; whatever else a method needs is what the plan chooses for it.
SETTINGS: dict[str, dict[str, Any]] = {
    "causal_lm": {"train.num_train_epochs": 1, "eval.rows": 40, "train.eval_steps": 40, "eval.loss_rows": 20},
    "seq2seq": {"train.num_train_epochs": 3, "eval.rows": 60, "train.eval_steps": 100},
    "seq_cls": {"train.num_train_epochs": 4, "train.eval_steps": 100},
    "token_cls": {"train.num_train_epochs": 3, "train.eval_steps": 100},
}


def write(folder: Path, task: str) -> None:
    """Training and held-out rows of the generated task, in the task's own form."""
    for split, count in (("train", ROWS[task]), ("held_out", HELD_OUT[task])):
        path = folder / f"{task}-{split}.jsonl"
        rows = demo_data.generate(split, count, seed=7)  # type: ignore[arg-type]
        path.write_text("".join(json.dumps(VIEWS[task](row), ensure_ascii=False) + "\n" for row in rows))


def cell(method: str, task: str, folder: Path) -> dict[str, Any]:
    """One run from its command; what it gave, or why the cell does not exist."""
    train, held_out = folder / f"{task}-train.jsonl", folder / f"{task}-held_out.jsonl"
    settings = {"data.holdout": held_out, "run.output_dir": folder / f"{method}-{task}", **SETTINGS[task]}
    command = [
        sys.executable,
        "-m",
        "tunewright",
        "train",
        MODELS[task],
        str(train),
        "--task",
        task,
        "--method",
        method,
    ]
    command += [word for path, value in settings.items() for word in ("--set", f"{path}={as_yaml(value)}")]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False, env=ONE_CORE)
    found = json.loads(done.stdout)
    if done.returncode:
        return {"refused": found["problems"][0]["message"]}
    plan = json.loads((Path(found["run"]) / "plan.json").read_text())["run"]
    metric = METRIC[task]
    return {
        "model": MODELS[task], "rows": ROWS[task], "metric": metric,
        "before": found["before"][metric], "after": found["after"][metric],
        "held_out_loss_before": found["before"]["held_out_loss"], "held_out_loss_after": found["after"]["held_out_loss"],
        "baseline": (found.get("baseline") or {}).get("scores", {}).get(metric),
        "trainable_parameters": found["trainable_parameters"], "adapter_bytes": found["adapter_bytes"],
        "seconds": found["seconds"]["train"], "peak_rss_bytes": found["peak_rss_bytes"],
        "learning_rate": plan["train"]["learning_rate"],
    }  # fmt: skip


def as_yaml(value: Any) -> str:
    return "[" + ",".join(map(str, value)) + "]" if isinstance(value, list) else str(value)


def table(results: dict[str, Any]) -> str:
    """The results as a table, by task."""
    lines = []
    for task, row in TASKS.items():
        cells = {name: c for name, c in results["cells"].items() if name.endswith(f":{task}")}
        if not cells:
            continue
        some = next((c for c in cells.values() if "metric" in c), {})
        lines.append(f"\n### {row.task_type}: {some.get('model')}, {some.get('rows')} rows, {some.get('metric')}")
        if some.get("baseline") is not None:
            lines.append(f"\nAlways answering the same: {some['baseline']:.3f}.")
        lines.append("\n| method | before | after | held-out loss | trained | adapter | training | peak memory |")
        lines.append("|---|---|---|---|---|---|---|---|")
        lines += [_line(METHODS[name.partition(":")[0]].title, c) for name, c in cells.items()]
    return "\n".join(lines) + "\n"


def _line(title: str, c: dict[str, Any]) -> str:
    if "refused" in c:
        return f"| {title} | does not exist: {c['refused']} | | | | | | |"
    return (
        f"| {title} | {c['before']:.3f} | **{c['after']:.3f}** | {c['held_out_loss_before']:.2f} -> "
        f"{c['held_out_loss_after']:.2f} | {c['trainable_parameters']:,} | {c['adapter_bytes'] / 2**20:.2f} MiB | "
        f"{c['seconds']:.0f} s | {c['peak_rss_bytes'] / 2**30:.1f} GiB |"
    )


def main() -> None:
    wanted = sys.argv[1:] or [f"{method}:{task}" for task in TASKS for method in METHODS]
    results = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {"cells": {}}
    results |= {"machine": f"{platform.machine()}, one core for each run, no GPU", "date": date.today().isoformat()}
    open_cells = [name for name in wanted if name not in results["cells"] or sys.argv[1:]]
    order = [f"{method}:{task}" for task in TASKS for method in METHODS]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(CORES) as pool:
        for task in TASKS:
            write(Path(folder), task)
        jobs = {pool.submit(cell, *name.split(":"), Path(folder)): name for name in open_cells}
        for done in as_completed(jobs):
            results["cells"][jobs[done]] = done.result()
            results["cells"] = {key: results["cells"][key] for key in order if key in results["cells"]}
            RESULTS.write_text(json.dumps(results, indent=1) + "\n")
            print(jobs[done], done.result(), flush=True)
    readme = HERE / "README.md"
    head = readme.read_text().partition("<!-- table -->")[0]
    readme.write_text(head + "<!-- table -->\n" + table(results))


if __name__ == "__main__":
    main()
