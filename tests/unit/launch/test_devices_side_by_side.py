"""Devices that runs are placed on: their names, and one run on each at once."""

import os
import threading
import time
from pathlib import Path

import pytest

from tests.unit.cli.conftest import model, tw
from tunewright.errors import ConfigError
from tunewright.launch import devices
from tunewright.launch.devices import Device, named, occupied

__all__ = ["model", "tw"]


@pytest.mark.parametrize(
    "words", [("compare", "--ranks", "4,8"), ("compare", "--seeds", "2"), ("sweep",), ("sweep", "--trials", "2")]
)
def test_devices_are_asked_for_before_model_and_rows_are_looked_at(tw, model: Path, words: tuple[str, ...]) -> None:
    refused = tw(*words, str(model), "nosuch.jsonl", "--devices", "4711")
    assert refused.code == 2
    assert "E133" in refused.err and "--devices" in refused.err


def test_all_and_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "cores", lambda: [2, 3, 5])
    assert named("all", is_on_cpu=True, num_gpus=0) == [Device("cpu", 2), Device("cpu", 3), Device("cpu", 5)]
    assert named("5, 2,5", is_on_cpu=True, num_gpus=0) == [Device("cpu", 5), Device("cpu", 2)]
    assert named("all", is_on_cpu=False, num_gpus=2) == [Device("gpu", 0), Device("gpu", 1)]


@pytest.mark.parametrize("text", ["", "2", "x", "-1", "0,2", "all,0", ","])
def test_devices_that_are_not_there_are_refused_with_those_that_are(text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        named(text, is_on_cpu=False, num_gpus=2)
    assert raised.value.problems[0].code == "E133"
    assert "all, 0, 1" in str(raised.value)


def test_a_run_sees_its_gpu_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    assert Device("gpu", 1).environment()["CUDA_VISIBLE_DEVICES"] == "7"
    assert "CUDA_VISIBLE_DEVICES" not in Device("cpu", 1).environment()


def test_one_run_on_a_device_at_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_setaffinity", lambda _pid, _cores: None)
    monkeypatch.setenv(devices.PLACE, "cpu-0")
    entered = []
    with occupied(lambda: False):
        monkeypatch.setenv(devices.PLACE, "cpu-0")

        def second() -> None:
            with occupied(lambda: False):
                entered.append(time.monotonic())

        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.3)
        assert not entered
    thread.join(10)
    assert entered


def test_who_is_asked_to_stop_waits_no_more(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_setaffinity", lambda _pid, _cores: None)
    monkeypatch.setenv(devices.PLACE, "cpu-0")
    with occupied(lambda: False):
        monkeypatch.setenv(devices.PLACE, "cpu-0")
        with occupied(lambda: True):
            pass


def test_a_gpu_has_one_name_whatever_is_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ZE_AFFINITY_MASK"):
        monkeypatch.delenv(name, raising=False)
    assert Device("gpu", 1).environment()[devices.PLACE] == "gpu-1"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,MIG-a/3/0")
    assert Device("gpu", 0).environment()[devices.PLACE] == "gpu-1"
    assert Device("gpu", 1).environment()[devices.PLACE] == "gpu-MIG-a-3-0"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setenv("ZE_AFFINITY_MASK", "2,3")
    assert Device("gpu", 1).environment()[devices.PLACE] == "gpu-3"
