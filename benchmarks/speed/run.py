"""How fast is LoRA on this CPU, beside every peer? `python benchmarks/speed/run.py [--quick] [--rounds 5] [--data FILE]`

Builds an environment for each peer once, then lets all train the same rows in turns, so that a slow minute of the machine
meets every one of them. Time is that of the steps after the first, from the moments at which a step's loss is printed;
tokens are counted by one tokenizer, without padding; memory is the most that one process held. `--quick` takes
LLaMA-Factory, TRL, the lesson's script and ours, once, and prints the ratios alone. Linux; run it on an idle machine.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import venv
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import date
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from peers import PEERS, Job, Peer, Rows

from tunewright import api
from tunewright.data import demo_data
from tunewright.security import home

HERE = Path(__file__).parent
ALPACA = HERE.parents[2] / "shared/data/alpaca_en_demo.json"
STEP_ROWS = 16
OURS: Mapping[str, dict[str, str]] = {
    "ours": {"model.precision": "fp32"},
    "ours_mixed": {"model.precision": "mixed"},
    "ours_8bit": {"model.precision": "fp32", "model.quantization": "8bit"},
}
TITLES = {
    "ours": "**Tunewright, exact**",
    "ours_mixed": "**Tunewright, mixed**",
    "ours_8bit": "**Tunewright, 8bit**",
}
# A peer once more, with bf16.
BF16 = "_bf16"
WITH_BF16 = tuple(name + BF16 for name, peer in PEERS.items() if peer.has_bf16)
QUICK = ("llama_factory", "llama_factory_bf16", "trl", "lesson", *OURS)
# What of a processor decides how fast products are.
UNITS = (
    "avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_bf16", "amx_int8", "asimd", "bf16",
    "i8mm",
)  # fmt: skip
LOSS = re.compile(r"['\"]loss['\"]: ?['\"]?([0-9.]+)")
NORM = re.compile(r"['\"]grad_norm['\"]: ?['\"]?([0-9.]+)")
SETTINGS = {
    "data.holdout": "0", "data.max_length": "512", "data.max_truncated": "1", "method": "lora",
    "peft.r": "16", "peft.lora_alpha": "32", "peft.lora_dropout": "0", "peft.target_modules": "[q_proj,k_proj,v_proj,o_proj]",
    "train.per_device_train_batch_size": "2", "train.gradient_accumulation_steps": "8", "train.learning_rate": "2e-4",
    "train.lr_scheduler_type": "constant", "train.warmup_steps": "0", "train.train_sampling_strategy": "sequential",
    "eval.rows": "0",
}  # fmt: skip


def rows_of(path: Path, count: int) -> Rows:
    """The first rows of an Alpaca file as prompt and answer; of none, rows that Tunewright generates."""
    if path.is_file():
        found = json.loads(path.read_text(encoding="utf-8"))[:count]
        prompts = [r["instruction"] + (f"\n{r['input']}" if r.get("input") else "") for r in found]
        return [{"prompt": p, "answer": r["output"]} for p, r in zip(prompts, found, strict=True)]
    messages = [demo_data.as_messages(row)["messages"] for row in demo_data.generate("train", count, seed=7)]
    return [{"prompt": turns[-2]["content"], "answer": turns[-1]["content"]} for turns in messages]


def environment(name: str, peer: Peer) -> Path:
    """The folder of a peer's programs; built once."""
    if not peer.packages:
        return Path(sys.executable).parent
    folder = home() / "bench" / name
    if not (folder / "ready").is_file():
        print(f"building the environment of {peer.title}", file=sys.stderr, flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        pip = [str(folder / "bin/pip"), "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", "torch==2.13.0", *peer.packages], check=True, stdout=sys.stderr)
        if peer.uninstall:
            subprocess.run([*pip, "uninstall", "-y", *peer.uninstall], check=True, stdout=sys.stderr)
        for pattern in peer.delete:
            for path in folder.glob(pattern):
                path.unlink()
        (folder / "ready").touch()
    return folder / "bin"


