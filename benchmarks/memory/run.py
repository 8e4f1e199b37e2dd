"""What do the memory options save, and what do they cost? `python benchmarks/memory/run.py [--steps 12] [--rounds 2]`

Each option trains SmolLM2 on the same generated rows through `tunewright train`, in processes of its own, in turns so that
a slow minute of the machine meets all of them. Its worker is watched from outside: what it holds, twenty times a second. It
holds nothing out, as a test would hold more than a step; base and adapter are tested afterwards, in another process.
Writes results.json and the table of README.md. Linux; run it on an idle machine.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

from tunewright.data import demo_data
from tunewright.rundir.run_dir import RunDir

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
MODEL = "smollm2"
CHECKPOINTING = {"train.activation_checkpointing": "true"}
OPTIONS: dict[str, dict[str, str]] = {
    "fp32": {},
    "fp32, checkpointing": CHECKPOINTING,
    "bf16": {"model.precision": "bf16"},
    "8bit (W8A8)": {"model.quantization": "8bit"},
    "8bit (W8A8), checkpointing": {"model.quantization": "8bit", **CHECKPOINTING},
    "8bit by bitsandbytes": {"model.quantization": "8bit", "fast_paths.int8": "false"},
    "4bit": {"model.quantization": "4bit"},
    "4bit, checkpointing": {"model.quantization": "4bit", **CHECKPOINTING},
}
SAME = {
    "model.precision": "fp32", "train.activation_checkpointing": "false", "preset": "complex",
    "train.per_device_train_batch_size": "8", "train.gradient_accumulation_steps": "1", "train.learning_rate": "5e-4",
    "data.max_length": "256",
}  # fmt: skip
EVERY_SECONDS = 0.05
HELD_OUT = 40


def write(folder: Path, split: str, count: int) -> Path:
    """Rows of the generated task as a file."""
    path = folder / f"{split}.jsonl"
    rows = demo_data.generate(split, count, seed=7)  # type: ignore[arg-type]
    path.write_text("".join(json.dumps(demo_data.as_messages(row), ensure_ascii=False) + "\n" for row in rows))
    return path


def settings_of(option: str, folder: Path, steps: int) -> dict[str, Any]:
    """Everything that a run of an option is asked for; nothing held out."""
    rows = write(folder, "train", 8 * steps)
    return {"model.name": MODEL, "data.train": str(rows), **SAME, **OPTIONS[option], "train.max_steps": str(steps)}


def measure(option: str, folder: Path, steps: int, place: Path) -> dict[str, Any]:
    """One run of an option: its pace, and what its worker held."""
    settings = settings_of(option, folder, steps) | {"data.holdout": "0", "run.output_dir": str(place)}
    command = [sys.executable, "-m", "tunewright", "train", settings.pop("model.name"), settings.pop("data.train")]
    command += [word for path, value in settings.items() for word in ("--set", f"{path}={value}")]
    process = subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    run, samples = RunDir(place), []
    while process.poll() is None:
        samples += sample(run)
        time.sleep(EVERY_SECONDS)
    found = json.loads(process.communicate()[0])
    if process.returncode:
        raise SystemExit(f"{option}: {found['problems'][0]['message']}")
    begin, end = training_phase(run)
    return {
        "tokens_per_second": found["tokens_per_second"],
        "peak_rss_bytes": found["peak_rss_bytes"],
        "peak_rss_bytes_in_training": max(rss for moment, rss in samples if begin <= moment <= end),
    }


def sample(run: RunDir) -> list[tuple[float, int]]:
    """What the run's worker holds now, if there is one."""
    try:
        worker = run.info().worker
        status = Path(f"/proc/{worker.pid}/status").read_text() if worker else ""
    except (OSError, ValueError):
        return []
    return [(time.time(), int(line.split()[1]) * 1024) for line in status.splitlines() if line.startswith("VmRSS")]


def training_phase(run: RunDir) -> tuple[float, float]:
    """When training began and ended."""
    at = {e.state: e.t for e in run.read_events() if e.kind == "phase" and e.phase == "train"}
    return at["begin"], at["end"]


