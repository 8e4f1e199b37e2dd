"""How fast beside transformers' own server? `python benchmarks/deploy/peers.py RUN [--rounds 5] [--rows 24]`

`tunewright serve RUN` and `transformers serve` of the same run, merged, with and without continuous batching, in turns, each
alone on the machine: the same prompts of the run's held-out rows, greedy, by one client and by eight; written tokens per
second, seconds until the server answers, and the memory of its processes. Results go to peers.json.
"""

import argparse
import asyncio
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import psutil
from clients import Target, ask_all
from serve import measured_on, prompts_of, summary

from tunewright import api
from tunewright.rundir import atomic_io

RESULTS = Path(__file__).parent / "peers.json"
READY_SECONDS = 120.0
CB_BLOCKS = "64"  # continuous batching takes all memory of the machine unless it is told how many blocks of cache


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ours(run: api.TrainedRun, merged: Path, port: int) -> list[str]:
    return [sys.executable, "-m", "tunewright", "serve", str(run.path), "--port", str(port)]


def theirs(run: api.TrainedRun, merged: Path, port: int) -> list[str]:
    script = Path(sys.executable).with_name("transformers")
    start = [str(script)] if script.is_file() else [sys.executable, "-m", "transformers.cli.transformers"]
    return [
        *start,
        "serve",
        str(merged),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--device",
        "cpu",
        "--dtype",
        "float32",
    ]


def theirs_batched(run: api.TrainedRun, merged: Path, port: int) -> list[str]:
    batching = ["--continuous-batching", "--attn-implementation", "sdpa", "--cb-num-blocks", CB_BLOCKS]
    return [*theirs(run, merged, port), *batching]


SERVERS = {
    "tunewright serve": ours,
    "transformers serve": theirs,
    "transformers serve, continuous batching": theirs_batched,
}


@contextmanager
def running(command: Sequence[str], port: int) -> Iterator[tuple[psutil.Process, float]]:
    """A server and the seconds until it answered."""
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            while True:
                try:
                    if httpx2.get(f"http://127.0.0.1:{port}/health", trust_env=False).status_code == 200:
                        break
                except httpx2.TransportError:
                    time.sleep(0.05)
                if process.poll() is not None or time.perf_counter() - started > READY_SECONDS:
                    raise RuntimeError(f"it does not answer: {' '.join(command)}")
            yield psutil.Process(process.pid), time.perf_counter() - started
        finally:
            process.terminate()
            process.wait(30)


def tree_bytes(server: psutil.Process) -> int:
    return sum(each.memory_full_info().pss for each in [server, *server.children(recursive=True)])


def measured(name: str, run: api.TrainedRun, merged: Path, prompts: Sequence[Any]) -> dict[str, Any]:
    port = free_port()
    with running(SERVERS[name](run, merged, port), port) as (server, ready):
        model = run.name if name.startswith("tunewright") else str(merged)
        target = Target(f"http://127.0.0.1:{port}", "none", model)
        asyncio.run(ask_all(target, prompts[:2], 1))
        results: dict[str, Any] = {"ready_seconds": round(ready, 2)}
        for clients in (1, 8):
            outcome = asyncio.run(ask_all(target, prompts, clients))
            results[f"{clients} clients"] = {**summary(outcome), "statuses": outcome.statuses}
        results["memory_bytes"] = tree_bytes(server)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=24)
    asked = parser.parse_args()
    run = api.open_run(asked.run)
    prompts = prompts_of(run, asked.rows)
    rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in SERVERS}
    with tempfile.TemporaryDirectory() as folder:
        merged = Path(folder) / "merged"
        run.merge(merged)
        run.close()
        for number in range(asked.rounds):
            for name in SERVERS if number % 2 else reversed(SERVERS):
                rounds[name].append(measured(name, run, merged, prompts))
                print(name, json.dumps(rounds[name][-1]), flush=True)
    middle = {
        name: {
            "ready_seconds": statistics.median(each["ready_seconds"] for each in results),
            "memory_bytes": statistics.median(each["memory_bytes"] for each in results),
            **{
                clients: statistics.median(each[clients]["tokens_per_second"] for each in results)
                for clients in ("1 clients", "8 clients")
            },
        }
        for name, results in rounds.items()
    }
    atomic_io.write_json(RESULTS, {**measured_on(), "rows": asked.rows, "middle": middle, "rounds": rounds})
    print(json.dumps(middle, indent=1))


if __name__ == "__main__":
    main()
