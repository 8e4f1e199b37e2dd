"""How quick are the studio's pages, and what does it cost to have them open? `python benchmarks/studio/run.py`

A server of its own, over runs made of files; times are those of the wall clock unless CPU is said, the middle of several.
Browser times are the browser's own (`performance`). Data and plan are of the built-in model, which must be here
(`tunewright doctor --fetch smollm2`); a run of it trains with and without its page open, in turns. Results go to results.json,
each with the target that it is held to. About five minutes; run it on an idle machine.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from datetime import date
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlencode

import psutil
from playwright.sync_api import Page, expect

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.load.run import write_run
from tests.browser import chromium
from tests.browser.site import RUNNING, Server, fill, serving
from tunewright.data import demo_data
from tunewright.inspection import machine_info
from tunewright.inspection.builtin_models import DEFAULT_MODEL
from tunewright.rundir.run_dir import RunDir
from tunewright.security.paths import home

RESULTS = Path(__file__).parent / "results.json"
RUNS, EVENTS, STEPS, ANSWERS = 100, 100_000, 100, 20
TRIES = 7
IDLE_SECONDS, WATCHED_RUNS = 20.0, 5
ROWS, FEW_ROWS, RANKS = 10_000, 400, (4, 16, 8, 64, 32, 128)
PART = {"hx-request": "true"}
PLANNED = b"/plan/alternatives"  # is asked for only where there is a plan
TRAINED_STEPS, TRAINED_ROUNDS = 20, 3
MIB = 2**20
SEEN = """text => {
  new MutationObserver((_, observer) => {
    const now = document.querySelector("#status dl.costs dd");
    if (now.textContent === text) { window.seen = Date.now() / 1000; observer.disconnect(); }
  }).observe(document.getElementById("status"), { subtree: true, childList: true, characterData: true });
}"""


class Client:
    """A browser's requests without a browser."""

    def __init__(self, server: Server) -> None:
        cookie = f"{server.keys.cookie_name}={server.keys.cookie}"
        self.server, self.headers = server, {"cookie": cookie, "accept-language": "en", "origin": server.origin}

    def get(self, path: str, form: Mapping[str, str] | None = None) -> tuple[float, float, bytes]:
        """Seconds to the first byte and to the last, and the answer, to a part of a form if one is sent. Raises: AssertionError"""
        connection = HTTPConnection("127.0.0.1", self.server.port)
        connection.connect()
        begun = time.perf_counter()
        if form is None:
            connection.request("GET", path, headers=self.headers)
        else:
            headers = {**self.headers, **PART, "content-type": "application/x-www-form-urlencoded"}
            connection.request("POST", path, urlencode(form), headers)
        answer: HTTPResponse = connection.getresponse()
        first = time.perf_counter() - begun
        body = answer.read()
        assert answer.status == 200, (path, answer.status, body)
        connection.close()
        return first, time.perf_counter() - begun, body

    def bring(self, path: str) -> str:
        """The address of the page of data that lie in the server's folder. Raises: AssertionError"""
        connection = HTTPConnection("127.0.0.1", self.server.port)
        headers = {**self.headers, "content-type": "application/x-www-form-urlencoded"}
        connection.request("POST", "/data/path", urlencode({"path": path}), headers)
        answer = connection.getresponse()
        assert answer.status == 303, answer.read()
        connection.close()
        return answer.headers["location"]

    @contextmanager
    def watching(self, path: str) -> Iterator[None]:
        """A stream that is read for as long as this lasts, as by a page on another machine."""
        connection = HTTPConnection("127.0.0.1", self.server.port)
        connection.request("GET", path, headers=self.headers)
        answer = connection.getresponse()
        assert answer.status == 200, (path, answer.status)
        reader = threading.Thread(target=lambda: all(answer.fp), daemon=True)
        reader.start()
        yield
        assert reader.is_alive()  # else it was not watched to the end
        connection.close()


def process_of(server: Server) -> psutil.Process:
    assert server.process
    return psutil.Process(server.process.pid)


def cpu_seconds(server: Server) -> float:
    times = process_of(server).cpu_times()
    return float(times.user + times.system)


def start(folder: Path, home: Path) -> dict[str, float]:
    """Of the second start: the first one makes the secret and Python's own caches."""
    walls, cpus = [], []
    for _ in range(3):
        server = Server(folder, home)
        begun = time.perf_counter()
        server.start()
        walls.append(time.perf_counter() - begun)
        cpus.append(cpu_seconds(server))
        server.end()
    return {
        "start: CPU seconds until it listens": min(cpus[1:]),
        "start: seconds until the address is printed": min(walls[1:]),
    }


