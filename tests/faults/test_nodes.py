"""One run on two machines: folders of their own on this one, and two network namespaces where this may make them.

Each has a parent of its own. The first machine's run is the result; the other's says that it is finished.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.faults.conftest import BASE, ROOT, Toys
from tests.faults.fingerprint import fingerprint
from tunewright import api
from tunewright.errors import TunewrightError
from tunewright.launch import start_run
from tunewright.launch.nodes import node_of
from tunewright.reporting import SILENT
from tunewright.rundir.run_dir import RunDir

Start = Callable[..., RunDir]
WAIT_SECONDS = 60
CUT_SECONDS = 13  # three more than processes wait for each other
IN_THE_WILD = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "TUNEWRIGHT_LANG": "en"}


@pytest.fixture
def start(toys: Toys, tmp_path: Path) -> Start:
    """A planned run of the tiny model."""

    def start(name: str, **named: object) -> RunDir:
        values = {
            **BASE, "model.name": str(toys.folder / "model"), "data.train": str(toys.folder / "train.jsonl"),
            "data.holdout": str(toys.folder / "held_out.jsonl"), "run.output_dir": str(tmp_path / name),
            "train.num_train_epochs": 1, "launch.timeout_seconds": 5, **named,
        }  # fmt: skip
        loaded = api.load(named=values)
        return start_run.create(loaded, api.plan(loaded), force=True, reporter=SILENT)

    return start


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def on_two(main: str, **settings: object) -> list[dict[str, object]]:
    """The settings of each of two machines."""
    return [{"launch.nodes": 2, "launch.node_rank": rank, "launch.main": main, **settings} for rank in (0, 1)]


def parent(toys: Toys, run: RunDir, **environment: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.faults.parent", str(run.path), *toys.argv(run)]
    return subprocess.Popen(command, cwd=ROOT, env={**IN_THE_WILD, **environment})


def ends(parents: list[subprocess.Popen[bytes]]) -> list[int | None]:
    """Their exit codes; None for one that did not end in time, and was killed."""
    deadline = time.monotonic() + WAIT_SECONDS
    codes: list[int | None] = []
    for one in parents:
        try:
            codes.append(one.wait(max(0.1, deadline - time.monotonic())))
        except subprocess.TimeoutExpired:
            for process in psutil.Process(one.pid).children(recursive=True):
                process.kill()
            one.kill()
            codes.append(None)
    return codes


def said(run: RunDir) -> str:
    return run.file("log.txt").read_text()[-3000:]


def test_two_machines_are_one_with_two_parts_to_the_bit(toys: Toys, start: Start) -> None:
    one = start("one", **{"launch.parts": 2})
    first, second = (start(f"m{i}", **sets) for i, sets in enumerate(on_two(f"127.0.0.1:{free_port()}")))
    assert ends([parent(toys, one)]) == [0], said(one)
    assert ends([parent(toys, first), parent(toys, second)]) == [0, 0], said(first) + said(second)
    assert fingerprint(first) == fingerprint(one)
    assert (first.state(), second.state()) == ("finished", "finished")
    assert not second.adapter_dir.is_dir()


def test_a_machine_whose_process_dies_costs_nothing(toys: Toys, start: Start) -> None:
    """Both start again; the second, which has no checkpoint of its own, is sent the first's."""
    unbroken = start("one", **{"launch.parts": 2})
    assert ends([parent(toys, unbroken)]) == [0], said(unbroken)
    first, second = (start(f"m{i}", **sets) for i, sets in enumerate(on_two(f"127.0.0.1:{free_port()}")))
    fault = json.dumps({"at": "step_begin", "step": 6, "do": "kill"})
    assert ends([parent(toys, first), parent(toys, second, FAULT1=fault)]) == [0, 0], said(first) + said(second)
    assert fingerprint(first) == fingerprint(unbroken)
    assert [e.problem.code for e in second.read_events() if e.kind == "alert"] == ["W503"]
    assert list(second.checkpoints_dir.glob("checkpoint-*"))


