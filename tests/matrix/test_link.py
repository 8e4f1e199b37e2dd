"""The link between processes, measured by real ones: gloo on CPUs. No GPU, and no second machine, was tried."""

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import built_in, model, rows, tw
from tunewright import api
from tunewright.errors import TunewrightError
from tunewright.inspection import machine_info
from tunewright.inspection.machine_info import LinkSpeed, SpeedProbe
from tunewright.launch import measure_link
from tunewright.rundir import atomic_io
from tunewright.security import seal_object

__all__ = ["built_in", "model", "rows", "tw"]


def test_two_processes_here(tw: Any, built_in: Path) -> None:
    link = tw("doctor", "--link", "--json").json["link"]
    assert (link["is_between_machines"], link["backend"], link["device_name"]) == (False, "gloo", "CPU")
    assert link["bytes_per_second"] > 1e6 and 1e-7 < link["latency_seconds"] < 1
    assert [kept.model_dump() for kept in machine_info.read_links()] == [link]
    assert "gloo, CPU" in tw("doctor").out
    assert json.loads(tw("doctor", "--json").out)["machine"]["links"] == [link]


def test_a_plan_for_such_devices_says_what_was_measured(tw: Any, model: Path, rows: Path) -> None:
    words = ("plan", str(model), "my.jsonl", "--device", "2x8 h100-80 100G")
    assert "300 GB/s inside a machine (usual) · 10 GB/s between machines (usual)" in tw(*words).out
    link = LinkSpeed(
        is_between_machines=False, backend="nccl", device_name="NVIDIA H100 80GB HBM3", bytes_per_second=2.5e11,
        latency_seconds=1e-5,
    )  # fmt: skip
    path = machine_info.link_path(is_between_machines=False)
    atomic_io.write_cached(path, seal_object(path, link.model_dump(mode="json")))
    assert "250 GB/s inside a machine (measured here) · 10 GB/s between machines (usual)" in tw(*words).out
    assert tw(*words, "--json").json["scale"]["measured"] == ["inside"]


def test_two_machines(model: Path) -> None:
    """Both on this one, which meet at a port."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        main = f"127.0.0.1:{found.getsockname()[1]}"
    with ThreadPoolExecutor() as machines:
        links = [future.result() for future in [machines.submit(api.link, 2, rank, main) for rank in (0, 1)]]
    assert all(link.is_between_machines and link.backend == "gloo" for link in links)


def test_a_machine_that_does_not_come(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure_link, "MEETING_SECONDS", 1)
    with pytest.raises(TunewrightError) as raised:
        api.link(2, 1, "127.0.0.1:9")
    assert raised.value.problems[0].code == "E527"


def test_a_measurement_that_does_not_end(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in ("MEETING_SECONDS", "MEASURED_WITHIN"):
        monkeypatch.setattr(measure_link, limit, 0)
    with pytest.raises(TunewrightError) as raised:
        api.link(2, 1, "127.0.0.1:9")
    assert [problem.code for problem in raised.value.problems] == ["E527"]


def test_one_gpu_has_no_link(tw: Any, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    probe = SpeedProbe(device="cuda", device_name="GPU", memory_bytes=2**34, flops={"fp32": 1e13})
    atomic_io.write_text(machine_info.probe_path(), probe.model_dump_json())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setattr(machine_info, "read_probe", lambda _index=0: probe)
    monkeypatch.setattr(measure_link, "ensure_probe", lambda _reporter: None)
    refused = tw("doctor", "--link")
    assert (refused.code, "E528" in refused.err) == (5, True)
    assert "--nodes 2" in refused.err


@pytest.mark.parametrize(
    "words",
    [("--nodes", "2"), ("--nodes", "2", "--main", "x"), ("--nodes", "2", "--main", "a:99999"), ("--node-rank", "1")],
)
def test_what_cannot_be(tw: Any, words: tuple[str, ...]) -> None:
    assert tw("doctor", "--link", *words).code == 2