class PeerFailed(Exception):
    """A peer ended without its steps; the end of its output."""


def measure(command: list[str], job: Job) -> dict[str, Any]:
    """Losses, norms, seconds of each step after the first, and the peak of a peer's process."""
    setting = {
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "OMP_NUM_THREADS": str(os.cpu_count()),
        "PYTHONUNBUFFERED": "1",
    }
    job.folder.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        command, cwd=job.folder, env={**os.environ, **setting}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    peak = Peak(process.pid)
    assert process.stdout is not None
    moments, losses, norms, text = [], [], [], b""
    while chunk := os.read(process.stdout.fileno(), 65536):
        text += chunk
        found = LOSS.findall(text.decode(errors="replace"))
        moments += [time.perf_counter()] * (len(found) - len(losses))
        losses = [float(loss) for loss in found]
    norms = [float(norm) for norm in NORM.findall(text.decode(errors="replace"))]
    if process.wait() or len(losses) < job.steps:
        (job.folder / "log.txt").write_bytes(text)
        raise PeerFailed(f"{command[0]} failed:\n{text.decode(errors='replace')[-3000:]}")
    seconds = [b - a for a, b in pairwise(moments)][: job.steps - 1]
    return {
        "losses": losses[: job.steps],
        "grad_norms": norms[: job.steps],
        "step_seconds": seconds,
        "peak_rss_bytes": peak.stop(),
    }


class Peak:
    """Watches a process and its children: the most that one of them held."""

    def __init__(self, pid: int) -> None:
        self._process, self._most, self._goes_on = psutil.Process(pid), 0, True
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while self._goes_on:
            try:
                for process in (self._process, *self._process.children(recursive=True)):
                    self._most = max(self._most, process.memory_info().rss)
            except psutil.Error:
                pass
            time.sleep(0.1)

    def stop(self) -> int:
        self._goes_on = False
        self._thread.join()
        return self._most


def ours(settings: Mapping[str, str], job: Job) -> dict[str, Any]:
    """The same of a run of `tunewright train`."""
    turns = [
        {"messages": [{"role": "user", "content": r["prompt"]}, {"role": "assistant", "content": r["answer"]}]}
        for r in job.rows
    ]
    data = job.write("rows.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in turns))
    sets = {**SETTINGS, **settings, "train.max_steps": str(job.steps), "run.output_dir": str(job.folder / "run")}
    command = [sys.executable, "-m", "tunewright", "train", str(job.model), str(data), "--json", "-q"]
    command += [word for path, value in sets.items() for word in ("--set", f"{path}={value}")]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    result = json.loads(done.stdout)
    if done.returncode:
        raise SystemExit(json.dumps(result["problems"]))
    logs = [json.loads(line) for line in (job.folder / "run/events.jsonl").read_text().splitlines()]
    logs = [event for event in logs if event["kind"] == "log"]
    at = [event["train_seconds"] for event in logs]
    return {
        "losses": [event["loss"] for event in logs], "grad_norms": [event["grad_norm"] for event in logs],
        "step_seconds": [b - a for a, b in pairwise(at)], "peak_rss_bytes": result["peak_rss_bytes"],
    }  # fmt: skip


def token_counts(model: Path, rows: Rows) -> list[int]:
    """Tokens of each step, without padding, as the model's own template writes the rows."""
    from tunewright.data.examples.formats import Message
    from tunewright.data.tokenized.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(model, None)
    lengths = []
    for row in rows:
        turns = [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["answer"]}]
        text = tokenizer.render([Message(**turn) for turn in turns])
        lengths.append(min(512, len(tokenizer.encode(text))))
    return [sum(lengths[i : i + STEP_ROWS]) for i in range(0, len(lengths), STEP_ROWS)]


