"""Does what is exported answer as its run, and what does an export cost? `python benchmarks/deploy/agree.py RUN [RUN...]`

Each run is exported in each form, by the command that people use, and compared on all its held-out rows. Seconds are those of
writing; memory is the most that the command, its session and the converter held together, mapped pages counted once (PSS).
K-types and 4 bits need the extra `kquants`. Results go to agree.json, the table to standard output.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import psutil
from serve import measured_on

from tunewright import api
from tunewright.rundir import atomic_io

RESULTS = Path(__file__).parent / "agree.json"
FORMS = {
    "f32": ("--quant", "f32"),
    "f16": ("--quant", "f16"),
    "q8_0": ("--quant", "q8_0"),
    "q4_k_m": ("--quant", "q4_k_m"),
    "q4_0": ("--quant", "q4_0"),
    "LoRA on f16": ("--as", "adapter", "--quant", "f16"),
    "LoRA on the original": ("--as", "adapter"),
}
EVERY_SECONDS = 0.25


def memory_of(process: subprocess.Popen[str], peak: list[int], has_ended: threading.Event) -> None:
    """Watches a tree of processes; the largest sum is left in `peak`."""
    while not has_ended.wait(EVERY_SECONDS):
        total = 0
        try:
            for each in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]:
                total += each.memory_full_info().pss
        except psutil.Error:
            continue
        peak[0] = max(peak[0], total)


def exported(run: api.TrainedRun, words: tuple[str, ...], rows: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "out"
        command = [
            sys.executable,
            "-m",
            "tunewright",
            "export",
            str(run.path),
            "--to",
            "gguf",
            "-o",
            str(target),
            *words,
        ]
        process = subprocess.Popen(
            [*command, "--rows", str(rows), "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        peak, has_ended = [0], threading.Event()
        watcher = threading.Thread(target=memory_of, args=(process, peak, has_ended))
        watcher.start()
        out, err = process.communicate()
        has_ended.set()
        watcher.join()
        if process.returncode not in (0, 8):
            return {"refused": err.strip().splitlines()[-3:]}
        failed = target.with_name("out.failed")
        proof = json.loads(((failed if process.returncode else target) / "proof.json").read_text())
        answer = json.loads(out) if process.returncode == 0 else {}
    fields = ("outcome", "held", "total", "figures")
    checks = {check["name"]: {name: check[name] for name in fields if name in check} for check in proof["checks"]}
    return {
        "exit_code": process.returncode, "bytes": answer.get("bytes"), "seconds": answer.get("seconds"), "peak_bytes": peak[0],
        "proof_seconds": proof["seconds"], "rows": proof["compared_rows"],
        "checks": checks,
    }  # fmt: skip


def line(run: str, form: str, result: dict[str, Any]) -> str:
    if "refused" in result:
        return f"| {run} | {form} | {' '.join(result['refused'])} |"
    checks = result["checks"]
    counts = " | ".join(
        f"{checks[name]['held']}/{checks[name]['total']}" for name in ("template", "ids", "end", "answers")
    )
    ties, logits, score = (checks[name]["figures"] for name in ("answers", "logits", "score"))
    interval = f"{score['score']:.3f} ({score['low']:.3f} to {score['high']:.3f}), run {score['run_score']:.3f}"
    size, seconds = (result["bytes"] or 0) / 1e6, result["seconds"] or 0.0
    cost = f"{size:.0f} MB | {seconds:.1f} s | {result['peak_bytes'] / 1e9:.2f} GB"
    gaps = f"{logits['mean_gap']:.3f}, {logits['largest_gap']:.2f}"
    return f"| {run} | {form} | {counts} | {ties.get('ties', 0):.0f} | {gaps} | {interval} | {cost} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--rows", type=int, default=120)
    parser.add_argument("--forms", default=",".join(FORMS))
    asked = parser.parse_args()
    stored = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    for name in asked.runs:
        run = api.open_run(name)
        seed = f"seed {run.dir.info().seeds['seed']}"
        for form in asked.forms.split(","):
            about = measured_on()
            result = exported(run, FORMS[form], asked.rows)
            stored.setdefault(seed, {})[form] = {**about, **result}
            atomic_io.write_json(RESULTS, stored)
            print(line(seed, form, result), flush=True)


if __name__ == "__main__":
    main()
