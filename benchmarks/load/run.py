"""How long do verbs take, and how much memory, on much of everything? `python benchmarks/load/run.py [NAME[=SIZE]...]`

Inputs of two or three sizes are written into a temporary folder: many runs, many events in one run, many answers, many columns,
many rows. Each verb reads them in a process of its own; CPU seconds and the most memory are the kernel's count of it. The
models are nothing but a config and a tokenizer of bytes, so that nothing is computed. Results go to results.json.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.unit.report.conftest import Story, account, plan_of, sample_rows
from tunewright.config.load_config import to_yaml
from tunewright.config.run_config import RunConfig
from tunewright.rundir import atomic_io, file_names, run_dir

RESULTS = Path(__file__).parent / "results.json"
ANSWERED, STEPS = 20, 100


def write_run(folder: Path, steps: int, answers: int) -> Path:
    """A finished run with so many logged steps, a measurement each hundred, and so many answers before and after."""
    asked = RunConfig.model_validate(
        {"model": "smollm2", "task": "causal_lm", "preset": "medium", "data": "support.jsonl"}
    )
    plan = plan_of(asked, held_out=answers)
    files = {file_names.CONFIG: to_yaml(asked), file_names.PLAN: plan.model_dump_json()}
    run = run_dir.create(folder, folder.name, files)
    atomic_io.write_json(run.file(file_names.PREPARED), {"key": "k", **account(answers)})
    story = Story(run, plan)
    story.score("before", 3.3, sample_rows(answers, answers), answers, {"exact_match": 0.1}, [2.0] * answers)
    with run.file(file_names.EVENTS).open("a") as file:
        for step in range(1, steps + 1):
            head = {"schema": 1, "seq": story.seq + step, "t": story.time + step, "step": step}
            log = {
                "kind": "log", "loss": 0.3 + 3 / step, "learning_rate": 1e-4, "grad_norm": 0.8, "epoch": step / 1000,
                "tokens": 490 * step, "train_seconds": 1.7 * step, "tokens_per_second": 288.4, "eta_seconds": 10.0,
                "rss_bytes": 2 * 10**9, "max_steps": steps, "padding_share": 0.02, "row_wait_share": 0.0, "core_wait_share": 0.1,
            }  # fmt: skip
            file.write(json.dumps(head | log) + "\n")
            if step % 100 == 0:
                measured = {"kind": "eval", "held_out_loss": 0.4 + 3 / step, "seconds": 4.2, "is_best": True}
                file.write(json.dumps(head | measured) + "\n")
    story.seq += steps + 1
    story.score("after", 0.4, sample_rows(answers, 31), answers, {"exact_match": 0.8}, [0.4] * answers)
    story.done(steps, steps)
    run.update_info(state="finished", model="smollm2", exit_code=0)
    return run.path


def runs(folder: Path, size: int) -> Iterator[tuple[str, list[str]]]:
    for number in range(size):
        write_run(folder / "runs" / f"2026-11-28-run-{number:05d}", STEPS, ANSWERED)
    yield "runs list", ["runs", "list"]
    yield "diagnose NAME", ["diagnose", "2026-11-28-run-00000"]
    yield "diagnose last", ["diagnose", "last"]


def events(folder: Path, size: int) -> Iterator[tuple[str, list[str]]]:
    for name in ("long", "other"):
        write_run(folder / "runs" / name, size, ANSWERED)
    yield "runs list", ["runs", "list"]
    yield "report", ["report", "long"]
    yield "diagnose", ["diagnose", "long"]
    yield "compare", ["compare", "long", "other"]
    yield "runs watch", ["runs", "watch", "long"]


def answers(folder: Path, size: int) -> Iterator[tuple[str, list[str]]]:
    for name in ("long", "other"):
        write_run(folder / "runs" / name, STEPS, size)
    yield "report", ["report", "long"]
    yield "diagnose", ["diagnose", "long"]
    yield "compare", ["compare", "long", "other"]


def columns(folder: Path, size: int) -> Iterator[tuple[str, list[str]]]:
    more = range(size)
    heads = ",".join(["prompt", "completion", *(f"c{number}" for number in more)])
    rows = "".join(f"question {row},answer {row}," + ",".join("1" for _ in more) + "\n" for row in range(20))
    (folder / "wide.csv").write_text(f"{heads}\n{rows}")
    yield "data check", ["data", "check", "wide.csv", "-m", "smollm2"]
    yield "plan", ["plan", "smollm2", "wide.csv"]


def rows(folder: Path, size: int) -> Iterator[tuple[str, list[str]]]:
    with (folder / "rows.jsonl").open("w") as file:
        for row in range(size):
            file.write(json.dumps({"prompt": f"q{row}", "completion": f"a{row % 997}"}) + "\n")
    yield "data check", ["data", "check", "rows.jsonl", "-m", "smollm2"]
    yield "plan", ["plan", "smollm2", "rows.jsonl"]


KINDS: dict[str, tuple[Callable[[Path, int], Iterator[tuple[str, list[str]]]], tuple[int, ...]]] = {
    "runs": (runs, (500, 1000, 2000)),
    "events": (events, (100_000, 300_000, 1_000_000)),
    "answers": (answers, (25_000, 50_000, 100_000)),
    "columns": (columns, (5_000, 10_000)),
    "rows": (rows, (250_000, 500_000, 1_000_000)),
}


def measured(words: list[str], folder: Path) -> dict[str, float]:
    """CPU seconds, most memory in MiB, and exit code of a verb."""
    argv = [sys.executable, "-m", "tunewright", *words, "--json"]
    process = subprocess.Popen(argv, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _pid, status, usage = os.wait4(process.pid, 0)
    seconds = round(usage.ru_utime + usage.ru_stime, 1)
    return {"seconds": seconds, "mib": usage.ru_maxrss >> 10, "exit_code": os.waitstatus_to_exitcode(status)}


def main() -> None:
    results: list[dict[str, Any]] = json.loads(RESULTS.read_text())["results"] if RESULTS.is_file() else []
    for word in sys.argv[1:] or KINDS:
        name, _equals, only = word.partition("=")
        write, sizes = KINDS[name]
        for size in [int(only)] if only else sizes:
            results = [line for line in results if (line["kind"], line["size"]) != (name, size)]
            with TemporaryDirectory() as place:
                for verb, words in write(Path(place), size):
                    line = {"kind": name, "size": size, "verb": verb, **measured(words, Path(place))}
                    page = next(Path(place).glob("runs/long/report.html"), None)
                    results.append(
                        line | ({"page_kib": page.stat().st_size >> 10} if page and verb == "report" else {})
                    )
                    print(results[-1], flush=True)
                    RESULTS.write_text(json.dumps({"date": str(date.today()), "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