def list_page(client: Client, page: Page) -> dict[str, float]:
    client.get("/")
    first = median(client.get("/")[0] for _ in range(TRIES))
    ready = []
    for _ in range(TRIES):
        page.goto(f"{client.server.origin}/", wait_until="load")
        ready.append(
            page.evaluate("() => performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd") / 1000
        )
    return {
        f"list of {RUNS} runs: seconds to the first byte": first,
        f"list of {RUNS} runs: seconds until it is ready": median(ready),
    }


def event_to_page(page: Page, server: Server, step_on: Callable[[], str]) -> dict[str, float]:
    page.goto(f"{server.origin}/runs/{RUNNING}")
    expect(page.locator("#status dl.costs dd").first).to_have_text(step_on())  # the stream is open
    seconds = []
    for _ in range(TRIES):
        before = time.time()
        text = step_on_later(page, step_on)
        expect(page.locator("#status dl.costs dd").first).to_have_text(text)
        seconds.append(page.evaluate("() => window.seen") - before)
    return {"event on the disk: seconds until it is on the page": max(seconds)}


def step_on_later(page: Page, step_on: Callable[[], str]) -> str:
    step, _of, total = page.locator("#status dl.costs dd").first.inner_text().partition(" / ")
    page.evaluate(SEEN, f"{int(step) + 1} / {total}")
    return step_on()


def curve(client: Client, name: str) -> dict[str, float]:
    _first, cold, points = client.get(f"/runs/{name}/curve")
    return {
        f"curve of {EVENTS} events: seconds, first time": cold,
        f"curve of {EVENTS} events: seconds, again": client.get(f"/runs/{name}/curve")[1],
        f"curve of {EVENTS} events: kB": len(points) / 1000,
    }


def data_page(client: Client, address: str) -> dict[str, float]:
    """After the look at them, which a bar is shown for."""
    begun = time.perf_counter()
    while b'id="rows"' not in client.get(address)[2]:
        time.sleep(0.05)
    found = {f"data of {ROWS} rows: seconds of the look": time.perf_counter() - begun}
    pages = {
        "seconds, first rows": address,
        "next page": f"{address}/rows?page=2",
        "search": f"{address}/rows?q=refund",
    }
    for what, page in pages.items():
        found[f"data of {ROWS} rows: {what}"] = median(client.get(page)[1] for _ in range(TRIES))
    return found


def slider(client: Client, address: str) -> dict[str, float]:
    """After the model was looked at and the machine's speed measured, which a bar is shown for."""
    form = {"data": address.rpartition("/")[2], "typed": "yes", "method": "lora"}
    begun = time.perf_counter()
    while PLANNED not in client.get("/plan/try", {**form, "peft.r": "2"})[2]:
        pass
    found = {"first plan on a new machine: seconds": time.perf_counter() - begun}
    found["slider to plan: seconds"] = median(client.get("/plan/try", {**form, "peft.r": str(r)})[1] for r in RANKS)
    return found


def cost_to_a_run(client: Client) -> dict[str, float]:
    """A run of the built-in model with its page open and without, in turns."""
    rates: dict[bool, list[float]] = {False: [], True: []}
    for number in range(2 * TRAINED_ROUNDS):
        is_watched, run = bool(number % 2), RunDir(client.server.folder / "runs" / f"trained-{number}")
        sets = {
            "train.max_steps": TRAINED_STEPS, "train.logging_steps": 1, "train.per_device_train_batch_size": 4, "eval.rows": 0,
            "train.gradient_accumulation_steps": 2, "data.holdout": 0.02, "model.precision": "fp32",
        }  # fmt: skip
        words = [word for path, value in sets.items() for word in ("--set", f"{path}={value}")]
        training = client.server.command("train", DEFAULT_MODEL, "few.jsonl", "-o", str(run.path), "--json", *words)
        while is_watched and not run.file("events.jsonl").exists():
            time.sleep(0.05)
        with client.watching(f"/runs/{run.name}/stream") if is_watched else nullcontext():
            _out, said = training.communicate()
        assert training.returncode == 0, said
        logs = [event for event in run.each_event() if event.kind == "log"]
        seconds = logs[-1].train_seconds - logs[0].train_seconds
        rates[is_watched].append((logs[-1].tokens - logs[0].tokens) / seconds)
    return {"a run with its page open: share of its tokens/s": median(rates[True]) / median(rates[False])}


