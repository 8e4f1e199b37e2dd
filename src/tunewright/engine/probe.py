"""The device's real speed by precision, measured in about a tenth of a second: `python -m tunewright.engine.probe FILE`."""

import json
import sys
import time
from pathlib import Path

import torch

from tunewright.facts.machine import Probe
from tunewright.runs import durable

ROUNDS = 5
SECONDS_A_ROUND = 0.02
ROWS, INNER, COLUMNS = 1024, 1024, 2048
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def flops(dtypes: dict[str, torch.dtype], device: torch.device) -> dict[str, float]:
    """Floating point operations per second of matrix products of training's size.

    The precisions take turns and the best round of each counts, so that a busy neighbour does not decide.
    """
    best = dict.fromkeys(dtypes, 0.0)
    operands = {
        name: (torch.randn(ROWS, INNER, device=device).to(dtype), torch.randn(INNER, COLUMNS, device=device).to(dtype))
        for name, dtype in dtypes.items()
    }
    for _round in range(ROUNDS):
        for name, (a, b) in operands.items():
            torch.mm(a, b)
            _wait(device)
            started, count = time.perf_counter(), 0
            while time.perf_counter() - started < SECONDS_A_ROUND:
                torch.mm(a, b)
                _wait(device)
                count += 1
            best[name] = max(best[name], 2 * ROWS * INNER * COLUMNS * count / (time.perf_counter() - started))
    return best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def measure() -> Probe:
    """The probe of this machine's device. Its CUDA branch was not run here."""
    is_gpu = torch.cuda.is_available()
    device = torch.device("cuda" if is_gpu else "cpu")
    properties = torch.cuda.get_device_properties(0) if is_gpu else None
    has_bf16 = not is_gpu or torch.cuda.is_bf16_supported()
    dtypes = {name: dtype for name, dtype in DTYPES.items() if name != "bf16" or has_bf16}
    return Probe(
        device=device.type,
        device_name=properties.name if properties else "CPU",
        memory_bytes=properties.total_memory if properties else 0,
        flops=flops(dtypes, device),
    )


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    durable.write_json(target, json.loads(measure().model_dump_json()))
