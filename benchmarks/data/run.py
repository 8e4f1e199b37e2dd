"""How much memory and time does a check of much data take? `python benchmarks/data/run.py MEGABYTES...`

For each size a file of conversations is written into a temporary folder (every row another, one in 1,000 damaged, one in 500
a repetition) and `tunewright data check` reads it in a process of its own. Results go to results.json beside this file, with
machine and versions. Run on an idle machine; the built-in model's tokenizer must be here (`tunewright doctor --fetch smollm2`).
"""

import json
import os
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

from tunewright import api

RESULTS = Path(__file__).parent / "results.json"
DAMAGED, REPEATED = 1000, 500
WORDS = (
    "please",
    "send",
    "the",
    "large",
    "green",
    "box",
    "with",
    "four",
    "lamps",
    "and",
    "a",
    "note",
    "about",
    "our",
    "last",
)


def write_rows(path: Path, megabytes: int) -> int:
    """Conversations of about 1,000 bytes, until the file has its size; how many there are."""
    number, size = 0, 0
    with path.open("w", encoding="utf-8") as file:
        while size < megabytes * 10**6:
            number += 1
            line = "{half a row" if number % DAMAGED == 0 else row(number - number % REPEATED // (REPEATED - 1))
            size += file.write(line + "\n")
    return number


def row(number: int) -> str:
    """A conversation that no other number has."""
    turned = number % len(WORDS)
    words = " ".join(5 * (WORDS[turned:] + WORDS[:turned]))
    turns = [
        {"role": "system", "content": "Answer the customers of a shop, briefly."},
        {"role": "user", "content": f"Order {number}: {words}."},
        {"role": "assistant", "content": f"Order {number} is noted; {words}."},
    ]
    return json.dumps({"messages": turns})


def check(path: Path) -> tuple[dict[str, int], float, int]:
    """The account of a check, its seconds, and the most memory that its process had."""
    argv = [sys.executable, "-m", "tunewright", "data", "check", str(path), "--skip-bad", "--json"]
    started = time.perf_counter()
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.read())
        _pid, _status, usage = os.wait4(process.pid, 0)
        process.returncode = 0
    return told["account"], time.perf_counter() - started, usage.ru_maxrss * 1024


def main(sizes: list[int]) -> None:
    measured = []
    with TemporaryDirectory() as folder:
        for megabytes in sizes:
            path = Path(folder) / "rows.jsonl"
            rows = write_rows(path, megabytes)
            account, seconds, peak = check(path)
            assert account["rows"] == rows
            measured.append({
                "megabytes": megabytes, "rows": rows, "seconds": round(seconds, 1), "rows_per_second": round(rows / seconds),
                "peak_rss_bytes": peak, "dropped": account["dropped"], "duplicates": account["counts"]["duplicate"],
            })  # fmt: skip
            print(json.dumps(measured[-1]), flush=True)
    RESULTS.write_text(
        json.dumps({"date": str(date.today()), **api.environment(), "checks": measured}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or [10, 100, 1000])
