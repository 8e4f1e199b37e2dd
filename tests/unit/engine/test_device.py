"""The one module that knows accelerators: which is taken, and what is asked of each kind. No accelerator was here."""

from types import SimpleNamespace

import pytest
import torch

from tunewright.engine.system import device


@pytest.fixture
def accelerator(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """A torch that has an accelerator of this kind."""
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: torch.device(request.param))
    return str(request.param)


def test_without_an_accelerator_it_is_the_cpu() -> None:
    assert device.device() == torch.device("cpu") and device.is_on_cpu()
    assert (device.name(), device.memory_bytes(), device.peak_bytes()) == ("CPU", 0, None)
    assert device.computes_bf16() and not device.pins_memory() and not device.has_varlen_attention()
    device.synchronize()
    device.release_memory()


@pytest.mark.parametrize("accelerator", ["cuda", "xpu"], indirect=True)
def test_an_accelerator_with_memory_of_its_own(accelerator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    kind = SimpleNamespace(
        is_bf16_supported=lambda *, including_emulation: including_emulation,
        get_device_properties=lambda: SimpleNamespace(name="Card"),
    )
    monkeypatch.setattr(torch, "get_device_module", lambda _kind: kind)
    monkeypatch.setattr(torch.accelerator, "get_memory_info", lambda: (3, 24))
    monkeypatch.setattr(torch.accelerator, "max_memory_allocated", lambda: 7)
    monkeypatch.setattr(torch.accelerator, "synchronize", lambda: asked.append("synchronize"))
    monkeypatch.setattr(torch.accelerator, "empty_cache", lambda: asked.append("empty_cache"))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 5))
    assert device.device().type == accelerator and not device.is_on_cpu() and device.pins_memory()
    assert (device.name(), device.memory_bytes(), device.peak_bytes()) == ("Card", 24, 7)
    assert not device.computes_bf16() and not device.has_varlen_attention()
    device.synchronize()
    device.release_memory()
    assert asked == ["synchronize", "empty_cache"]


@pytest.mark.parametrize("accelerator", ["cuda"], indirect=True)
def test_packed_rows_from_ampere_on(accelerator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (8, 0))
    assert device.has_varlen_attention()


@pytest.mark.parametrize("accelerator", ["mps"], indirect=True)
def test_apples_gpu_shares_the_memory(accelerator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 11)
    monkeypatch.setattr(torch.mps, "empty_cache", lambda: asked.append("empty_cache"))
    assert (device.name(), device.memory_bytes(), device.peak_bytes()) == ("Apple GPU", 11, None)
    assert device.computes_bf16() and not device.pins_memory() and not device.has_varlen_attention()
    device.release_memory()
    assert asked == ["empty_cache"]