def test_a_first_machine_that_is_not_there(toys: Toys, start: Start) -> None:
    _first, second = on_two(f"127.0.0.1:{free_port()}", **{"launch.timeout_seconds": 1})
    run = start("second", **second)
    begun = time.monotonic()
    assert ends([parent(toys, run)]) == [6], said(run)
    assert time.monotonic() - begun < 60
    assert [problem.code for problem in run.info().problems] == ["E527"]


def test_files_may_lie_elsewhere_on_another_machine(toys: Toys, start: Start, tmp_path: Path) -> None:
    elsewhere = {
        "model.name": str(shutil.copytree(toys.folder / "model", tmp_path / "their" / "model")),
        "data.train": str(shutil.copy(toys.folder / "train.jsonl", tmp_path / "their" / "rows.jsonl")),
        "data.holdout": str(shutil.copy(toys.folder / "held_out.jsonl", tmp_path / "their" / "test.jsonl")),
    }
    settings = on_two(f"127.0.0.1:{free_port()}")
    first, second = start("m0", **settings[0]), start("m1", **settings[1], **elsewhere)
    assert ends([parent(toys, first), parent(toys, second)]) == [0, 0], said(first) + said(second)


def test_machines_with_other_data_are_refused(toys: Toys, start: Start, tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    rows = (toys.folder / "train.jsonl").read_text().splitlines(keepends=True)
    other.write_text("".join(reversed(rows)))
    settings = on_two(f"127.0.0.1:{free_port()}")
    first, second = start("m0", **settings[0]), start("m1", **settings[1], **{"data.train": str(other)})
    assert all(ends([parent(toys, first), parent(toys, second)]))
    assert {problem.code for problem in first.info().problems} == {"E526"}


def test_a_machine_with_another_version_of_a_package_is_refused(toys: Toys, start: Start, tmp_path: Path) -> None:
    """What it has installed names other numbers; its code is the same here."""
    installed = tmp_path / "packages" / "peft-0.0.1.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: peft\nVersion: 0.0.1\n")
    first, second = (start(f"m{i}", **sets) for i, sets in enumerate(on_two(f"127.0.0.1:{free_port()}")))
    packages = json.dumps({"packages": str(installed.parent)})
    assert all(ends([parent(toys, first), parent(toys, second, FAULT1=packages)]))
    problems = first.info().problems
    assert [(problem.code, problem.values["what"], problem.values["value"]) for problem in problems] == [
        ("E526", "peft", "0.0.1")
    ]
    assert {problem.code for problem in second.info().problems} == {"E526"}


@pytest.mark.parametrize(
    ("settings", "fix"),
    [
        ({"launch.nodes": 2}, "--main HOST:29500"),
        ({"launch.nodes": 2, "launch.main": "a:1", "launch.node_rank": 2}, "--node-rank 0"),
        ({"launch.main": "nowhere"}, "launch.main"),
    ],
)
def test_what_cannot_be(start: Start, settings: dict[str, object], fix: str) -> None:
    with pytest.raises(TunewrightError, match=fix):
        start("run", **settings)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"SLURM_NNODES": "2", "SLURM_JOB_NODELIST": "gpu[03-04]"}, None),  # in an allocation, but not by srun
        ({"SLURM_NNODES": "2", "SLURM_NODEID": "1", "SLURM_JOB_NODELIST": "gpu[03-04,7]"}, (2, 1, "gpu03:29500")),
        ({"SLURM_NNODES": "2", "SLURM_NODEID": "0", "SLURM_JOB_NODELIST": "a,b"}, (2, 0, "a:29500")),
        (
            {"SLURM_NNODES": "2", "SLURM_NODEID": "0", "SLURM_JOB_NODELIST": "a,b", "SLURM_JOB_ID": "1007"},
            (2, 0, "a:29507"),
        ),
        (
            {"SLURM_NNODES": "4", "SLURM_NODEID": "3", "PET_NNODES": "2", "PET_NODE_RANK": "1", "PET_MASTER_ADDR": "b"},
            (2, 1, "b:29500"),
        ),
        ({"SKYPILOT_NODE_RANK": "1", "SKYPILOT_NODE_IPS": "10.0.0.1\n10.0.0.2"}, (2, 1, "10.0.0.1:29500")),
        (
            {"PET_NNODES": "2:4", "PET_NODE_RANK": "3", "PET_MASTER_ADDR": "job-0", "PET_MASTER_PORT": "1"},
            (4, 3, "job-0:1"),
        ),
    ],
)
def test_what_launchers_say(environment: dict[str, str], expected: tuple[int, int, str] | None) -> None:
    found = node_of(environment)
    assert (found and tuple(found.values())) == expected


