"""How long until the first step? `python benchmarks/quickstart/start.py DATA [PYTHON]` starts each run twice: start-DATA.json.

Small data are those of the quickstart; large ones 20,000 generated rows with the plan's own settings, of which 100 are held out
and 16 answered, so that it is the rows that count. Each pair has a home of
its own, in which only the model lies; seconds count from the command to the begin of training, and to the end of step 1. Then
the run is stopped. With PYTHON, that of another checkout, its runs alternate with ours.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from tunewright import api
from tunewright.data import demo_data
from tunewright.inspection.machine_info import processor
from tunewright.security import home

FOLDER = Path(__file__).parent
LARGE_ROWS = 20_000
FEW_ANSWERS = ("--set", "data.holdout=0.005", "--set", "eval.rows=16", "--set", "data.max_duplicates=1")
WAIT_SECONDS = 900


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", choices=["small", "large"])
    parser.add_argument("python", nargs="?", help="python of a checkout to compare with")
    asked = parser.parse_args(arguments)
    pythons = {"this": sys.executable, **({"other": asked.python} if asked.python else {})}
    starts = []
    with tempfile.TemporaryDirectory() as folder:
        rows = [] if asked.data == "small" else ["train", "smollm2", str(_large_rows(Path(folder))), *FEW_ANSWERS]
        homes = {name: _new_home(Path(folder) / name) for name in pythons}
        for attempt in ("first", "second"):
            for name, python in pythons.items():
                seconds = _start(python, rows or ["quickstart"], homes[name])
                starts.append({"checkout": name, "run": attempt, **seconds})
                print(json.dumps(starts[-1]), flush=True)
    threads = os.environ.get("OMP_NUM_THREADS")
    machine = {"date": str(date.today()), "processor": processor(), **api.environment(), "threads": threads}
    results = FOLDER / f"start-{asked.data}.json"
    results.write_text(json.dumps({**machine, "starts": starts}, indent=1) + "\n")


def _large_rows(folder: Path) -> Path:
    path = folder / "rows.jsonl"
    rows = map(demo_data.as_messages, demo_data.generate("train", LARGE_ROWS, 3))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _new_home(folder: Path) -> Path:
    """A home with this machine's models and nothing else; a run's folder beside it."""
    folder.mkdir()
    shutil.copytree(home() / "models", folder / "home" / "models")
    return folder


def _start(python: str, command: Sequence[str], folder: Path) -> dict[str, object]:
    """Start a run in the background, wait for the end of its first step, and stop it."""
    environment = {**os.environ, "TUNEWRIGHT_HOME": str(folder / "home")}
    known = set(folder.glob("runs/*"))
    begun = time.time()
    subprocess.run(
        [python, "-m", "tunewright", *command, "--detach", "--force", "--quiet"],
        cwd=folder,
        env=environment,
        check=True,
    )
    detached = time.time()
    (run,) = set(folder.glob("runs/*")) - known
    train, step = _wait(run / "events.jsonl")
    subprocess.run(
        [python, "-m", "tunewright", "runs", "stop", run.name, "--now"], cwd=folder, env=environment, check=True
    )
    return {
        "command": round(detached - begun, 1),
        "training_begins": round(train - begun, 1),
        "step_1_ends": round(step - begun, 1),
        **_phases(run / "events.jsonl"),
    }


def _events(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def _wait(path: Path) -> tuple[float, float]:
    """When training began, and when its first step had ended."""
    deadline = time.time() + WAIT_SECONDS
    while time.time() < deadline:
        events = _events(path)
        first = next((event["t"] for event in events if event["kind"] == "log"), None)
        begin = next((event["t"] for event in events if event.get("phase") == "train"), None)
        if first and begin:
            return float(begin), float(first)
        time.sleep(0.1)
    raise SystemExit(f"{path}: no step within {WAIT_SECONDS} s")


def _phases(path: Path) -> dict[str, float]:
    """Seconds of the worker's phases before training."""
    ends = [event for event in _events(path) if event["kind"] == "phase" and event.get("state") == "end"]
    return {str(event["phase"]): float(event["seconds"]) for event in ends if event["phase"] != "train"}


if __name__ == "__main__":
    main(sys.argv[1:])
