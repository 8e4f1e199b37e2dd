"""The library that multiplies: measured, exact, and given back as it was."""

import pytest
import torch

from tests.collecting_reporter import CollectingReporter
from tunewright.kernels import cpu_matmul


def test_onednn_is_used_inside_the_block_alone() -> None:
    setting = torch.backends.mkldnn.matmul
    before = setting.fp32_precision
    with cpu_matmul.onednn_matmul():
        assert setting.fp32_precision == "bf16"
    assert setting.fp32_precision == before


def test_a_library_that_is_not_exact_is_neither_measured_nor_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_matmul, "onednn_error", lambda: 3e-3)
    assert "onednn" not in cpu_matmul.matmul_rates()
    reporter = CollectingReporter()
    before = torch.backends.mkldnn.matmul.fp32_precision
    with cpu_matmul.planned_matmul(["onednn_matmul"], reporter):
        assert torch.backends.mkldnn.matmul.fp32_precision == before
    assert reporter.notes == ["onednn_matmul: products are off by 0.003 in this process"]


def test_planned_products_are_those_of_fp32() -> None:
    x, w = torch.randn(64, 576), torch.randn(1536, 576)
    exact = x.double() @ w.T.double()
    with cpu_matmul.planned_matmul(["onednn_matmul"]):
        product = torch.nn.functional.linear(x, w)
    assert float((product - exact).norm() / exact.norm()) < cpu_matmul.EXACT


def test_without_a_plan_for_it_torch_multiplies_as_ever() -> None:
    before = torch.backends.mkldnn.matmul.fp32_precision
    with cpu_matmul.planned_matmul([]):
        assert torch.backends.mkldnn.matmul.fp32_precision == before


def test_the_error_of_halved_inputs_would_be_seen() -> None:
    """The bound lies between what fp32 and what bf16 inputs give, on the very shapes that are looked at."""
    for tokens, width, out in cpu_matmul.SHAPES:
        x, w = torch.randn(tokens, width), torch.randn(out, width)
        exact = x.double() @ w.T.double()
        low = x.bfloat16().double() @ w.T.bfloat16().double()
        assert float((low - exact).norm() / exact.norm()) > 100 * cpu_matmul.EXACT