def summary(runs: Iterable[dict[str, Any]], tokens: list[int]) -> dict[str, Any]:
    """The middle of the rounds."""
    runs = list(runs)
    rates = [sum(tokens[1:]) / sum(run["step_seconds"]) for run in runs]
    return {
        "tokens_per_second": median(rates), "slowest": min(rates), "fastest": max(rates),
        "seconds_per_step": median(sum(run["step_seconds"]) / len(run["step_seconds"]) for run in runs),
        "peak_rss_bytes": int(median(run["peak_rss_bytes"] for run in runs)),
        "losses": runs[0]["losses"], "grad_norms": runs[0]["grad_norms"], "runs": runs,
    }  # fmt: skip


def ratios(found: Mapping[str, Any], fraction: float | None) -> dict[str, Any]:
    """The figures that are held against each other, each the middle of the rounds' own ratios."""

    def over(one: str, other: str | None) -> float | None:
        if one not in found or other not in found:
            return None
        pairs = zip(found[one]["runs"], found[other]["runs"], strict=True)
        return round(median(sum(b["step_seconds"]) / sum(a["step_seconds"]) for a, b in pairs), 2)

    def leading(names: Iterable[str], what: Callable[[Mapping[str, Any]], float]) -> str | None:
        return max((name for name in names if name in found), key=lambda name: what(found[name]), default=None)

    peers = [name for name in PEERS if name != "loop"]
    fastest = leading(peers, lambda one: one["tokens_per_second"])
    at_best = leading([*peers, *WITH_BF16], lambda one: one["tokens_per_second"])
    leanest = leading([*peers, *WITH_BF16], lambda one: -one["peak_rss_bytes"])
    ours = {
        f"{name}_over_{other}": over(name, peer)
        for name in OURS
        for other, peer in (("fastest_peer", fastest), ("peer_at_its_best", at_best))
    }
    memory = {
        f"memory_of_{name}_over_leanest_peer": round(
            found[name]["peak_rss_bytes"] / found[leanest]["peak_rss_bytes"], 2
        )
        for name in OURS
        if leanest and name in found
    }
    return {
        "fastest_peer": fastest, "peer_at_its_best": at_best, "leanest_peer": leanest, **ours,
        "ours_over_trl": over("ours", "trl"), "ours_over_lesson": over("ours", "lesson"),
        "ours_8bit_over_ours": over("ours_8bit", "ours"), "ours_mixed_over_ours": over("ours_mixed", "ours"),
        "ours_8bit_over_ours_mixed": over("ours_8bit", "ours_mixed"), "fraction_of_gemm": fraction, **memory,
    }  # fmt: skip


