"""W8A8: layers in 8 bits, multiplied in 8 bits, against the fp32 layers they were made of.

Tolerances: rounding inputs and weights to 8 bits moves a layer's output by about one percent of its length, and its
gradient into the inputs by as much.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import AutoPeftModelForCausalLM
from torch import nn

from tunewright import api
from tunewright.engine.models.quantization import dequantized, weight_bytes
from tunewright.engine.session_server import SessionServer
from tunewright.inspection.machine_info import SpeedProbe, probe_path
from tunewright.kernels import int8
from tunewright.kernels.cpu_matmul import is_int8_exact
from tunewright.kernels.int8 import Int8Linear, LastInput
from tunewright.planning.compatibility import ON_QUANTIZED
from tunewright.rundir.session_protocol import MergeRequest

from .test_causal_lm import run_for
from .test_methods import SMALL

pytestmark = pytest.mark.fast_paths
CLOSE = 0.02


@pytest.fixture
def fast_int8(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which products in 8 bits were measured to be fast."""
    rates = {"mkl": 1e11, "onednn": 2e11, "int8": 9e11}
    probe = SpeedProbe(
        device="cpu", device_name="CPU", memory_bytes=0, flops={"fp32": 2e11, "bf16": 1e11}, matmul=rates
    )
    probe_path().write_text(probe.model_dump_json())


def apart(first: torch.Tensor, second: torch.Tensor) -> float:
    return float((first - second).norm() / second.norm())


def layer(bias: bool = True) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(96, 160, bias=bias)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(96,), (7, 96), (2, 5, 96)])
def test_a_layer_and_its_gradient_are_close_to_fp32(bias: bool, shape: tuple[int, ...]) -> None:
    plain = layer(bias)
    rounded = Int8Linear.of(plain, LastInput())
    inputs = [torch.randn(shape).requires_grad_() for _ in range(2)]
    inputs[1].data.copy_(inputs[0].data)
    out, expected = rounded(inputs[0]), plain(inputs[1])
    assert out.shape == expected.shape
    assert apart(out, expected) < CLOSE
    out.square().sum().backward()
    expected.square().sum().backward()
    assert inputs[0].grad is not None and inputs[1].grad is not None
    assert apart(inputs[0].grad, inputs[1].grad) < 2 * CLOSE


def test_columns_that_tower_over_the_others_do_not_cost_them_their_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, x = layer(), torch.randn(64, 96)
    x[:, 5] *= 300
    changed = x.clone()
    changed[:, 5] = 0
    plain.weight.data[:, 5] *= 1e-3  # so that the others decide the sum
    with torch.no_grad():
        expected = plain(x)
        error_kept = apart(Int8Linear.of(plain, LastInput())(x), expected)
        monkeypatch.setattr(int8, "OUTLIER", float("inf"))
        lost = apart(Int8Linear.of(plain, LastInput())(x), expected)
    assert error_kept < 2 * CLOSE  # the outlier's own part is rounded in the weights alone
    assert lost > 10 * error_kept


def test_inputs_are_rounded_once_for_layers_that_read_the_same_and_anew_for_others() -> None:
    last, x = LastInput(), torch.randn(8, 96)
    first = last.rounded(x)
    assert last.rounded(x) is first
    x.add_(1)
    changed = last.rounded(x)
    assert changed is not first
    assert last.rounded(x.clone()) is not changed


def test_inputs_are_left_as_they_are_where_two_ways_are_compared() -> None:
    plain = layer()
    rounded, x = Int8Linear.of(plain, LastInput()), torch.randn(8, 96)
    with int8.unrounded_inputs(nn.Sequential(rounded)):
        exact = rounded(x)
    torch.testing.assert_close(exact, nn.functional.linear(x, rounded.dequantized(), plain.bias), atol=0, rtol=0)
    assert not torch.equal(rounded(x), exact)


def test_a_layer_of_nothing_stays_nothing() -> None:
    out = Int8Linear.of(layer(bias=False), LastInput())(torch.zeros(4, 96))
    assert torch.equal(out, torch.zeros(4, 160))


def test_this_machines_products_in_8_bits_are_right() -> None:
    assert is_int8_exact()


