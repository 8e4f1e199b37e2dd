"""The parent of a run: `python -m tunewright.flow.supervise RUN`. Torch-free, one for each live run.

Only a parent sees the signal its child died of, so only it can say that memory ran out; and it goes on when the terminal
is closed. It alone writes run.json. If it is killed itself, the worker goes on to its end.
"""

import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from filelock import FileLock, Timeout

from tunewright.catalogue import EXIT_INTERRUPTED, EXIT_TERMINATED
from tunewright.compare.report import write_report
from tunewright.errors import Problem, error
from tunewright.facts.machine import read_machine
from tunewright.runs import durable, layout
from tunewright.runs.store import RunDir, process_record
from tunewright.trust import command, spawn

NOW = 2  # requests to stop that mean: at once

WORKER_ENVIRONMENT = {
    # glibc gives large blocks back to the kernel and gets them anew, page by page, on every step; kept blocks made
    # training and writing answers about a quarter faster (2-core virtual machine, Linux x86-64).
    "MALLOC_MMAP_THRESHOLD_": str(2**32),
    "MALLOC_TRIM_THRESHOLD_": str(2**34),
    "MALLOC_TOP_PAD_": str(2**28),
    # oneDNN and what stands between it and torch keep code for each shape of a product, about a megabyte: with their 1,024
    # places a run over rows of all lengths took 7 GiB instead of 2. A micro-batch has about a hundred shapes.
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "128",
    "LRU_CACHE_CAPACITY": "128",
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "USE_HUB_KERNELS": "NO",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "true",
    "PYTHONUNBUFFERED": "1",
}


@dataclass
class Parent:
    """One worker at a time, from its start to the state of the run that its end means."""

    run: RunDir

    def __post_init__(self) -> None:
        self.stops = 0
        self.known_events = 0
        self.worker: Any = None

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """The first request passes on to the worker, which saves; the second, or SIGUSR1, ends it."""
        self.stops = NOW if number == signal.SIGUSR1 else self.stops + 1
        if self.worker is not None and self.worker.poll() is None:
            self.worker.send_signal(signal.SIGTERM if self.stops < NOW else signal.SIGKILL)

    def supervise(self) -> int:
        """Start the worker, wait for it, write what became of the run; the worker's exit code."""
        durable.sweep(self.run.path)
        durable.sweep(self.run.checkpoints_dir)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            signal.signal(number, self.on_signal)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self.known_events = len(self.run.read_events())
        with self.run.file(layout.LOG).open("ab") as log:
            self.worker = spawn(
                command("tunewright.engine.worker", str(self.run.path)),
                stdout=log, stderr=log, environment=WORKER_ENVIRONMENT | first_gpu(),
            )  # fmt: skip
        if self.stops:
            self.worker.send_signal(signal.SIGTERM if self.stops < NOW else signal.SIGKILL)
        parent, worker = process_record(os.getpid()), process_record(self.worker.pid)
        self.run.update_info(state="preparing", parent=parent, worker=worker, started=time.time())
        code = self._wait()
        self.run.update_info(**self._end(code))
        write_report(self.run)
        return code

    def _wait(self) -> int:
        """Wait for the worker; the state follows its events."""
        tail, state = self.run.tail(), "preparing"
        tail.read()
        while True:
            code = self.worker.poll()
            kinds = {(event["kind"], event.get("phase")) for event in tail.read()}
            wanted = (
                "stopping" if self.stops else "running" if ("phase", "load") in kinds or state == "running" else state
            )
            if wanted != state and code is None:
                state = wanted
                self.run.update_info(state=state)
            if code is not None:
                return int(code)
            time.sleep(0.1)

    def _end(self, code: int) -> dict[str, Any]:
        """State, exit code, result and problems of a run whose worker has ended."""
        events = self.run.read_events()[self.known_events :]
        last = events[-1] if events else {"kind": "", "step": 0}
        base = {"ended": time.time(), "worker": None}
        if code == 0 and last["kind"] == "done":
            return {**base, "state": "finished", "exit_code": 0, "result": last["result"], "problems": []}
        if last["kind"] == "failed":
            state = "stopped" if last["exit_code"] in (EXIT_INTERRUPTED, EXIT_TERMINATED) else "failed"
            return {**base, "state": state, "exit_code": last["exit_code"], "problems": last["problems"]}
        if self.stops and code < 0:
            problem = Problem("E509", values={"step": last["step"], "name": self.run.name})
            return {**base, "state": "stopped", "exit_code": problem.entry.exit_code, "problems": [problem.to_record()]}
        problem = self._cause(code, events)
        return {**base, "state": "failed", "exit_code": problem.entry.exit_code, "problems": [problem.to_record()]}

    def _cause(self, code: int, events: list[dict[str, Any]]) -> Problem:
        step = events[-1]["step"] if events else 0
        if code == -signal.SIGKILL:
            peak = max((event["rss_bytes"] for event in events if event["kind"] == "log"), default=0)
            total = read_machine(self.run.path).memory_bytes
            values = {"step": step, "peak": _gib(peak), "total": _gib(total), "name": self.run.name}
            return Problem("E402", values=values)
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return Problem("E506", values={"how": how, "log": str(self.run.file(layout.LOG)), "name": self.run.name})


def first_gpu() -> dict[str, str]:
    """One process computes on one GPU: without a launcher, transformers would spread it over all that it sees."""
    return {"CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]}


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"


def main() -> None:
    """Entry of the process: own the run's lock, then see the run through."""
    run = RunDir(Path(sys.argv[1]))
    try:
        with FileLock(run.file(layout.LOCK), timeout=0):
            sys.exit(abs(Parent(run).supervise()))
    except Timeout:
        sys.exit(error("E505", pid="?", name=run.name).exit_code)


if __name__ == "__main__":
    main()
