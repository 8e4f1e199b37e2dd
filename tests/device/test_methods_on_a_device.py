"""Methods x tasks on a device that is not the CPU: whole runs, in which nothing may be left behind on the CPU.

The device is simulated (`tests/mirror_device.py`): it refuses every operation on tensors of two devices, and computes by the
CPU's kernels. Tolerance of losses: 1e-4 of them in fp32, as attention is summed in another order than torch's own on a CPU.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import varlen_reference
from tests.matrix.test_causal_lm import run_for
from tests.matrix.test_methods import KINDS, SMALL
from tests.mirror_device import mirror_device
from tunewright import api
from tunewright.config.methods import METHODS
from tunewright.engine.models import load_model
from tunewright.engine.training import loss_backends
from tunewright.kernels import varlen_attention

# Each method with each task once: the kinds of models that have them are four.
PLACES = (("causal_lm", "llama"), ("seq_cls", "bert"), ("token_cls", "bert"), ("seq2seq", "t5"))
CELLS = [(method, task, family) for method in METHODS for task, family in PLACES]
COMPARED = [("lora", task, family) for family, tasks in KINDS.items() for task in tasks]
LOSS = 1e-4


@pytest.fixture
def on_device(monkeypatch: pytest.MonkeyPatch) -> Iterator[torch.device]:
    """The device is here, and accelerate takes it."""
    monkeypatch.setenv("ACCELERATE_TORCH_DEVICE", "mirror:0")
    with mirror_device() as device:
        yield device


@pytest.fixture
def train(tiny_model: Callable[..., Path], task_rows: dict[str, Path], tmp_path: Path) -> Callable[..., api.TrainedRun]:
    """A run of two steps with tests before and after; where, is for its caller to say."""

    def train(
        method: str = "lora", task: str = "causal_lm", family: str = "llama", **settings: object
    ) -> api.TrainedRun:
        small: dict[str, object] = {"train.max_steps": 2, "train.eval_steps": 2, "eval.max_new_tokens": 2}
        small |= {"task": task, "method": method, **SMALL.get(method, {}), **settings}
        place = tmp_path / f"run-{len(list(tmp_path.iterdir()))}"
        return run_for(tiny_model(family), task_rows[task], place, **small)

    return train


def losses(run: api.TrainedRun) -> list[float]:
    return [event.loss for event in run.dir.read_events() if event.kind == "log"]


@pytest.mark.parametrize(("method", "task", "family"), CELLS)
def test_a_run_leaves_no_tensor_on_the_cpu(
    method: str, task: str, family: str, on_device: torch.device, train: Callable[..., api.TrainedRun]
) -> None:
    run = train(method, task, family)
    assert len(losses(run)) == 2
    assert run.result["after"]


@pytest.mark.parametrize(
    ("task", "settings"),
    [
        ("seq_cls", {"data.class_weights": "balanced"}),
        ("token_cls", {"data.class_weights": "balanced"}),
        ("causal_lm", {"train.activation_checkpointing": True}),
        ("causal_lm", {"train.optim": "loraplus"}),
        ("causal_lm", {"train.optim": "lorafa"}),
        ("causal_lm", {"peft.use_dora": True}),
        ("causal_lm", {"peft.init_lora_weights": "eva"}),
        ("causal_lm", {"fast_paths.answer_loss": False}),
        ("causal_lm", {"fast_paths.merged_lora": False}),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_a_variant_leaves_no_tensor_on_the_cpu(
    task: str, settings: dict[str, object], on_device: torch.device, train: Callable[..., api.TrainedRun]
) -> None:
    assert len(losses(train("lora", task, "llama", **settings))) == 2


@pytest.mark.parametrize(("method", "task", "family"), COMPARED)
def test_a_run_computes_what_it_computes_on_a_cpu(
    method: str, task: str, family: str, train: Callable[..., api.TrainedRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = train(method, task, family)
    monkeypatch.setenv("ACCELERATE_TORCH_DEVICE", "mirror:0")
    with mirror_device():
        there = train(method, task, family)
    assert losses(there) == pytest.approx(losses(here), rel=LOSS)
    assert there.result["after"] == pytest.approx(here.result["after"], rel=LOSS)


def test_packed_rows_as_a_gpu_computes_them(
    on_device: torch.device, train: Callable[..., api.TrainedRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plain attention stands in for torch's kernel. The weights are in bf16, as the kernel asks for."""
    calls: list[torch.device] = []

    def attention(query: torch.Tensor, *arguments: Any, **named: Any) -> torch.Tensor:
        calls.append(query.device)
        return varlen_reference.varlen_attn(query, *arguments, **named)

    monkeypatch.setattr(varlen_attention, "varlen_attn", attention)
    monkeypatch.setattr(loss_backends, "has_varlen_attention", lambda: True)
    run = train(**{"model.precision": "bf16"})
    notes = [event.text for event in run.dir.read_events() if event.kind == "note"]
    assert calls and set(calls) == {on_device}
    assert not notes, "packed rows were left out"


def test_weights_go_to_the_device_one_by_one(
    on_device: torch.device, train: Callable[..., api.TrainedRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    """transformers is told where they belong, and hands out a model that is there: nothing is moved as a whole."""
    placed: list[set[str]] = []
    check = load_model.check_loaded

    def looked_at(model: torch.nn.Module, *rest: Any) -> None:
        placed.append({tensor.device.type for tensor in (*model.parameters(), *model.buffers())})
        check(model, *rest)

    monkeypatch.setattr(load_model, "check_loaded", looked_at)
    train()
    assert placed and all(kinds == {"mirror"} for kinds in placed)


def test_the_device_refuses_what_a_device_refuses(on_device: torch.device) -> None:
    """What this file rests on. CUDA, too, takes a CPU's indices, and its tensors without a dimension."""
    here, there = torch.ones(3), torch.ones(3, device=on_device)
    for mixed in (lambda: there + here, lambda: here @ there, lambda: torch.cat([there, here])):
        with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
            mixed()
    assert (
        here.to(on_device).device
        == there[torch.tensor([0, 1])].device
        == (there * torch.tensor(2.0)).device
        == on_device
    )
    assert type(there.cpu()) is torch.Tensor and there.tolist() == [1.0, 1.0, 1.0]
    there.cpu().zero_()
    assert there.sum().item() == 3.0, "another device is another memory"
