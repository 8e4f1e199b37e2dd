"""A run that a page began, whose server is killed again and again: it ends as the run of the command that the page shows."""

import html
import random
import re
import shlex
import shutil
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.browser.site import Server, serving
from tests.faults.fingerprint import fingerprint
from tests.matrix.conftest import tiny_model as tiny_model
from tunewright.inspection.machine_info import SpeedProbe, probe_path
from tunewright.rundir import atomic_io
from tunewright.rundir.run_dir import LIVE, RunDir

pytestmark = pytest.mark.processes
TYPED = {
    "peft.lora_dropout": "0.1", "train.per_device_train_batch_size": "2", "train.gradient_accumulation_steps": "2",
    "train.early_stopping_patience": "0", "eval.rows": "2", "eval.max_new_tokens": "4", "data.holdout": "0.2",
}  # fmt: skip
WAITS_SECONDS = 300


@pytest.fixture
def server(tmp_path: Path, tiny_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """One in a folder with rows and a model, whose home knows the machine's speed."""
    folder = tmp_path.parent / "folder"
    shutil.copytree(tiny_model(), folder / "tiny")
    rows = (f'{{"question": "What is {n} + {n % 7}?", "answer": "It is {n + n % 7}."}}\n' for n in range(80))
    (folder / "sums.jsonl").write_text("".join(rows))
    server = Server(folder, tmp_path.parent / "home")
    monkeypatch.setenv("TUNEWRIGHT_HOME", server.environment["TUNEWRIGHT_HOME"])
    probe = SpeedProbe(device="cpu", device_name="CPU", memory_bytes=0, flops={"fp32": 2e11, "bf16": 1e11})
    probe_path().parent.mkdir(parents=True)
    atomic_io.write_text(probe_path(), probe.model_dump_json())
    with serving(server):
        yield server


def ask(server: Server, path: str, form: dict[str, str] | None = None, **more: str) -> HTTPResponse:
    """The answer to an address, or to a form; its connection stays open until its text is read."""
    headers = {"origin": server.origin, "cookie": f"{server.keys.cookie_name}={server.keys.cookie}", **more}
    connection = HTTPConnection("127.0.0.1", server.port, timeout=WAITS_SECONDS)
    if form is None:
        connection.request("GET", path, headers=headers)
    else:
        kind = {"content-type": "application/x-www-form-urlencoded"}
        connection.request("POST", path, urlencode(form), {**headers, **kind})
    return connection.getresponse()


def text_at(server: Server, path: str, form: dict[str, str] | None = None, **more: str) -> str:
    answer = ask(server, path, form, **more)
    text = answer.read().decode()
    assert answer.status == 200, text
    return text


def led_to(server: Server, path: str, form: dict[str, str]) -> str:
    answer = ask(server, path, form)
    text = answer.read().decode()
    assert answer.status == 303, text
    return str(answer.headers["location"])


def by_command(server: Server, line: str) -> RunDir:
    """The run of the command that a page shows, in processes of its own and undisturbed."""
    words = shlex.split(line)[1:]
    command = server.command(*words, "-o", "runs/by-command", "--quiet")
    _out, said = command.communicate(timeout=WAITS_SECONDS)
    assert command.returncode == 0, said
    return RunDir(server.folder / "runs" / "by-command")


def seconds_of(run: RunDir) -> float:
    info = run.info()
    assert info.started and info.ended
    return info.ended - info.started


@pytest.mark.parametrize(
    ("kills", "steps", "seed"),
    [(2, 30, 3), *(pytest.param(10, 1500, seed, marks=pytest.mark.slow) for seed in range(3))],
)
def test_a_run_of_the_page_outlives_its_server_bit_for_bit(kills: int, steps: int, seed: int, server: Server) -> None:
    data = led_to(server, "/data/path", {"path": "sums.jsonl"})
    led_to(server, f"{data}/settings", {"model": "tiny"})
    form = {"data": data.rpartition("/")[2], "typed": "yes", "train.max_steps": str(steps), **TYPED}
    form["train.eval_steps"] = str(steps // 5)
    page = text_at(server, "/plan/try", form, **{"hx-request": "true"})
    shown = re.search(r'<span id="as-line">(.*?)</span>', page, re.DOTALL)
    assert shown, page
    undisturbed = by_command(server, html.unescape(shown[1]))

    place = led_to(server, "/plan/start", {**form, "form_id": "a"})
    run = RunDir(server.folder / place.lstrip("/"))
    begun, rng = time.monotonic(), random.Random(seed)
    moments = sorted(rng.uniform(0, 0.6 * seconds_of(undisturbed)) for _kill in range(kills))
    for moment in moments:
        time.sleep(max(0.0, begun + moment - time.monotonic()))
        stream = ask(server, f"{place}/stream")  # somebody is looking
        assert run.state() in LIVE, f"it had ended before {moment:.1f} s"
        server.kill()
        stream.close()
        server.start()
        assert run.name in text_at(server, place)
    deadline = time.monotonic() + WAITS_SECONDS
    while run.state() in LIVE and time.monotonic() < deadline:
        time.sleep(0.1)
    assert 'data-state="finished"' in text_at(server, place)
    assert fingerprint(run) == fingerprint(undisturbed)
    events = [event for event in run.read_events() if event.kind == "phase"]
    assert len({(event.phase, event.state) for event in events}) == len(events), "one worker did it all"