def costs(client: Client, page: Page) -> dict[str, float]:
    """Memory after all that was asked, and a share of a core while nothing is asked and while a run is watched."""
    server = client.server
    for name in sorted(path.name for path in (server.folder / "runs").iterdir())[:WATCHED_RUNS]:
        client.get(f"/runs/{name}")
    page.goto("about:blank")
    time.sleep(1)
    found: dict[str, float] = {"memory of the server, MiB": process_of(server).memory_info().rss / MIB}
    for what, address in (("idle", ""), ("with one stream", f"{server.origin}/runs/{RUNNING}")):
        if address:
            page.goto(address)
        before = cpu_seconds(server)
        time.sleep(IDLE_SECONDS)
        found[f"server {what}: percent of a core"] = 100 * (cpu_seconds(server) - before) / IDLE_SECONDS
    return found


def stop(server: Server, page: Page) -> dict[str, float]:
    page.goto(f"{server.origin}/runs/{RUNNING}")
    expect(page.locator("#status dl.costs")).to_be_visible()
    begun = time.perf_counter()
    _code, said = server.end()
    seconds = time.perf_counter() - begun
    assert "Traceback" not in said, said
    return {"stop with a stream open: seconds": seconds}


TARGETS = {
    "start: CPU seconds until it listens": 0.5,
    "start: seconds until the address is printed": 1.0,
    f"list of {RUNS} runs: seconds to the first byte": 0.1,
    f"list of {RUNS} runs: seconds until it is ready": 0.3,
    "event on the disk: seconds until it is on the page": 1.3,
    f"curve of {EVENTS} events: seconds, first time": 0.5,
    f"curve of {EVENTS} events: kB": 100.0,
    f"data of {ROWS} rows: seconds, first rows": 0.3,
    f"data of {ROWS} rows: next page": 0.15,
    f"data of {ROWS} rows: search": 0.3,
    "slider to plan: seconds": 0.15,
    "memory of the server, MiB": 300.0,
    "server idle: percent of a core": 1.0,
    "stop with a stream open: seconds": 1.0,
}


@contextmanager
def opened(server: Server) -> Iterator[Page]:
    with chromium.launched() as browser:
        context = browser.new_context(locale="en-GB", viewport={"width": 1280, "height": 800})
        page = context.new_page()
        page.goto(server.visit())
        yield page


def write_rows(path: Path, count: int) -> None:
    with path.open("w", encoding="utf-8") as file:
        for row in demo_data.generate("train", count, seed=7):
            file.write(json.dumps(demo_data.as_messages(row), ensure_ascii=False) + "\n")


def measured(place: Path) -> dict[str, float]:
    folder, own = place / "folder", place / "home" / "tunewright"
    own.mkdir(parents=True)
    (own / "models").symlink_to(home() / "models")
    folder.mkdir()
    for name, count in (("rows.jsonl", ROWS), ("few.jsonl", FEW_ROWS)):
        write_rows(folder / name, count)
    running = fill(folder / "runs")
    for number in range(RUNS - len(list((folder / "runs").iterdir())) - 1):
        write_run(folder / "runs" / f"2026-11-01-run-{number:03d}", STEPS, ANSWERS)
    long = write_run(folder / "runs" / "2026-11-02-long", EVENTS, ANSWERS)
    step = 40

    def step_on() -> str:
        nonlocal step
        step += 1
        running.train(step, step)
        return f"{step} / {running.plan.num_steps}"

    found = start(folder, place / "home")
    threads = {"OMP_NUM_THREADS": str(os.cpu_count())}  # those of the run; the server computes nothing
    with serving(Server(folder, place / "home", more=threads)) as server, opened(server) as page:
        client = Client(server)
        found |= list_page(client, page)
        found |= event_to_page(page, server, step_on)
        found |= curve(client, long.name)
        address = client.bring("rows.jsonl")
        found |= data_page(client, address)
        found |= slider(client, address)
        found |= costs(client, page)
        found |= cost_to_a_run(client)
        found |= stop(server, page)
    return found


def main() -> None:
    with TemporaryDirectory() as place:
        found = measured(Path(place))
    rows: dict[str, dict[str, Any]] = {
        what: {
            "measured": round(value, 3),
            "target": TARGETS.get(what),
            "kept": value < TARGETS[what] if what in TARGETS else None,
        }
        for what, value in found.items()
    }
    about = {
        "date": date.today().isoformat(),
        "machine": machine_info.processor(),
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
    }
    RESULTS.write_text(json.dumps({"about": about, "measured": rows}, indent=1, ensure_ascii=False) + "\n")
    for what, row in rows.items():
        target = "" if row["target"] is None else f"target {row['target']}{'' if row['kept'] else ', MISSED'}"
        print(f"{what:56} {row['measured']:10} {target}")


if __name__ == "__main__":
    main()
