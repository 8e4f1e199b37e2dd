"""A run of very many steps: its page stays small, and its events are read once for all who look."""

import json
import math
from collections.abc import Callable
from time import perf_counter

from starlette.testclient import TestClient

from tests.unit.report.conftest import START, Story
from tunewright.rundir import file_names

STEPS = 30_000
SIZE = 100_000  # bytes


def test_the_curve_of_a_long_run_is_small_and_read_once(browser: TestClient, start: Callable[..., Story]) -> None:
    run = start().run
    with run.file(file_names.EVENTS).open("a") as file:
        for step in range(1, STEPS + 1):
            loss = 0.35 + 3 * math.exp(-step / 5000) + 0.07 * math.sin(step * 2.3)
            measured = {"loss": loss, "learning_rate": 1e-4 * (1 - step / STEPS), "grad_norm": 0.8, "max_steps": STEPS}
            speed = {"tokens_per_second": 288.4, "rss_bytes": 2**31, "eta_seconds": 1.7 * (STEPS - step)}
            head = {"schema": 1, "seq": step + 10, "t": START + step, "step": step, "kind": "log"}
            file.write(json.dumps(head | measured | speed) + "\n")
    first = seconds(lambda: browser.get(f"/runs/{run.name}"))
    assert seconds(lambda: browser.get(f"/runs/{run.name}/curve")) < first / 2
    answer = browser.get(f"/runs/{run.name}/curve")
    curve = answer.json()["loss"]
    assert 1000 < len(curve["steps"]) <= 2000 and curve["steps"][-1] == STEPS
    assert len(answer.content) < SIZE
    assert len(browser.get(f"/compare?run={run.name}").content) < 2 * SIZE


def seconds(work: Callable[[], object]) -> float:
    begun = perf_counter()
    work()
    return perf_counter() - begun
