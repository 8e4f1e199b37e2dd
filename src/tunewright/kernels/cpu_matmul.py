"""How a CPU multiplies fp32 matrices: by the library that torch uses by default (MKL), or by oneDNN.

On processors of other vendors than Intel, MKL uses narrower instructions. Measured on an AMD EPYC (Zen 5, 2 cores, torch
2.13) at training shapes: 210 GFLOP/s by MKL, 480 by oneDNN, with similar rounding errors (2.5e-7 and 3.9e-7 of the result's
length); a training step of SmolLM2 with LoRA took 16.5 and 9.4 s.

torch has one switch to oneDNN for fp32, which also allows it bf16 where the processor has matrix units for that. So the
switch is used only where a check finds its results to be those of fp32.
"""

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from tunewright.i18n import N_, Phrase
from tunewright.reporting import SILENT, Reporter

# Of the result's length. fp32 sums of 576 products are off by about 4e-7, bf16 inputs by 3e-3.
EXACT = 2e-6
# Tokens, values in, values out: large and small products of a training.
SHAPES = ((512, 576, 1536), (192, 1536, 576), (128, 64, 128))
ROUNDS, SECONDS_A_ROUND = 3, 0.02


@contextmanager
def onednn_matmul() -> Iterator[None]:
    """fp32 products of large matrices by oneDNN for as long as the block lasts, in this process."""
    with _matmul_precision("bf16"):
        yield


@contextmanager
def default_matmul() -> Iterator[None]:
    """Products by torch's own library for as long as the block lasts.

    For torch's attention, which multiplies one head at a time: by oneDNN each of these small products costs more than it
    saves (12 tokens for 40 prompts: 1.16 s of attention instead of 0.38).
    """
    with _matmul_precision("none"):
        yield


@contextmanager
def _matmul_precision(name: str) -> Iterator[None]:
    before = torch.backends.mkldnn.matmul.fp32_precision
    torch.backends.mkldnn.matmul.fp32_precision = name
    try:
        yield
    finally:
        torch.backends.mkldnn.matmul.fp32_precision = before


def planned_matmul(paths: Collection[str], reporter: Reporter = SILENT) -> AbstractContextManager[None]:
    """The library that a process multiplies with: oneDNN if that is planned and exact in this process too."""
    if "onednn_matmul" not in paths:
        return nullcontext()
    error = onednn_error()
    if error < EXACT:
        return onednn_matmul()
    reporter.note(
        Phrase(N_("{path}: products are off by {error} in this process"), path="onednn_matmul", error=f"{error:.1g}")
    )
    return nullcontext()


def onednn_error() -> float:
    """The largest error of oneDNN's products, as a share of the result's length; infinite without oneDNN."""
    if not torch.backends.mkldnn.is_available():
        return float("inf")
    generator, worst = torch.Generator().manual_seed(0), 0.0
    for tokens, width, out in SHAPES:
        x, w = torch.randn(tokens, width, generator=generator), torch.randn(out, width, generator=generator)
        exact = x.double() @ w.T.double()
        with onednn_matmul():
            products = (x @ w.T, torch.bmm(x[None], w.T.contiguous()[None])[0])
        worst = max(worst, *(float((p - exact).norm() / exact.norm()) for p in products))
    return worst


def matmul_rates() -> dict[str, float]:
    """Operations per second of products in fp32 by library, in 8 bits, and in bf16 with its inputs and results made narrow and
    wide again; a library that is not exact is left out."""
    x, w = torch.randn(SHAPES[0][:2]), torch.randn(SHAPES[0][2], SHAPES[0][1])
    rates = {"mkl": _rate(lambda: x @ w.T, x.numel() * len(w))}
    if onednn_error() < EXACT:
        with onednn_matmul():
            rates["onednn"] = _rate(lambda: x @ w.T, x.numel() * len(w))
    narrow = w.to(torch.bfloat16).T
    rates["bf16"] = _rate(lambda: (x.to(torch.bfloat16) @ narrow).float(), x.numel() * len(w))
    if is_int8_exact():
        codes, columns = x.to(torch.int8), w.to(torch.int8).T
        rates["int8"] = _rate(lambda: torch._int_mm(codes, columns), x.numel() * len(w))
    return rates


def is_int8_exact() -> bool:
    """True if products of 8-bit integers equal those of 32-bit integers."""
    generator = torch.Generator().manual_seed(0)
    x, w = (torch.randint(-127, 128, size, dtype=torch.int8, generator=generator) for size in ((33, 96), (40, 96)))
    return torch.equal(torch._int_mm(x, w.T), x.int() @ w.T.int())


def _rate(multiply: Callable[[], torch.Tensor], num_products: int) -> float:
    """The best of a few rounds, so that other load on the machine does not decide."""
    best = 0.0
    for _round in range(ROUNDS):
        started, count = time.perf_counter(), 0
        while time.perf_counter() - started < SECONDS_A_ROUND:
            multiply()
            count += 1
        best = max(best, 2 * num_products * count / (time.perf_counter() - started))
    return best