@pytest.mark.parametrize("method", sorted(ON_QUANTIZED))
def test_every_method_trains_on_it_and_its_adapter_fits_the_plain_base(
    method: str, tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path, fast_int8: None
) -> None:
    settings = {"method": method, "model.quantization": "8bit", "train.learning_rate": 2e-2, **SMALL.get(method, {})}
    run = run_for(tiny_model("qwen2"), shop_rows, tmp_path / "run", **settings)
    assert "int8" in run.dir.plan().fast_paths
    assert not [event for event in run.dir.read_events() if event.kind == "alert"]
    losses = [event.loss for event in run.dir.read_events() if event.kind == "log"]
    assert min(losses[1:]) < losses[0]
    session = SessionServer(run.dir, lambda message: None)
    base = session.model.get_base_model()
    assert {type(m) for m in base.modules() if isinstance(m, nn.Linear) and m.weight.dtype == torch.int8} == {
        Int8Linear
    }
    assert type(base.lm_head) is nn.Linear
    ids = {"input_ids": torch.tensor([[5, 6, 7, 8]])}
    bare = AutoPeftModelForCausalLM.from_pretrained(run.adapter).eval()
    with torch.no_grad():
        assert apart(session.model.eval()(**ids).logits[:, -4:], bare(**ids).logits[:, -4:]) < 3 * CLOSE


def test_it_is_merged_by_way_of_a_plain_base(
    tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path, fast_int8: None
) -> None:
    run = run_for(tiny_model(), shop_rows, tmp_path / "run", **{"model.quantization": "8bit"})
    result = SessionServer(run.dir, lambda message: None).merge(MergeRequest(str(tmp_path / "merged")))
    assert result.base == "dequantized from 8bit"
    assert result.equal == result.prompts > 0


@pytest.mark.parametrize(("task", "family"), [("seq_cls", "bert"), ("token_cls", "llama"), ("seq2seq", "t5")])
def test_other_tasks_keep_their_heads_in_fp32(
    task: str, family: str, tiny_model: Callable[..., Path], task_rows: dict[str, Path], tmp_path: Path, fast_int8: None
) -> None:
    settings = {"task": task, "model.quantization": "8bit", "eval.max_new_tokens": 3}
    run = run_for(tiny_model(family), task_rows[task], tmp_path / "run", **settings)
    base = SessionServer(run.dir, lambda message: None).model.get_base_model()
    kinds = {name: m.weight.dtype for name, m in base.named_modules() if isinstance(m, nn.Linear)}
    assert torch.int8 in kinds.values()
    heads = [kind for name, kind in kinds.items() if name.startswith(("classifier", "score", "lm_head"))]
    assert heads
    assert set(heads) == {torch.float32}


def test_its_weights_take_a_quarter_and_go_back_to_plain_ones(tiny_model: Callable[..., Path], shop_rows: Path) -> None:
    model, _tokenizer = api.load_model(str(tiny_model()), shop_rows)
    base = model.unload()
    before, weight = weight_bytes(base), base.model.layers[0].mlp.up_proj.weight.clone()
    linear = sum(m.weight.numel() for m in base.modules() if type(m) is nn.Linear and m is not base.lm_head)
    int8.to_int8(base)
    rows = sum(m.out_features for m in base.modules() if isinstance(m, Int8Linear))
    assert before - weight_bytes(base) == 3 * linear - 4 * rows
    again = dequantized(base, torch.float32).model.layers[0].mlp.up_proj
    assert type(again) is nn.Linear
    assert apart(again.weight, weight) < CLOSE


def test_a_family_with_transposed_weights_is_left_to_bitsandbytes(
    tiny_model: Callable[..., Path], shop_rows: Path, fast_int8: None
) -> None:
    named = {"model.name": str(tiny_model("gpt2")), "data.train": str(shop_rows), "model.quantization": "8bit"}
    plan = api.plan(api.load(named=named))
    assert "int8" not in plan.fast_paths
    assert (
        next(c for c in plan.choices if c.path == "fast_paths.int8").reason
        == "this family keeps its weights transposed"
    )
