"""When the machine's speed is measured: once, again only when it is idle, and never for a device that is elsewhere."""

from pathlib import Path

import pytest

from tests.collecting_reporter import CollectingReporter
from tunewright.inspection import machine_info
from tunewright.inspection.machine_info import SpeedProbe
from tunewright.launch import inspect_inputs
from tunewright.rundir import atomic_io


class Spawned:
    """Counts measurements and leaves what they would."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, busy_now: float) -> None:
        self.count = 0
        self.reporter = CollectingReporter()
        monkeypatch.setattr(inspect_inputs, "spawn", self.spawn)
        monkeypatch.setattr("psutil.cpu_percent", lambda interval: busy_now)

    def spawn(self, argv: list[str], environment: dict[str, str]) -> "Spawned":
        self.count += 1
        self.environment = environment
        write_probe(0.1, Path(argv[-1]))
        return self

    def wait(self) -> int:
        return 0

    def plan(self) -> None:
        inspect_inputs.ensure_probe(self.reporter)


def write_probe(busy: float, path: Path) -> None:
    atomic_io.write_text(
        path, SpeedProbe(device="cpu", device_name="CPU", memory_bytes=0, flops={"fp32": 1e11}, busy_share=busy).model_dump_json()
    )  # fmt: skip


def test_the_speed_is_measured_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spawned = Spawned(monkeypatch, busy_now=90.0)
    for _plan in range(3):
        spawned.plan()
    assert (spawned.count, spawned.reporter.notes) == (1, ["Measuring this machine's speed, once"])


def test_a_machine_that_is_always_busy_is_not_measured_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_probe(0.8, machine_info.probe_path())
    spawned = Spawned(monkeypatch, busy_now=95.0)
    for _plan in range(3):
        spawned.plan()
    assert spawned.count == 0
    assert len(spawned.reporter.notes) == 3 and all(
        "and still is: times may come out too long" in note for note in spawned.reporter.notes
    )
    assert machine_info.read_probe() is not None


def test_a_doubtful_figure_is_measured_again_when_the_machine_is_idle(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_probe(0.8, machine_info.probe_path())
    spawned = Spawned(monkeypatch, busy_now=3.0)
    for _plan in range(3):
        spawned.plan()
    assert (spawned.count, spawned.reporter.notes) == (
        1,
        ["Measuring this machine's speed again: it was busy the last time"],
    )


def test_each_gpu_is_measured_for_itself(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spawned = Spawned(monkeypatch, busy_now=3.0)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    spawned.plan()
    inspect_inputs.ensure_probe(spawned.reporter, 1)
    assert spawned.count == 2 and spawned.environment["CUDA_VISIBLE_DEVICES"] == "1"
    assert machine_info.probe_path(0) != machine_info.probe_path(1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0")
    assert machine_info.probe_path(0) == machine_info.probe_path(0)
    assert machine_info.read_probe(0) is None
