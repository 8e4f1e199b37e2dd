"""The device's real speed by precision, measured in about a second: `python -m tunewright.engine.system.device_probe FILE`."""

import sys
import time
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path

import psutil
import torch
from torch import nn

from tunewright.inspection.machine_info import SpeedProbe
from tunewright.kernels.cpu_matmul import matmul_rates, onednn_matmul
from tunewright.rundir import atomic_io
from tunewright.security import seal_object

BUSY_SECONDS = 0.3
ROUNDS = 4
SECONDS_A_ROUND = 0.05
WIDTH, HEADS, INNER = 576, 9, 1536
ROWS, TOKENS = 4, 128
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def flops(dtypes: dict[str, torch.dtype], device: torch.device) -> dict[str, float]:
    """Useful floating point operations per second of a transformer block, forward and backward.

    A block and not a bare matrix product: on some CPUs bf16 products are fast while everything between them is slow.
    The precisions take turns and the best round of each counts, so that a busy neighbour does not decide.
    """
    best = dict.fromkeys(dtypes, 0.0)
    blocks = {
        name: nn.TransformerEncoderLayer(WIDTH, HEADS, INNER, dropout=0.0, batch_first=True, device=device, dtype=dtype)
        for name, dtype in dtypes.items()
    }
    for _round in range(ROUNDS):
        for name, block in blocks.items():
            best[name] = max(best[name], _rate(block, dtypes[name], device))
    return best


def _rate(block: nn.Module, dtype: torch.dtype, device: torch.device) -> float:
    x = torch.randn(ROWS, TOKENS, WIDTH, device=device).to(dtype).requires_grad_()
    parameters = sum(parameter.numel() for parameter in block.parameters())
    _step(block, x, device)
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < SECONDS_A_ROUND:
        _step(block, x, device)
        count += 1
    return 6 * parameters * ROWS * TOKENS * count / (time.perf_counter() - started)


def _step(block: nn.Module, x: torch.Tensor, device: torch.device) -> None:
    block(x).float().square().mean().backward()
    if device.type == "cuda":
        torch.cuda.synchronize()


def measure() -> SpeedProbe:
    """The probe of this machine's device. Its CUDA branch was not run here."""
    busy = psutil.cpu_percent(interval=BUSY_SECONDS) / 100
    is_gpu = torch.cuda.is_available()
    device = torch.device("cuda" if is_gpu else "cpu")
    properties = torch.cuda.get_device_properties(0) if is_gpu else None
    has_bf16 = not is_gpu or torch.cuda.is_bf16_supported()
    dtypes = {name: dtype for name, dtype in DTYPES.items() if name != "bf16" or has_bf16}
    matmul = {} if is_gpu else matmul_rates()
    is_onednn_faster = matmul.get("onednn", 0) > matmul.get("mkl", 0)
    with onednn_matmul() if is_onednn_faster else nullcontext():
        rates = flops(dtypes, device)
    return SpeedProbe(
        device=device.type,
        device_name=properties.name if properties else "CPU",
        memory_bytes=properties.total_memory if properties else 0,
        flops=rates,
        matmul=matmul,
        busy_share=busy,
        has_flash_attention=is_gpu and find_spec("flash_attn") is not None,
    )


if __name__ == "__main__":
    target = Path(sys.argv[1])
    atomic_io.write_cached(target, seal_object(target, measure().model_dump(mode="json")))