@pytest.fixture
def namespaces() -> Iterator[list[str]]:
    """Two hosts with a link of their own: 10.77.0.1 and 10.77.0.2."""
    if os.geteuid() or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and iproute2")
    names = [f"tw{os.getpid()}a", f"tw{os.getpid()}b"]

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)

    try:
        for name in names:
            ip("netns", "add", name)
    except subprocess.CalledProcessError:
        pytest.skip("network namespaces are not allowed here")
    try:
        ip("link", "add", names[0], "type", "veth", "peer", "name", names[1])
        for number, name in enumerate(names, 1):
            ip("link", "set", name, "netns", name)
            ip("-n", name, "addr", "add", f"10.77.0.{number}/24", "dev", name)
            ip("-n", name, "link", "set", name, "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def in_namespace(toys: Toys, run: RunDir, name: str) -> subprocess.Popen[bytes]:
    """A parent, and real workers, on a host of their own."""
    command = ["ip", "netns", "exec", name, sys.executable, "-m", "tunewright.launch.supervisor", str(run.path)]
    home = {"TUNEWRIGHT_HOME": str(toys.folder / "home"), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=ROOT, env={**IN_THE_WILD, **home})


@pytest.mark.slow
def test_two_hosts_are_one_process(toys: Toys, start: Start, namespaces: list[str]) -> None:
    one = start("one", **{"launch.parts": 2})
    runs = [start(f"m{i}", **sets) for i, sets in enumerate(on_two("10.77.0.1:29500"))]
    assert ends([parent(toys, one)]) == [0], said(one)
    parents = [in_namespace(toys, run, name) for run, name in zip(runs, namespaces, strict=True)]
    assert ends(parents) == [0, 0], said(runs[0]) + said(runs[1])
    assert fingerprint(runs[0]) == fingerprint(one)


@pytest.mark.slow
def test_a_link_that_is_cut_for_a_while(toys: Toys, start: Start, namespaces: list[str]) -> None:
    """Both hosts lose each other, start again, and meet when the link is back."""
    one = start("one", **{"launch.parts": 2, "train.num_train_epochs": 4})
    sets = on_two("10.77.0.1:29500", **{"train.num_train_epochs": 4, "launch.timeout_seconds": 1})
    runs = [start(f"m{i}", **each) for i, each in enumerate(sets)]
    assert ends([parent(toys, one)]) == [0], said(one)
    parents = [in_namespace(toys, run, name) for run, name in zip(runs, namespaces, strict=True)]
    while not any(event.kind == "log" and event.step >= 2 for event in runs[0].read_events()):
        time.sleep(0.02)
        assert all(process.poll() is None for process in parents), said(runs[0])
    link = ["ip", "-n", namespaces[1], "link", "set", namespaces[1]]
    subprocess.run([*link, "down"], check=True)
    time.sleep(CUT_SECONDS)
    subprocess.run([*link, "up"], check=True)
    assert ends(parents) == [0, 0], said(runs[0]) + said(runs[1])
    assert fingerprint(runs[0]) == fingerprint(one)
    alerts = [event.problem for event in runs[0].read_events() if event.kind == "alert"]
    assert alerts and {alert.code for alert in alerts} == {"W503"}
