"""What does the front cost, and does it hold? `python benchmarks/deploy/serve.py cost|soak RUN [--rounds 5] [--rows 48]`

`cost`: the same prompts of the run's held-out rows, greedy, to bare llama.cpp and to the front before the very same engine, one
after the other in turns, by one client and by eight, whole and streamed. `soak`: 1,000 requests by eight clients, a tenth of
them hangs up, the engine is killed once in the middle; memory of both processes, what every request was answered, children
that are left. Results go to serve.json. Only the loopback interface is used.
"""

import argparse
import asyncio
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import psutil
from clients import Outcome, Target, ask_all

from tunewright import api
from tunewright.rundir import atomic_io

RESULTS = Path(__file__).parent / "serve.json"
SOAK_REQUESTS = 1000
HANG_UP = 0.1


def prompts_of(run: api.TrainedRun, count: int) -> list[list[dict[str, str]]]:
    """Prompts of the held-out rows, as the run was trained on them; from the beginning again where there are fewer."""
    questions = [sample.prompt for sample in run.dir.samples("after")]
    turns = [run.as_prompt(question) for question in questions]
    return [[dict(turn) for turn in turns[number % len(turns)]] for number in range(count)]


def summary(outcome: Outcome) -> dict[str, object]:
    return {
        "tokens_per_second": round(outcome.tokens / outcome.wall_seconds, 2),
        "requests_per_second": round(len(outcome.seconds) / outcome.wall_seconds, 3),
        "median_seconds": round(statistics.median(outcome.seconds), 4),
        "median_first_seconds": round(statistics.median(outcome.first_seconds), 4) if outcome.first_seconds else None,
        "tokens": outcome.tokens,
    }


def cost(run: api.TrainedRun, rounds: int, rows: int) -> dict[str, object]:
    """Front against bare engine. Every round asks both, the order changes with each round."""
    prompts = prompts_of(run, rows)
    cases: dict[str, dict[str, list[Any]]] = {}
    equal = 0
    with api.serve(run) as served:
        engine = served.front.front.backend.engine
        lora = [{"id": number, "scale": float(number == 0)} for number in range(len(engine.model.adapters))]
        bare = Target(engine.url, engine.key, "any", lora)
        front = Target(served.url, "none", run.name)
        asyncio.run(ask_all(bare, prompts[:8], 8))  # the first requests are slower
        for number in range(rounds):
            for clients in (1, 8):
                for stream in (False, True):
                    pair = [("bare", bare), ("front", front)]
                    outcomes = {}
                    for name, target in pair if number % 2 else reversed(pair):
                        outcomes[name] = asyncio.run(ask_all(target, prompts, clients, stream=stream))
                        case = cases.setdefault(f"{clients} client{'s' * (clients > 1)}{', streamed' * stream}", {})
                        case.setdefault(name, []).append(summary(outcomes[name]))
                    equal += outcomes["bare"].texts == outcomes["front"].texts
        memory = {"front": psutil.Process().memory_info().rss, "engine": psutil.Process(engine.pid).memory_info().rss}
    shares = {
        name: statistics.median(
            f["tokens_per_second"] / b["tokens_per_second"] for f, b in zip(case["front"], case["bare"], strict=True)
        )
        for name, case in cases.items()
    }
    return {
        "rounds": rounds, "rows": rows, "cases": cases, "front_share_of_bare": {n: round(s, 4) for n, s in shares.items()},
        "rounds_with_equal_texts": f"{equal} of {4 * rounds}", "memory_bytes": memory,
    }  # fmt: skip


@contextmanager
def server(run: api.TrainedRun) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any], float]]:
    """`tunewright serve` as people start it: the process, what it says when it is ready, after how many seconds."""
    words = [sys.executable, "-m", "tunewright", "serve", str(run.path), "--port", "0", "--json"]
    started = time.perf_counter()
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        ready = json.loads(process.stdout.readline())
        yield process, ready, time.perf_counter() - started
        process.send_signal(signal.SIGINT)
        process.wait(20)


def soak(run: api.TrainedRun, requests: int) -> dict[str, object]:
    """A thousand requests with everything that goes wrong."""
    prompts = prompts_of(run, requests)
    with server(run) as (process, ready, ready_seconds):
        parent = psutil.Process(process.pid)
        target = Target(ready["url"], "none", run.name)
        asyncio.run(ask_all(target, prompts[:16], 8))
        memory: list[tuple[float, int, int]] = []
        has_ended, killed = threading.Event(), []
        started = time.perf_counter()

        def watch() -> None:
            while not has_ended.wait(1.0):
                children = parent.children()
                engine = sum(_rss(child) for child in children)
                memory.append((round(time.perf_counter() - started, 1), parent.memory_info().rss, engine))
                if not killed and outcome_so_far() > requests // 2:
                    killed.extend(child.pid for child in children)
                    for pid in killed:
                        os.kill(pid, signal.SIGKILL)

        progress: list[Outcome] = []

        def outcome_so_far() -> int:
            return sum(sum(outcome.statuses.values()) for outcome in progress)

        watcher = threading.Thread(target=watch)
        watcher.start()
        total = Outcome()
        for start in range(0, requests, 50):  # so that the watcher knows how far it is
            part = asyncio.run(
                ask_all(
                    target,
                    prompts[start : start + 50],
                    8,
                    hang_up=HANG_UP,
                    retries=3,
                    seed=start,
                    stream=start % 100 == 0,
                )
            )
            progress.append(part)
            for status, count in part.statuses.items():
                total.statuses[status] = total.statuses.get(status, 0) + count
            total.tokens += part.tokens
            total.seconds += part.seconds
        has_ended.set()
        watcher.join()
        wall = time.perf_counter() - started
        tree = [process.pid, *(child.pid for child in parent.children(recursive=True))]
    left = [pid for pid in tree if psutil.pid_exists(pid)]
    return {
        "requests": requests, "wall_seconds": round(wall, 1), "ready_seconds": round(ready_seconds, 2),
        "statuses": total.statuses, "engine_kills": len(killed), "exit_code": process.returncode, "children_left": len(left),
        "median_seconds": round(statistics.median(total.seconds), 3), "max_seconds": round(max(total.seconds), 3),
        "memory": _course(memory),
    }  # fmt: skip


def _rss(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.NoSuchProcess:
        return 0


def _course(memory: Sequence[tuple[float, int, int]]) -> list[dict[str, float]]:
    """Eleven places of the course: seconds, MiB of front and engine."""
    places = [memory[round(share * (len(memory) - 1) / 10)] for share in range(11)]
    return [{"seconds": t, "front_mib": round(f / 2**20, 1), "engine_mib": round(e / 2**20, 1)} for t, f, e in places]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("cost", "soak"))
    parser.add_argument("run")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=48)
    parser.add_argument("--requests", type=int, default=SOAK_REQUESTS)
    asked = parser.parse_args()
    run = api.open_run(asked.run)
    measured = cost(run, asked.rounds, asked.rows) if asked.what == "cost" else soak(run, asked.requests)
    stored = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    stored[asked.what] = {**measured_on(), **measured}
    atomic_io.write_json(RESULTS, stored)
    print(json.dumps({key: value for key, value in stored[asked.what].items() if key != "cases"}, indent=1))


def measured_on() -> dict[str, Any]:
    """When, on what, and beside how much else."""
    return {
        "date": date.today().isoformat(),
        "processor": processor(),
        "load": [round(x, 1) for x in os.getloadavg()],
    }


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return f"{name}, {len(os.sched_getaffinity(0))} cores"


if __name__ == "__main__":
    main()
