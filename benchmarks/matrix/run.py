"""Every method on every task, each cell a real run on a built-in model: `python benchmarks/matrix/run.py [CELL ...]`.

A cell is METHOD:TASK, as in ia3:seq_cls; without any, all are run. What is there already in results.json is kept, so a
broken-off benchmark goes on where it was. Writes results.json and the table of README.md.
"""

import json
import platform
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

from tunewright.data import demo
from tunewright.spec.methods import METHODS
from tunewright.spec.tasks import TASKS

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
VIEWS = {"causal_lm": demo.as_messages, "seq2seq": demo.as_pair, "seq_cls": demo.as_label, "token_cls": demo.as_tags}
MODELS = {"causal_lm": "smollm2", "seq2seq": "bert2bert", "seq_cls": "minilm", "token_cls": "minilm"}
ROWS = {"causal_lm": 320, "seq2seq": 1200, "seq_cls": 600, "token_cls": 1200}
METRIC = {"causal_lm": "field_f1", "seq2seq": "rougeL", "seq_cls": "accuracy", "token_cls": "entity_f1"}
# The same for all methods of a task; whatever else a method needs is what the plan chooses for it.
SETTINGS: dict[str, dict[str, Any]] = {
    "causal_lm": {"train.num_train_epochs": 1, "eval.rows": 40, "train.eval_steps": 20, "eval.loss_rows": 20},
    "seq2seq": {"train.num_train_epochs": 2, "eval.rows": 60, "train.eval_steps": 100},
    "seq_cls": {"train.num_train_epochs": 4, "train.eval_steps": 100},
    "token_cls": {"train.num_train_epochs": 3, "train.eval_steps": 100},
}
# Its cross-attention starts random, so it is trained as a whole beside every adapter.
SETTINGS["seq2seq"] |= {"peft.modules_to_save": ["crossattention"]}


def write(folder: Path, task: str) -> tuple[Path, Path]:
    """Training and held-out rows of the generated task, in the task's own form."""
    files = []
    for split, count in (("train", ROWS[task]), ("held_out", 120)):
        path = folder / f"{task}-{split}.jsonl"
        rows = demo.generate(split, count, seed=7)  # type: ignore[arg-type]
        path.write_text("".join(json.dumps(VIEWS[task](row), ensure_ascii=False) + "\n" for row in rows))
        files.append(path)
    return files[0], files[1]


def cell(method: str, task: str, folder: Path) -> dict[str, Any]:
    """One run from its command; what it gave, or why the cell does not exist."""
    train, held_out = write(folder, task)
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
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
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
    results |= {"machine": f"{platform.machine()}, 2 cores, no GPU", "date": date.today().isoformat()}
    with tempfile.TemporaryDirectory() as folder:
        for name in wanted:
            if name in results["cells"] and not sys.argv[1:]:
                continue
            started = time.perf_counter()
            method, _colon, task = name.partition(":")
            results["cells"][name] = cell(method, task, Path(folder))
            order = [f"{m}:{t}" for t in TASKS for m in METHODS]
            results["cells"] = {key: results["cells"][key] for key in order if key in results["cells"]}
            RESULTS.write_text(json.dumps(results, indent=1) + "\n")
            print(name, results["cells"][name], f"{time.perf_counter() - started:.0f} s", flush=True)
    readme = HERE / "README.md"
    head = readme.read_text().partition("<!-- table -->")[0]
    readme.write_text(head + "<!-- table -->\n" + table(results))


if __name__ == "__main__":
    main()
