"""What the doctor says of a machine: each sentence from the facts it rests on."""

import pytest

from tunewright.inspection.machine_info import MachineInfo, SpeedProbe
from tunewright.inspection.system_check import GIB, SystemFinding, meanings

PROBE = SpeedProbe(
    device="cpu", device_name="CPU", memory_bytes=0, flops={"fp32": 270e9, "bf16": 440e9},
    matmul={"mkl": 200e9, "onednn": 430e9, "int8": 1700e9},
)  # fmt: skip


def machine(probe: SpeedProbe | None = PROBE, free: float = 20, total: float = 24, disk: float = 100) -> MachineInfo:
    return MachineInfo(
        num_cpus=2, memory_bytes=int(total * GIB), free_bytes=int(free * GIB), disk_free_bytes=int(disk * GIB),
        system="Linux", probe=probe,
    )  # fmt: skip


def of(topic: str, findings: list[SystemFinding]) -> list[SystemFinding]:
    return [meaning for meaning in findings if meaning.topic == topic]


def test_speed_is_told_in_tokens_and_by_library() -> None:
    findings = meanings(machine(), {})
    assert "about 500 tokens a second" in of("speed", findings)[0].text()
    assert [meaning.text() for meaning in of("libraries", findings)] == [
        "fp32 products: 200 GFLOP/s by MKL, 430 by oneDNN; a plan takes the faster",
        "products in 8 bits are 4.0 times as fast: --set model.quantization=8bit may pay",
    ]
    assert of("speed", meanings(machine(None), {}))[0].text().startswith("not measured yet")


def test_a_measurement_on_a_busy_machine_is_a_warning() -> None:
    busy = PROBE.model_copy(update={"busy_share": 0.8})
    warning = of("speed", meanings(machine(busy), {}))[1]
    assert warning.is_warning
    assert "80 %" in warning.text()


def test_memory_is_told_in_the_largest_model() -> None:
    text = of("memory", meanings(machine(total=10_000), {}))[-1].text()
    assert text.startswith("room for LoRA on up to 4.2 billion parameters in fp32, 8.3 in bf16, 25.6 in 4 bits")
    assert of("memory", meanings(machine(free=1), {}))[-1].is_warning


def test_a_containers_limit_is_named() -> None:
    assert "may take 0.5 GiB" in of("memory", meanings(machine(total=0.5), {}))[0].text()


@pytest.mark.parametrize(("disk", "count"), [(4, 1), (100, 0)])
def test_a_full_disk_is_a_warning(disk: float, count: int) -> None:
    assert len([m for m in of("disk", meanings(machine(disk=disk), {})) if m.is_warning]) == count


def test_parts_that_are_missing_are_named_with_how_to_get_them() -> None:
    assert 'pip install -e ".[quant]"' in of("quantization", meanings(machine(), {}))[0].text()
    assert "can be trained" in of("quantization", meanings(machine(), {"bitsandbytes": "0.50"}))[0].text()


@pytest.mark.parametrize(
    ("hub", "words"), [(None, "not checked"), (True, "the Hub answers"), (False, "does not answer")]
)
def test_the_hub_is_told_as_it_was_found(hub: bool | None, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    assert words in of("hub", meanings(machine(), {}, hub))[0].text()


def test_an_offline_switch_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "HF_HUB_OFFLINE is set" in of("hub", meanings(machine(), {}, None))[0].text()


@pytest.mark.parametrize(("int8", "is_advised"), [(1700e9, True), (520e9, True), (430e9, False), (300e9, False)])
def test_8_bits_are_advised_only_where_they_are_faster(int8: float, is_advised: bool) -> None:
    probe = PROBE.model_copy(update={"matmul": {**PROBE.matmul, "int8": int8}})
    text = of("libraries", meanings(machine(probe), {}))[1].text()
    assert ("--set model.quantization=8bit" in text) is is_advised
    assert ("no time" in text) is not is_advised
