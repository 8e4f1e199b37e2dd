"""Does a run take what its plan promised? `python benchmarks/plan/run.py [NAME ...] [--only-missing]`

Each case is one `tunewright train` in processes of its own, of a few steps on generated rows; the plan is made before, the
peak is what the kernel counted of the worker. Models beyond the built-in ones have random weights and the shapes of their
config.json; they are made once under the cache folder (the 7B one takes 14 GB of disk and of memory). Writes results.json,
README.md's table and plot.svg. Linux; run it on an idle machine; about 25 minutes.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from tunewright import api
from tunewright.data import demo_data
from tunewright.errors import TunewrightError
from tunewright.rundir.run_dir import RunDir
from tunewright.security import home

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
QV, ALL = "[q_proj,v_proj]", "[q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj]"
CHECKPOINTING = {"train.activation_checkpointing": "true"}
# hidden, intermediate, layers, heads, key and value heads; SmolLM2's vocabulary, so that its tokenizer fits.
SHAPES = {
    "360M": (960, 2560, 32, 15, 5), "0.5B": (896, 4864, 24, 14, 2), "1.5B": (1536, 8960, 28, 12, 2),
    "7B": (4096, 11008, 32, 32, 32), "250M": (768, 2048, 26, 12, 4), "0.8B": (1280, 3456, 24, 20, 5),
}  # fmt: skip


def batch(rows: int, steps: int = 1) -> dict[str, str]:
    return {"train.per_device_train_batch_size": str(rows), "train.gradient_accumulation_steps": str(steps)}


def case(model: str, method: str = "lora", words: int = 1, /, **sets: str) -> dict[str, Any]:
    """A model, a method, how many messages a row joins, and settings (`__` stands for a dot)."""
    return {
        "model": model,
        "method": method,
        "words": words,
        "sets": {k.replace("__", "."): v for k, v in sets.items()},
    }


def cases() -> dict[str, dict[str, Any]]:
    """All of them by name."""
    found: dict[str, dict[str, Any]] = {"smollm2 as planned": case("smollm2")}
    for rank in (4, 64, 192):
        found[f"smollm2 r={rank}, all layers"] = case("smollm2", "lora", 1, peft__r=str(rank), peft__target_modules=ALL)
    found["smollm2 q, v"] = case("smollm2", "lora", 1, preset="simple")
    for method in ("adalora", "ia3", "prefix_tuning", "prompt_tuning", "p_tuning", "vera", "ln_tuning"):
        found[f"smollm2 {method}"] = case("smollm2", method)
    for words, rows in ((1, 16), (4, 8), (10, 4), (24, 2), (40, 1)):
        found[f"smollm2 {words} messages a row, {rows} rows"] = case("smollm2", "lora", words, **_dotted(batch(rows)))
        found[f"smollm2 {words} messages a row, {rows} rows, checkpointing"] = case(
            "smollm2", "lora", words, **_dotted(batch(rows) | CHECKPOINTING)
        )
    found["smollm2 8 bit"] = case("smollm2", "lora", 4, model__quantization="8bit")
    found["smollm2 8 bit by bitsandbytes"] = case(
        "smollm2", "lora", 4, model__quantization="8bit", fast_paths__int8="false"
    )
    found["smollm2 4 bit"] = case("smollm2", "lora", 4, model__quantization="4bit")
    found["smollm2 bf16"] = case("smollm2", "lora", 4, model__precision="bf16")
    found["smollm2 dropout"] = case("smollm2", "lora", 4, peft__lora_dropout="0.1")
    found["smollm2 padded"] = case("smollm2", "lora", 4, fast_paths__packing="false")
    found["smollm2 full logits"] = case(
        "smollm2", "lora", 4, fast_paths__packing="false", fast_paths__answer_loss="false"
    )
    found["smollm2 without answers"] = case("smollm2", "lora", 4, eval__rows="0")
    for task in ("seq_cls", "token_cls"):
        found[f"minilm {task}"] = case("minilm", "lora", 1, task=task)
        found[f"minilm {task}, 64 rows"] = case("minilm", "lora", 1, task=task, **_dotted(batch(64)))
    found["minilm ia3"] = case("minilm", "ia3", 1, task="seq_cls")
    found["bert2bert lora"] = case("bert2bert", "lora", 1, task="seq2seq")
    found["bert2bert ia3"] = case("bert2bert", "ia3", 1, task="seq2seq")
    for size in ("360M", "0.5B", "1.5B"):
        found[f"{size} lora"] = case(size, "lora", 4, **_dotted(batch(2)))
    found["360M lora, checkpointing"] = case("360M", "lora", 10, **_dotted(batch(2) | CHECKPOINTING))
    found["0.5B 8 bit"] = case("0.5B", "lora", 4, model__quantization="8bit", **_dotted(batch(2)))
    found["0.5B bf16"] = case("0.5B", "lora", 4, model__precision="bf16", **_dotted(batch(2)))
    found["1.5B bf16"] = case("1.5B", "lora", 4, model__precision="bf16", **_dotted(batch(2)))
    found["7B mixed"] = case(
        "7B", "lora", 1, model__precision="mixed", eval__rows="0", train__max_steps="2", **_dotted(batch(1))
    )
    found["7B 4 bit"] = case(
        "7B", "lora", 1, model__quantization="4bit", eval__rows="0", train__max_steps="1", **_dotted(batch(1))
    )
    found["7B bf16"] = case(
        "7B", "lora", 1, model__precision="bf16", eval__rows="0", train__max_steps="1", **_dotted(batch(1))
    )
    return found


def _dotted(sets: Mapping[str, str]) -> dict[str, str]:
    return {path.replace(".", "__"): value for path, value in sets.items()}


def rows_file(folder: Path, task: str, words: int) -> Path:
    """Generated rows; for texts several messages and answers are joined to longer rows."""
    path = folder / f"{task}-{words}.jsonl"
    if not path.is_file():
        view = {"seq_cls": demo_data.as_label, "token_cls": demo_data.as_tags}.get(task)
        made = demo_data.generate("train", (60 if words < 24 else 24) * words, seed=5)
        rows = (
            [view(row) for row in made] if view else [_joined(made[i : i + words]) for i in range(0, len(made), words)]
        )
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def _joined(messages: list[Any]) -> dict[str, str]:
    turns = [demo_data.as_messages(row)["messages"] for row in messages]
    return {
        "prompt": " ".join(t[-2]["content"] for t in turns),
        "completion": "\n".join(t[-1]["content"] for t in turns),
    }


def model_folder(name: str) -> str:
    """A built-in name as it is, or the folder of a model of that shape with random weights."""
    if name not in SHAPES:
        return name
    folder = home() / "bench" / "shapes" / name
    if not (folder / "model.safetensors").is_file() and not (folder / "model.safetensors.index.json").is_file():
        print(f"making {name}", file=sys.stderr, flush=True)
        subprocess.run(
            [sys.executable, str(HERE / "shapes.py"), json.dumps(SHAPES[name]), str(api.fetch("smollm2")), str(folder)],
            check=True,
        )
    return str(folder)


def measure(name: str, one: Mapping[str, Any], place: Path) -> dict[str, Any]:
    """Promised and measured memory and time of one run."""
    task = one["sets"].get("task", "causal_lm")
    data = one.get("data") or rows_file(place, task, one["words"])
    sets = {
        "train.max_steps": "3",
        "run.output_dir": str(place / name.replace(" ", "-").replace(",", "")),
        **one["sets"],
    }
    command = [
        sys.executable,
        "-m",
        "tunewright",
        "train",
        model_folder(one["model"]),
        str(data),
        "--json",
        "-q",
        "--force",
    ]
    command += ["--method", one["method"], *(word for k, v in sets.items() for word in ("--set", f"{k}={v}"))]
    started = time.perf_counter()
    watch = Watch(Path(sets["run.output_dir"]))
    watch.start()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    watch.is_over.set()
    if done.returncode:
        raise SystemExit(f"{name}: {done.stdout}")
    found = json.loads(done.stdout)
    plan = json.loads((Path(found["run"]) / "plan.json").read_text())
    return {
        "promised": found["promised"], "measured": found["measured"], "seconds": found["seconds"],
        "wall_seconds": time.perf_counter() - started, "parts": plan["memory"]["parts"], "phases": plan["memory"]["phases"],
        "held": watch.by_phase(), "phase_seconds": watch.seconds(),
        "error": plan_error(found),
    }  # fmt: skip


class Watch(threading.Thread):
    """Looks at what a run's worker holds, until told to stop; a peak of a phase's own is what the kernel does not tell."""

    def __init__(self, run: Path) -> None:
        super().__init__(daemon=True)
        self.run_dir, self.seen, self.is_over = RunDir(run), list[tuple[float, int]](), threading.Event()

    def run(self) -> None:
        worker: psutil.Process | None = None
        while not self.is_over.wait(0.02):
            try:
                if worker is None:
                    worker = psutil.Process(self.run_dir.info().worker.pid)
                self.seen.append((time.time(), worker.memory_info().rss))
            except (OSError, ValueError, AttributeError, TunewrightError, psutil.Error):  # the run is not there yet
                continue

    def seconds(self) -> dict[str, float]:
        """How long each phase took."""
        phases = [event for event in self.run_dir.read_events() if event.kind == "phase"]
        return {event.phase: event.seconds for event in phases if event.state == "end"}

    def by_phase(self) -> dict[str, int]:
        """The largest amount seen in each phase."""
        phases = [event for event in self.run_dir.read_events() if event.kind == "phase"]
        begins = [(event.t, event.phase) for event in phases if event.state == "begin"]
        found: dict[str, int] = {}
        for at, rss in self.seen:
            phase = max((begin for begin in begins if begin[0] <= at), default=(0.0, "start"))[1]
            found[phase] = max(found.get(phase, 0), rss)
        return found


def plan_error(found: Mapping[str, Any]) -> dict[str, float]:
    """How far the promise is from what was measured, as a share of it; negative where too little was promised."""
    memory = found["promised"]["memory"]["peak_bytes"] / found["measured"]["memory"]["peak_bytes"] - 1
    seconds = found["promised"]["time"]["seconds"] / found["measured"]["time"]["seconds"] - 1
    return {"memory": round(memory, 4), "time": round(seconds, 4)}


def table(results: Mapping[str, Any]) -> str:
    """Promised and measured, case by case, and how good that is."""
    lines = ["| run | promised | measured | off | time promised | measured | off |", "|---|---|---|---|---|---|---|"]
    for name, one in results["runs"].items():
        gib = [one[which]["memory"]["peak_bytes"] / 2**30 for which in ("promised", "measured")]
        times = [one[which]["time"]["seconds"] for which in ("promised", "measured")]
        lines.append(
            f"| {name} | {gib[0]:.2f} GiB | {gib[1]:.2f} | {100 * one['error']['memory']:+.1f} % "
            f"| {times[0]:.0f} s | {times[1]:.0f} | {100 * one['error']['time']:+.0f} % |"
        )
    memory = [one["error"]["memory"] for one in results["runs"].values()]
    seconds = [one["error"]["time"] for one in results["runs"].values()]
    summary = (
        f"{len(memory)} runs. Memory: median error {100 * median(map(abs, memory)):.1f} %, most too little "
        f"{-100 * min(memory):.1f} %, most too much {100 * max(memory):.1f} %. Time: median error "
        f"{100 * median(map(abs, seconds)):.0f} %, from {100 * min(seconds):+.0f} to {100 * max(seconds):+.0f} %."
    )
    return f"{summary}\n\n" + "\n".join(lines) + "\n"


def plot(results: Mapping[str, Any]) -> str:
    """Promised against measured memory on logarithmic axes, with the band of 15 %."""
    from math import log2

    low, high, size, edge = 0.75, 20.0, 420, 46

    def at(gib: float) -> float:
        return (log2(gib) - log2(low)) / (log2(high) - log2(low)) * size

    def x(gib: float) -> float:
        return edge + at(gib)

    def y(gib: float) -> float:
        return 10 + size - at(gib)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size + edge + 20} {size + 56}" font-family="sans-serif" '
        'font-size="11"><rect width="100%" height="100%" fill="#fff"/>',
        f'<path d="M{x(low)} {y(low * 1.15):.1f} L{x(high / 1.15):.1f} {y(high)} L{x(high)} {y(high)} L{x(high)} '
        f'{y(high / 1.15):.1f} L{x(low * 1.15):.1f} {y(low)} L{x(low)} {y(low)} Z" fill="#e8eefc"/>',
        f'<path d="M{x(low)} {y(low)} L{x(high)} {y(high)}" stroke="#93a5d6"/>',
    ]
    for tick in (1, 2, 4, 8, 16):
        parts.append(f'<text x="{x(tick):.1f}" y="{size + 26}" text-anchor="middle">{tick}</text>')
        parts.append(f'<text x="{edge - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick}</text>')
    for name, one in results["runs"].items():
        gib = [one[which]["memory"]["peak_bytes"] / 2**30 for which in ("measured", "promised")]
        parts.append(f'<circle cx="{x(gib[0]):.1f}" cy="{y(gib[1]):.1f}" r="4" fill="#3056d3" fill-opacity=".6">')
        parts.append(f"<title>{name}: {gib[1]:.2f} GiB promised, {gib[0]:.2f} measured</title></circle>")
    parts.append(f'<text x="{edge + size / 2}" y="{size + 46}" text-anchor="middle">measured peak, GiB</text>')
    parts.append(
        f'<text transform="translate(12 {size / 2}) rotate(-90)" text-anchor="middle">promised, GiB</text></svg>'
    )
    return "\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="cases, by the beginning of their names; all without")
    parser.add_argument("--only-missing", action="store_true", help="keep what results.json has")
    asked = parser.parse_args()
    every = cases()
    old = json.loads(RESULTS.read_text())["runs"] if RESULTS.is_file() and (asked.only_missing or asked.names) else {}
    wanted = [n for n in every if not asked.names or n.startswith(tuple(asked.names))]
    wanted = [n for n in wanted if not (asked.only_missing and n in old)]
    found = dict(old)
    with tempfile.TemporaryDirectory() as place:
        for name in wanted:
            found[name] = measure(name, every[name], Path(place))
            error = found[name]["error"]
            print(f"{name}: memory {error['memory']:+.1%}, time {error['time']:+.0%}", file=sys.stderr, flush=True)
            results = {
                "date": str(date.today()),
                **api.environment(),
                "runs": {n: found[n] for n in every if n in found},
            }
            RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    readme = HERE / "README.md"
    readme.write_text(readme.read_text().partition("<!-- table -->")[0] + "<!-- table -->\n" + table(results))
    (HERE / "plot.svg").write_text(plot(results))


if __name__ == "__main__":
    main()
