"""How many rows? `python benchmarks/scale/rows.py [--rows 10000 100000 1000000] [--processes 2]`

Generated questions and answers of 40 to 60 tokens, a random model of two blocks with SmolLM2's tokenizer: `tunewright prepare`,
then `tunewright train` for three steps by several processes. Bytes a token are those of the files of encoded rows; seconds to the
first step begin with the command. Memory is that of all processes together, sampled: `anonymous` cannot be given back, `all` adds
what they have mapped of files, shared parts once (PSS). The first step of the fewest rows also waits for measurements that a
machine needs once. Writes rows-*.json and rows.md. Linux; run it on an idle machine.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "speed"))

from run import processor, results_path  # noqa: E402

WORDS = (  # noqa: SIM905
    "red blue old new fast slow small large warm cold quiet loud paper stone water light wood iron glass silk river road house "
    "tree bird fish horse bread salt milk night morning summer winter"
).split()
MARK = "TUNEWRIGHT_BENCHMARK"
EVERY_SECONDS = 0.5
SETS = {"train.max_steps": "3", "train.logging_steps": "1", "eval.rows": "0", "data.holdout": "0.001"}


def write_rows(path: Path, count: int) -> None:
    draw = random.Random(0)
    with path.open("w") as file:
        for number in range(count):
            words = draw.choices(WORDS, k=8)
            row = {"prompt": f"Sort order {number}: {' '.join(words[:4])}", "completion": " ".join(sorted(words))}
            file.write(json.dumps(row) + "\n")


def write_model(folder: Path) -> None:
    """A random model with the tokenizer of the built-in one."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from tunewright import api

    source = Path(api.fetch("smollm2"))
    config = LlamaConfig(
        vocab_size=49152, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=2048, bos_token_id=1, eos_token_id=2, pad_token_id=2,
        tie_word_embeddings=True,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(source / name, folder)


def megabytes(mark: str) -> tuple[int, int]:
    """Of all processes that carry the mark: what is anonymous, and all that they have in memory, shared parts once."""
    anonymous = everything = 0
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if mark not in (folder / "environ").read_text(errors="replace"):
                    continue
                lines = (folder / "smaps_rollup").read_text().splitlines()
            except OSError:
                continue
            sizes = {line.split(":")[0]: int(line.split()[1]) for line in lines[1:]}
            anonymous += sizes["Pss_Anon"]
            everything += sizes["Pss"]
    return anonymous // 1024, everything // 1024


def watched(words: list[str], home: Path) -> tuple[float, tuple[int, int], str]:
    """Seconds, largest memory, and output of a command with everything that it starts."""
    mark = f"{MARK}={os.getpid()}-{time.monotonic_ns()}"
    name, _equals, value = mark.partition("=")
    environment = {**os.environ, name: value, "TUNEWRIGHT_HOME": str(home)}
    command = [sys.executable, "-m", "tunewright", *words]
    started = time.monotonic()
    peak = (0, 0)
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, env=environment, stdout=output)
        while process.poll() is None:
            now = megabytes(mark)
            peak = (max(peak[0], now[0]), max(peak[1], now[1]))
            time.sleep(EVERY_SECONDS)
        output.seek(0)
        if process.returncode:
            sys.exit(process.returncode)
        return time.monotonic() - started, peak, output.read()


def measured(count: int, processes: int, place: Path, model: Path) -> dict[str, Any]:
    data, run = place / f"{count}.jsonl", place / f"run-{count}"
    write_rows(data, count)
    sets = [word for path, text in SETS.items() for word in ("--set", f"{path}={text}")]
    home = place / "home"
    _seconds, memory, text = watched(["prepare", str(model), str(data), "--json", "-q", *sets], home)
    prepared = json.loads(text)
    begun = time.time()
    options = ["--set", f"launch.processes={processes}", "--output", str(run), "--json", "-q"]
    _seconds, training, _text = watched(["train", str(model), str(data), *options, *sets], home)
    lines = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    first = next(line for line in lines if line["kind"] == "log")
    data.unlink()
    return {
        "rows": count,
        "tokens": prepared["tokens"],
        "bytes_per_token": prepared["bytes"] / prepared["tokens"],
        "prepare_seconds": prepared["seconds"],
        "rows_per_second": count / prepared["seconds"],
        "prepare_megabytes": memory,
        "first_step_seconds": first["t"] - begun,
        "train_megabytes": training,
        "loss": first["loss"],
    }


def table(results: dict[str, Any]) -> str:
    chip = results["processor"]
    title = f"{chip['name']}, {results['cores']} cores, {results['date']}, {results['processes']} processes train"
    lines = [
        f"### {title}", "",
        "| rows | tokens | bytes a token | prepare, rows/s | prepare, MB | first step, s | training, MB |",
        "|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for cell in results["cells"]:
        prepare, train = (" / ".join(map(str, cell[name])) for name in ("prepare_megabytes", "train_megabytes"))
        lines.append(
            f"| {cell['rows']:,} | {cell['tokens']:,} | {cell['bytes_per_token']:.2f} | {cell['rows_per_second']:,.0f} "
            f"| {prepare} | {cell['first_step_seconds']:.1f} | {train} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        write_model(place / "model")
        write_rows(place / "few.jsonl", 100)
        watched(
            ["plan", str(place / "model"), str(place / "few.jsonl"), "-q", "--json"], place / "home"
        )  # this machine's speed
        for count in asked.rows:
            cell = measured(count, asked.processes, place, place / "model")
            print(json.dumps(cell), file=sys.stderr, flush=True)
            store(cell, asked.processes)


def store(cell: dict[str, Any], processes: int) -> None:
    """Put a result in the place of an older one of as many rows."""
    chip = processor()
    target = HERE / results_path(chip).name.replace("results-", "rows-")
    old = json.loads(target.read_text())["cells"] if target.exists() else []
    known = {one["rows"]: one for one in (*old, cell)}
    results = {
        "date": str(date.today()), "processor": chip, "cores": len(os.sched_getaffinity(0)), "processes": processes,
        "cells": [known[count] for count in sorted(known)],
    }  # fmt: skip
    target.write_text(json.dumps(results, indent=1) + "\n")
    tables = [table(json.loads(path.read_text())) for path in sorted(HERE.glob("rows-*.json"))]
    (HERE / "rows.md").write_text("# Many rows\n\n" + __doc__.partition("\n")[2].strip() + "\n\n" + "\n".join(tables))


if __name__ == "__main__":
    main()
