"""The device's real speed by precision, measured in about a second: `python -m tunewright.engine.system.device_probe FILE`."""

import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import psutil
import torch
from torch import nn

from tunewright.engine.system import device
from tunewright.inspection.machine_info import SpeedProbe
from tunewright.kernels.cpu_matmul import matmul_rates, onednn_matmul
from tunewright.rundir import atomic_io
from tunewright.security import seal_object

BUSY_SECONDS = 0.3
ROUNDS = 4
SECONDS_A_ROUND = 0.05
LONG_SECONDS = 0.5  # for one pass: no warm-up changes that
HOPELESS = 0.1  # of the quickest: fp16 on many CPUs, four rounds of which would take longer than all else
WIDTH, HEADS, INNER = 576, 9, 1536
ROWS, TOKENS = 4, 128
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def flops(dtypes: dict[str, torch.dtype]) -> tuple[dict[str, float], dict[str, float]]:
    """Useful floating point operations per second of a transformer block: forward and backward, and forward alone.

    A block and not a bare matrix product: on some CPUs bf16 products are fast while everything between them is slow.
    The precisions take turns and the best round of each counts, so that a busy neighbour does not decide.
    """
    step, forward = dict.fromkeys(dtypes, 0.0), dict.fromkeys(dtypes, 0.0)
    blocks = {
        name: nn.TransformerEncoderLayer(
            WIDTH, HEADS, INNER, dropout=0.0, batch_first=True, device=device.device(), dtype=dtype
        )
        for name, dtype in dtypes.items()
    }
    for _round in range(ROUNDS):
        for name, block in blocks.items():
            if 0 < step[name] < HOPELESS * max(step.values()):
                continue
            x = torch.randn(ROWS, TOKENS, WIDTH, device=device.device()).to(dtypes[name]).requires_grad_()
            passes = ROWS * TOKENS * sum(parameter.numel() for parameter in block.parameters())
            step[name] = max(step[name], 6 * passes * _times_a_second(partial(_step, block, x)))
            forward[name] = max(forward[name], 2 * passes * _times_a_second(partial(_forward, block, x)))
    return step, forward


def _times_a_second(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    if (seconds := time.perf_counter() - started) > LONG_SECONDS:
        return 1 / seconds
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < SECONDS_A_ROUND:
        work()
        count += 1
    return count / (time.perf_counter() - started)


def _step(block: nn.Module, x: torch.Tensor) -> None:
    block(x).float().square().mean().backward()
    device.synchronize()


@torch.no_grad()
def _forward(block: nn.Module, x: torch.Tensor) -> None:
    block(x)
    device.synchronize()


def measure() -> SpeedProbe:
    """The probe of this process's device. Not run on an accelerator."""
    busy = psutil.cpu_percent(interval=BUSY_SECONDS) / 100
    dtypes = {name: dtype for name, dtype in DTYPES.items() if name != "bf16" or device.computes_bf16()}
    matmul = matmul_rates() if device.is_on_cpu() else {}
    is_onednn_faster = matmul.get("onednn", 0) > matmul.get("mkl", 0)
    with onednn_matmul() if is_onednn_faster else nullcontext():
        step, forward = flops(dtypes)
    return SpeedProbe(
        device=device.device().type,
        device_name=device.name(),
        memory_bytes=device.memory_bytes(),
        flops=step,
        forward=forward,
        matmul=matmul,
        busy_share=busy,
        has_varlen_attention=device.has_varlen_attention(),
    )


if __name__ == "__main__":
    target = Path(sys.argv[1])
    atomic_io.write_cached(target, seal_object(target, measure().model_dump(mode="json")))