def examine(option: str, folder: Path, steps: int, place: Path) -> dict[str, Any]:
    """The held-out loss of base and adapter, and the bytes of the base; in a process of its own."""
    asked = settings_of(option, folder, steps) | {"data.holdout": str(write(folder, "held_out", HELD_OUT))}
    command = [sys.executable, __file__, "--examine", json.dumps(asked), str(place)]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1])


def examine_here(asked: dict[str, Any], place: Path) -> dict[str, Any]:
    from tunewright import api
    from tunewright.data.tokenized.tokenizer import load_tokenizer
    from tunewright.engine.evaluation.evaluator import held_out_loss
    from tunewright.engine.models.load_model import DTYPES, load_adapter, load_base
    from tunewright.engine.models.quantization import plain_weight_bytes, weight_bytes
    from tunewright.engine.training.build_trainer import make_step_collator
    from tunewright.engine.training.dataset import prepare
    from tunewright.engine.training.loss_backends import plain_backend

    plan = api.plan(api.load(sets=[f"{path}={value}" for path, value in asked.items()]))
    tokenizer = load_tokenizer(Path(plan.facts.model.tokenizer_folder), plan.run.model.chat_template)
    data = prepare(plan, RunDir(place), tokenizer)
    loss, cut = plain_backend(plan, data.train).loss, make_step_collator(plan, tokenizer)
    base = load_base(plan, tokenizer)
    stored = {
        "weight_bytes": weight_bytes(base),
        "plain_weight_bytes": plain_weight_bytes(base, DTYPES[str(plan.run.model.precision)]),
    }
    before = held_out_loss(base, data.held_out, loss, cut)
    after = held_out_loss(load_adapter(base, RunDir(place).adapter_dir), data.held_out, loss, cut)
    return {**stored, "held_out_loss_before": before, "held_out_loss_after": after}


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The middle of the rounds for pace and memory; losses are the same in each."""
    paced = ("tokens_per_second", "peak_rss_bytes", "peak_rss_bytes_in_training")
    return runs[0] | {name: median(run[name] for run in runs) for name in paced}


def table(options: Mapping[str, Any]) -> str:
    """One line for each option, beside fp32."""
    plain = options["fp32"]
    lines = [
        "| option | weights | peak memory in training | tokens a second | held-out loss, before -> after | against fp32 |",
        "|---|---|---|---|---|---|",
    ]
    for name, found in options.items():
        memory, pace = found["peak_rss_bytes_in_training"], found["tokens_per_second"]
        lines.append(
            f"| {name} | {found['weight_bytes'] / 2**20:.0f} MiB | {memory / 2**20:.0f} MiB "
            f"({memory / plain['peak_rss_bytes_in_training'] - 1:+.0%}) | {pace:.0f} "
            f"({pace / plain['tokens_per_second'] - 1:+.0%}) | {found['held_out_loss_before']:.4f} -> "
            f"{found['held_out_loss_after']:.4f} | {found['held_out_loss_after'] - plain['held_out_loss_after']:+.4f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--examine", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.examine:
        print(json.dumps(examine_here(json.loads(asked.examine[0]), Path(asked.examine[1]))))
        return
    runs: dict[str, list[dict[str, Any]]] = {option: [] for option in OPTIONS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(asked.rounds):
            for option in OPTIONS:
                place = folder / f"{number}-{''.join(c if c.isalnum() else '-' for c in option)}"
                found = measure(option, folder, asked.steps, place)
                runs[option].append(found | (examine(option, folder, asked.steps, place) if number == 0 else {}))
                print(option, json.dumps(runs[option][-1]), flush=True)
    options = {option: summary(found) for option, found in runs.items()}
    about = {
        "date": date.today().isoformat(),
        "machine": f"{platform.machine()}, 2 cores, no GPU",
        "steps": asked.steps,
    }
    RESULTS.write_text(json.dumps({**about, "rounds": asked.rounds, "options": options, "runs": runs}, indent=1) + "\n")
    readme = HERE / "README.md"
    head = readme.read_text().partition("<!-- table -->")[0]
    readme.write_text(head + "<!-- table -->\n" + table(options))


if __name__ == "__main__":
    main()
