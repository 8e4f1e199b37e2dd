"""A Ray cluster of two machines, both of them this one: the command that they are given is one run, and outlives one of them."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.faults.conftest import BASE, Toys
from tests.faults.fingerprint import fingerprint
from tests.faults.test_nodes import Start, ends, parent, said, start
from tunewright.rundir.run_dir import RunDir

__all__ = ["start"]
pytestmark = pytest.mark.slow
WAIT_SECONDS = 150
# Nothing is reported to anybody, and only the loopback interface is used, as where Ray does not support clusters.
RAY = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "OMP_NUM_THREADS": "1"}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Two machines of one core each; the first one holds the cluster together."""
    for name, value in RAY.items():  # read when it is imported
        monkeypatch.setenv(name, value)
    pytest.importorskip("ray", reason='needs the extra "ray"')
    from ray.cluster_utils import Cluster

    machine = {"num_cpus": 1, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=machine)
    try:
        cluster.add_node(num_cpus=1)
        yield cluster
    finally:
        cluster.shutdown()


def kill(machine: Any) -> None:
    """What the loss of a machine is: all that runs there is gone at once."""
    (raylet,) = machine.all_processes["raylet"]
    for process in psutil.Process(raylet.process.pid).children(recursive=True):
        process.kill()


def test_a_machine_that_is_lost_costs_nothing(toys: Toys, start: Start, cluster: Any, tmp_path: Path) -> None:
    one = start("one", **{"launch.parts": 2, "train.num_train_epochs": 4})
    assert ends([parent(toys, one)]) == [0], said(one)
    files = {"data.holdout": toys.folder / "held_out.jsonl", "train.num_train_epochs": 4, "launch.timeout_seconds": 5}
    sets = [word for key, value in {**BASE, **files}.items() for word in ("--set", f"{key}={value}")]
    model, data = str(toys.folder / "model"), str(toys.folder / "train.jsonl")
    words = ["train", model, data, *sets, "--nodes", "2", "--on", "ray", "-o", "runs/job"]
    run, output = RunDir(tmp_path / "runs/job"), tmp_path / "output"
    with output.open("wb") as file:
        job = subprocess.Popen(
            [sys.executable, "-P", "-m", "tunewright", *words], cwd=tmp_path, stdout=file, stderr=file,
            env={**os.environ, "RAY_ADDRESS": cluster.address},
        )  # fmt: skip
    try:
        deadline = time.monotonic() + WAIT_SECONDS
        while not (run.path.is_dir() and any(event.kind == "log" and event.step >= 4 for event in run.read_events())):
            assert job.poll() is None and time.monotonic() < deadline, output.read_text()
            time.sleep(0.02)
        lost = next(machine for machine in cluster.list_all_nodes() if machine is not cluster.head_node)
        kill(lost)
        cluster.remove_node(lost, allow_graceful=False)
        assert run.state() != "finished"
        cluster.add_node(num_cpus=1)
        assert job.wait(WAIT_SECONDS) == 0, output.read_text() + said(run)
    finally:
        job.kill()
    assert fingerprint(run) == fingerprint(one), output.read_text()
