"""When the machine's speed is measured: once, again only when it is idle, and never for a device that is elsewhere."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.collecting_reporter import CollectingReporter
from tunewright.config.run_config import DataConfig, ModelConfig, RunConfig
from tunewright.inspection import machine_info
from tunewright.inspection.machine_info import BlockShape, SpeedProbe
from tunewright.launch import inspect_inputs
from tunewright.rundir import atomic_io
from tunewright.security import seal_object


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


def write_probe(busy: float, path: Path, **matmul: float) -> None:
    flops = {"fp32": 1e11}
    probe = SpeedProbe(device="cpu", device_name="CPU", memory_bytes=0, flops=flops, matmul=matmul, busy_share=busy)
    atomic_io.write_text(path, probe.model_dump_json())


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


BLOCK = BlockShape(
    num_layers=2, hidden_size=8, intermediate_size=8, num_attention_heads=1, num_key_value_heads=1, head_dim=8, vocab_size=9
)  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "matmul", "count"),
    [
        ({}, {"mkl": 3e11, "int8": 9e11, "bf16": 2e11}, 0),
        ({}, {"mkl": 3e11, "bf16": 9e11}, 1),  # bf16 may be worth it for any run
        ({"quantization": "8bit"}, {"mkl": 3e11, "int8": 9e11}, 1),
        ({"quantization": "8bit"}, {"mkl": 3e11}, 0),  # no such products here
        ({"precision": "mixed"}, {"mkl": 3e11, "bf16": 2e11}, 1),
        ({"quantization": "4bit"}, {"mkl": 3e11, "int8": 9e11}, 0),
    ],
)
def test_a_models_own_speed_is_measured_for_runs_that_compute_with_other_products(
    settings: dict[str, Any], matmul: dict[str, float], count: int, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_probe(0.1, machine_info.probe_path(), **matmul)
    run = RunConfig(model=ModelConfig(name="m", **settings), data=DataConfig(train="rows.jsonl"))
    commands: list[list[str]] = []

    def measured(words: list[str]) -> Any:
        commands.append(words)
        rates = seal_object(Path(words[-2]), {"fp32": 1e11, "mixed": 1e11})
        atomic_io.write_cached(Path(words[-2]), rates)
        return SimpleNamespace(wait=lambda: 0)

    monkeypatch.setattr(inspect_inputs, "spawn", measured)
    for _plan in range(2):
        inspect_inputs.ensure_training_rates(BLOCK, CollectingReporter(), inspect_inputs.own_products(run))
    assert len(commands) == count
    assert bool(machine_info.read_training_rates(BLOCK)) == bool(count)


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
