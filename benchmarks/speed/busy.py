"""What is left of the speed beside programs that compute without pause? `python benchmarks/speed/busy.py [--steps 3] [NAMES]`

The same rows and settings as in run.py, with 0, 1 and 2 foreign processes of one thread each, in turns. Writes busy-*.json and
BUSY.md after each; names that are not given keep what is known of them. A fair scheduler would leave a program of two threads on
two cores two thirds of them beside one neighbour, and a half beside two. Linux; run it on an otherwise idle machine.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from peers import PEERS, Job
from run import (
    ALPACA,
    HERE,
    OURS,
    STEP_ROWS,
    environment,
    processor,
    results_path,
    rows_of,
    run_of,
    title_of,
    token_counts,
)

from tunewright import api

NAMES = ("ours", "llama_factory", "trl")
NEIGHBOURS = (0, 1, 2)


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    """Programs that compute without pause, for as long as the block lasts."""
    programs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


def table(results: dict[str, object]) -> str:
    """Tokens a second, and the share of the idle speed."""
    chip, rates = results["processor"], results["tokens_per_second"]
    assert isinstance(chip, dict) and isinstance(rates, dict)
    lines = [
        f"### {chip['name']} ({', '.join(chip['units'])}), {results['date']}",
        "",
        "| tokens/s (share of idle) | idle | 1 neighbour | 2 neighbours |",
        "|---|---|---|---|",
    ]
    for name, of_name in rates.items():
        cells = [f"{rate:.0f} ({rate / of_name['0']:.2f})" for rate in of_name.values()]
        cells += ["–"] * (len(NEIGHBOURS) - len(cells))
        lines.append(f"| {title_of(name)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def keep(steps: int, rates: Mapping[str, Mapping[str, float]]) -> None:
    """Write what is measured so far, beside what was known of other programs on this kind of processor."""
    chip = processor()
    path = results_path(chip)
    path = path.with_name(path.name.replace("results", "busy"))
    known = json.loads(path.read_text())["tokens_per_second"] if path.is_file() else {}
    results = {"date": str(date.today()), "processor": chip, "steps": steps, "tokens_per_second": known | rates}
    path.write_text(json.dumps(results, indent=1) + "\n")
    every = sorted((json.loads(one.read_text()) for one in HERE.glob("busy-*.json")), key=lambda one: one["date"])
    tables = "\n".join(map(table, reversed(every)))
    (HERE / "BUSY.md").write_text(
        f"# Beside other programs\n\n{(__doc__ or '').partition(chr(10))[2].strip()}\n\n{tables}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("names", nargs="*", default=NAMES)
    asked = parser.parse_args()
    binaries = {name: environment(name, PEERS[name]) for name in asked.names if name not in OURS}
    model, rows = api.fetch("smollm2"), rows_of(ALPACA, STEP_ROWS * asked.steps)
    tokens = token_counts(model, rows)
    rates: dict[str, dict[str, float]] = {name: {} for name in asked.names}
    with tempfile.TemporaryDirectory() as place:
        for count in NEIGHBOURS:
            for name in asked.names:
                job = Job(model, rows, asked.steps, Path(place) / f"{count}-{name}")
                job.folder.mkdir()
                with neighbours(count):
                    done = run_of(name, job, binaries)
                rates[name][str(count)] = sum(tokens[1:]) / sum(done["step_seconds"])
                print(f"{count} {name}: {rates[name][str(count)]:.0f} tokens/s", file=sys.stderr, flush=True)
                keep(asked.steps, rates)


if __name__ == "__main__":
    main()
