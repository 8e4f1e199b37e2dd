"""The studio as people start it, over a folder of runs made of files: for tests in a browser, pictures and benchmarks."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from http.client import HTTPConnection
from pathlib import Path

import tunewright
from tests.unit.extras.test_sweep_sections import sweep_in
from tests.unit.report.conftest import Story, begin, classified_run, finished_run
from tunewright.rundir import run_lock
from tunewright.studio.guard import Keys

SOURCE = Path(tunewright.__file__).parent.parent
FINISHED, AGAIN, CLASSIFIED, RUNNING, FAILED = (
    "2026-11-23-mita", "2026-11-24-mita", "2026-11-23-intents", "2026-11-25-running", "2026-11-25-failed",
)  # fmt: skip
SWEEP = "sweep-mita"
DONE_STEPS = 40
END_SECONDS = 10
# Every page that there is, by the address of one with something on it. tests/studio/test_page_table.py misses none.
PAGES = {
    "runs": "/",
    "runs, filtered": "/?q=mita&state=finished",
    "run": f"/runs/{FINISHED}",
    "run of labels": f"/runs/{CLASSIFIED}",
    "run that goes on": f"/runs/{RUNNING}",
    "run that failed": f"/runs/{FAILED}",
    "answers": f"/runs/{FINISHED}/answers",
    "answers, filtered": f"/runs/{FINISHED}/answers?show=broken",
    "answer": f"/runs/{FINISHED}/answers/1100",
    "compared": f"/compare?run={FINISHED}&run={AGAIN}",
    "compare": "/compare",
    "sweep that goes on": f"/compare?in={SWEEP}",
    "chat": f"/runs/{FINISHED}/chat",
    "export": f"/runs/{FINISHED}/export",
    "data": "/data",
    "data of one": "/data/{data}",
    "plan": "/plan?data=demo-causal_lm",
    "plan of own data": "/plan?data={data}",
    "machine": "/machine",
    "explained": "/explain/peft.r",
}
ROWS = "".join(f'{{"question": "What is {n}?", "answer": "{n and f"It is {n}."}"}}\n' for n in (*range(1, 40), 7))


@dataclass
class Server:
    """`tunewright studio` in a folder, with a home of its own; killed and started again it is on the same port."""

    folder: Path
    home: Path
    port: int = 0
    inside: Sequence[str] = ()
    """Words before the command, as of a name space."""
    more: Mapping[str, str] = field(default_factory=dict)
    """Variables of its environment."""
    process: "subprocess.Popen[str] | None" = None
    address: str = field(default="", init=False)
    """The printed one, with a code that is good once."""

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What a command sees that works for the same person."""
        own = {
            "HOME": str(self.home), "TUNEWRIGHT_HOME": str(self.home / "tunewright"), "HF_HOME": str(self.home / "hf"),
            "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1", "COLUMNS": "400",
        }  # fmt: skip
        return {name: text for name, text in os.environ.items() if name != "TUNEWRIGHT_LANG"} | own | dict(self.more)

    def command(self, *words: str) -> "subprocess.Popen[str]":
        """Another command of this person, in this folder."""
        return self._spawn([sys.executable, "-m", "tunewright", *words])

    def _spawn(self, words: Sequence[str]) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            words, cwd=self.folder, env=self.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip

    def start(self) -> None:
        """Start it, and wait until it has said where it is."""
        words = [sys.executable, "-m", "tunewright", "studio", "--no-open", "--port", str(self.port)]
        self.process = self._spawn([*self.inside, *words])
        assert self.process.stdout
        for line in self.process.stdout:
            if found := re.search(r"http://127\.0\.0\.1:(\d+)/\?code=\S+", line):
                self.port, self.address = int(found[1]), found[0]
                return
        raise AssertionError(self.process.communicate())

    @property
    def keys(self) -> Keys:
        return Keys((self.home / "tunewright" / "studio" / "secret").read_bytes(), self.port)

    @cached_property
    def data(self) -> str:
        """The id of data that are brought as a page brings them."""
        head = '--x\r\nContent-Disposition: form-data; name="files"; filename="rows.jsonl"\r\n\r\n'
        headers = {
            "origin": self.origin, "cookie": f"{self.keys.cookie_name}={self.keys.cookie}",
            "content-type": "multipart/form-data; boundary=x",
        }  # fmt: skip
        connection = HTTPConnection("127.0.0.1", self.port)
        connection.request("POST", "/data", f"{head}{ROWS}\r\n--x--\r\n".encode(), headers)
        answer = connection.getresponse()
        assert answer.status == 303, answer.read()
        connection.close()
        return str(answer.headers["location"]).rpartition("/")[2]

    def place(self, name: str) -> str:
        """The path of a page of the table."""
        return PAGES[name].format(data=self.data) if "{data}" in PAGES[name] else PAGES[name]

    def visit(self, path: str = "/") -> str:
        """An address that lets one more browser in."""
        return f"{self.origin}{path}{'&' if '?' in path else '?'}code={self.keys.new_code()}"

    def kill(self) -> None:
        """Signal 9, as a machine without memory sends it."""
        assert self.process
        self.process.kill()
        self.process.communicate()

    def end(self) -> tuple[int, str]:
        """Ctrl-C; the exit code and what it said at last."""
        assert self.process
        self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=END_SECONDS)
        return self.process.returncode, out + err


def fill(runs: Path) -> Story:
    """Runs of each kind, made of files; the one that goes on, which is held by this process for as long as that lives."""
    runs.mkdir(parents=True)
    for name in (FINISHED, AGAIN):
        run = finished_run(partial(begin, runs, name))
        (run.adapter_dir / "adapter_config.json").write_text("{}")
    classified_run(partial(begin, runs))
    failed = begin(runs, FAILED, state="failed")
    failed.write("phase", phase="train", state="begin")
    failed.train(1, 3)
    failed.run.file("log.txt").write_text("step 1\nstep 2\nstep 3\n")
    for number in range(2):
        finished_run(partial(begin, sweep_in(runs / SWEEP), f"trial-{number:03d}"))
    assert run_lock.take(begin(runs / SWEEP, "trial-004", state="running").run.path) is not None
    running = begin(runs, RUNNING, state="running")
    running.write("phase", phase="train", state="begin")
    running.train(1, DONE_STEPS)
    assert run_lock.take(running.run.path) is not None
    return running


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    """It serves for as long as this lasts."""
    server.start()
    try:
        yield server
    finally:
        if server.process and server.process.poll() is None:
            server.kill()
