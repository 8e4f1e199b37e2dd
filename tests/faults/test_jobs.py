"""A job of Slurm for two machines, submitted by the real command; `sbatch` and `srun` are stand-ins that start it on this one."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.faults.conftest import BASE, Toys
from tests.faults.fingerprint import fingerprint
from tests.faults.test_nodes import Start, ends, parent, said, start
from tunewright.launch.nodes import PORT, PORTS
from tunewright.rundir.run_dir import RunDir

__all__ = ["start"]
pytestmark = pytest.mark.slow
WAIT_SECONDS = 180
JOB = ("--nodes", "2", "--on", "slurm", "-o", "runs/job")
SBATCH = """
import os, pathlib, re, subprocess, sys
script = pathlib.Path(sys.argv[1])
options = dict(re.findall(r"^#SBATCH --([\\w-]+)=(.*)$", script.read_text(), re.M))
job = {"SLURM_NNODES": options["nodes"], "SLURM_JOB_NODELIST": "127.0.0.[1-2]"}
with open(options["output"], "ab") as log:
    started = subprocess.Popen(["bash", script], stdout=log, stderr=log, env={**os.environ, **job}, start_new_session=True)
print("Submitted batch job", started.pid)
"""
SRUN = """
import os, subprocess, sys
words = sys.argv[next(place for place, word in enumerate(sys.argv) if place and not word.startswith("--")) :]
nodes = range(int(os.environ["SLURM_NNODES"]))
tasks = [subprocess.Popen(words, env={**os.environ, "SLURM_NODEID": str(node)}) for node in nodes]
sys.exit(max(task.wait() for task in tasks))
"""


@pytest.fixture
def cluster(tmp_path: Path) -> dict[str, str]:
    """The environment of a machine with Slurm on it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in (("sbatch", SBATCH), ("srun", SRUN)):
        (folder / name).write_text(f"#!{sys.executable}\n{text}")
        (folder / name).chmod(0o755)
    job = next(number for number in range(1, PORTS) if is_free(PORT + number))
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", "SLURM_JOB_ID": str(job)}


def is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def submitted(words: list[str], cluster: dict[str, str], folder: Path) -> psutil.Process:
    """The job that a command has submitted."""
    ended = subprocess.run(words, cwd=folder, env=cluster, capture_output=True, text=True, timeout=WAIT_SECONDS)
    assert ended.returncode == 0, ended.stderr
    found = re.search(r"Submitted batch job (\d+)", ended.stdout + ended.stderr)
    assert found, ended.stderr
    return psutil.Process(int(found[1]))


def has_ended(job: psutil.Process) -> bool:
    return not job.is_running() or job.status() == psutil.STATUS_ZOMBIE


def see_through(job: psutil.Process) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not has_ended(job):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_job_is_one_process_with_two_parts_to_the_bit_and_goes_on_where_slurm_stopped_it(
    toys: Toys, start: Start, cluster: dict[str, str], tmp_path: Path
) -> None:
    one = start("one", **{"launch.parts": 2, "train.num_train_epochs": 4})
    assert ends([parent(toys, one)]) == [0], said(one)
    files = {"data.holdout": toys.folder / "held_out.jsonl", "train.num_train_epochs": 4}
    sets = [word for key, value in {**BASE, **files}.items() for word in ("--set", f"{key}={value}")]
    model, data = str(toys.folder / "model"), str(toys.folder / "train.jsonl")
    words = [sys.executable, "-P", "-m", "tunewright", "train", model, data, *sets, *JOB]
    log, deadline = tmp_path / "runs/job.out", time.monotonic() + WAIT_SECONDS

    job = submitted(words, cluster, tmp_path)
    first, second = RunDir(tmp_path / "runs/job"), RunDir(tmp_path / "runs/job-node1")
    while not (first.path.is_dir() and any(event.kind == "log" and event.step >= 4 for event in first.read_events())):
        assert not has_ended(job) and time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)
    for process in job.children()[0].children(recursive=True):  # two minutes before its time is up, as `--signal` asks
        process.send_signal(signal.SIGTERM)
    see_through(job)
    assert (first.state(), second.state()) == ("stopped", "stopped"), log.read_text()
    assert "what is saved is on the first machine" in log.read_text()
    stopped_at = max(event.step for event in first.read_events())

    see_through(submitted(["sbatch", "runs/job.sbatch"], cluster, tmp_path))
    assert (first.state(), second.state()) == ("finished", "finished"), log.read_text() + said(first) + said(second)
    assert stopped_at < 64 and "the result is on the first machine" in log.read_text()
    assert fingerprint(first) == fingerprint(one)
    see_through(submitted(["sbatch", "runs/job.sbatch"], cluster, tmp_path))
    assert fingerprint(first) == fingerprint(one), "a third start finds nothing left to do"