def processor() -> dict[str, Any]:
    """Its name and the units that products use, as the system tells them."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    fields = dict(re.split(r"\s*: ?", line, maxsplit=1) for line in lines if ":" in line)
    flags = (fields.get("flags") or fields.get("Features", "")).split()
    named = fields.get("model name", "unknown")
    kind = f"family {fields.get('cpu family')}, model {fields.get('model')}"
    return {"name": named, "kind": kind, "units": [unit for unit in UNITS if unit in flags]}


def results_path(chip: Mapping[str, Any]) -> Path:
    """Where results of this kind of processor are kept; those of others stay."""
    matrix = "amx" if "amx_tile" in chip["units"] else "bf16" if "avx512_bf16" in chip["units"] else "plain"
    name = re.sub(r"[^a-z0-9]+", "-", chip["name"].lower().replace("(r)", "")).strip("-")
    return HERE / f"results-{name}-{matrix}.json"


def title_of(name: str) -> str:
    """What a table calls it."""
    if name in TITLES:
        return TITLES[name]
    peer = name.removesuffix(BF16)
    return PEERS[peer].title + (" with bf16" if peer != name else "")


def table(results: Mapping[str, Any]) -> str:
    """One line for each, the fastest first."""
    chip = results.get("processor")
    units = f" ({', '.join(chip['units'])})" if chip else ""
    rounds = len(next(iter(results["found"].values()))["runs"])
    counted = f"{rounds} rounds" if rounds > 1 else "one round"
    lines = [
        f"### {chip['name'] if chip else results['machine_name']}{units}, {results['date']}, {counted}",
        "",
        "| | tokens/s | slowest to fastest | s/step | peak memory | loss, norm of step 1 |",
        "|---|---|---|---|---|---|",
    ]
    for name, one in sorted(results["found"].items(), key=lambda pair: -pair[1]["tokens_per_second"]):
        lines.append(
            f"| {title_of(name)} | {one['tokens_per_second']:.0f} | {one['slowest']:.0f} to {one['fastest']:.0f} | "
            f"{one['seconds_per_step']:.1f} | {one['peak_rss_bytes'] / 2**30:.1f} GiB | "
            f"{one['losses'][0]:.3f}, {one['grad_norms'][0]:.4f} |"
        )
    figures = [(name, value) for name, value in results["ratios"].items() if value is not None]
    return (
        "\n".join([*lines, "", "| ratio | |", "|---|---|", *(f"| {name} | {value} |" for name, value in figures)])
        + "\n"
    )


def run_of(name: str, job: Job, binaries: Mapping[str, Path]) -> dict[str, Any]:
    """One training by one of them."""
    if name in OURS:
        return ours(OURS[name], job)
    peer = name.removesuffix(BF16)
    job = replace(job, uses_bf16=peer != name)
    return measure(PEERS[peer].command(job, binaries[peer]), job)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--data", type=Path, default=ALPACA)
    parser.add_argument("names", nargs="*", help="some of: " + ", ".join((*PEERS, *WITH_BF16, *OURS)))
    asked = parser.parse_args()
    names = asked.names or (QUICK if asked.quick else (*PEERS, *WITH_BF16, *OURS))
    binaries = {name: environment(name, peer) for name, peer in PEERS.items() if {name, name + BF16} & set(names)}
    model, rows = api.fetch("smollm2"), rows_of(asked.data, STEP_ROWS * asked.steps)
    tokens = token_counts(model, rows)
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as place:
        for number in range(1 if asked.quick else asked.rounds):
            for name in names:
                job = Job(model, rows, asked.steps, Path(place) / f"{number}-{name}")
                job.folder.mkdir()
                try:
                    run = run_of(name, job, binaries)
                except PeerFailed as fault:  # costs the others nothing
                    print(f"{number} {name}: {fault}", file=sys.stderr, flush=True)
                    continue
                runs[name].append(run)
                rate = sum(tokens[1:]) / sum(run["step_seconds"])
                print(f"{number} {name}: {rate:.0f} tokens/s, {json.dumps(run)}", file=sys.stderr, flush=True)
        fraction = json.loads(
            subprocess.run(
                [sys.executable, str(HERE / "inside.py"), str(asked.data)],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            ).stdout.splitlines()[-1]
        )
    found = {name: summary(of_name, tokens) for name, of_name in runs.items() if of_name}
    chip = processor()
    results = {
        "date": str(date.today()), "processor": chip, **api.environment(),
        "rows": "alpaca" if asked.data.is_file() else "generated",
        "steps": asked.steps, "tokens": tokens, "ratios": ratios(found, fraction["fraction"]), "fraction": fraction, "found": found,
    }  # fmt: skip
    if asked.quick:
        print(json.dumps(results["ratios"]))
        return
    results_path(chip).write_text(json.dumps(results, indent=1) + "\n")
    known = sorted((json.loads(path.read_text()) for path in HERE.glob("results-*.json")), key=lambda one: one["date"])
    readme = HERE / "README.md"
    tables = "\n".join(table(one) for one in reversed(known))
    readme.write_text(readme.read_text().partition("<!-- table -->")[0] + "<!-- table -->\n" + tables)


if __name__ == "__main__":
    main()
