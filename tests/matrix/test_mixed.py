"""Mixed precision: whole runs of methods x tasks against the same in fp32, and what is kept in which type.

Tolerance: bf16 keeps 8 bits, so a tiny random model's loss moves by some thousandths; 2 % of it leave room for small models.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from tests.matrix.families import ZOO
from tests.matrix.test_causal_lm import run_for
from tests.matrix.test_methods import KINDS, SMALL
from tunewright import api
from tunewright.config.methods import METHODS
from tunewright.data.tokenized.tokenization import TokenizedExample
from tunewright.engine.session_server import SessionServer
from tunewright.kernels.cross_entropy import answer_loss, plain_loss
from tunewright.kernels.mixed_precision import as_products_read, to_mixed
from tunewright.kernels.packing import attend_by_document, pack, packed_loss
from tunewright.rundir.session_protocol import MergeRequest

LOSS = 0.02
CELLS = [(method, task, family) for family, tasks in KINDS.items() for task in tasks for method in METHODS]
DECODERS = sorted(name for name, tiny in ZOO.items() if tiny.task == "causal_lm")


def logged(run: api.TrainedRun) -> list[float]:
    return [event.loss for event in run.dir.read_events() if event.kind == "log"]


@pytest.fixture
def train(tiny_model: Callable[..., Path], task_rows: dict[str, Path], tmp_path: Path) -> Callable[..., api.TrainedRun]:
    def train(method: str, task: str, family: str, precision: str, **settings: object) -> api.TrainedRun:
        small: dict[str, object] = {"train.max_steps": 2, "train.eval_steps": 2, "eval.max_new_tokens": 2}
        small |= {"task": task, "method": method, "model.precision": precision, **SMALL.get(method, {}), **settings}
        return run_for(tiny_model(family), task_rows[task], tmp_path / f"{precision}-{len(settings)}", **small)

    return train


@pytest.mark.parametrize(("method", "task", "family"), CELLS)
def test_every_method_trains_every_task_with_nearly_the_loss_of_fp32(
    method: str, task: str, family: str, train: Callable[..., api.TrainedRun]
) -> None:
    mixed, plain = (train(method, task, family, precision) for precision in ("mixed", "fp32"))
    assert logged(mixed)[0] == pytest.approx(logged(plain)[0], rel=LOSS)
    assert not [event for event in mixed.dir.read_events() if event.kind == "alert"]
    assert mixed.result["after"]["held_out_loss"] == pytest.approx(plain.result["after"]["held_out_loss"], rel=LOSS)


@pytest.fixture
def model(tiny_model: Callable[..., Path]) -> PeftModel:
    base = AutoModelForCausalLM.from_pretrained(tiny_model("llama"), dtype=torch.bfloat16).requires_grad_(False)
    return get_peft_model(to_mixed(base), LoraConfig(r=4, target_modules=["q_proj", "v_proj"]))


ROWS = [
    TokenizedExample(i, [5 + i, *range(6, 20 + i)], [-100] * 8 + list(range(13, 20 + i)), 8, 15 + i) for i in range(3)
]


def test_products_are_bf16_and_what_is_between_them_fp32(model: PeftModel) -> None:
    base, seen = model.get_base_model(), {}
    for name, module in base.named_modules():
        module.register_forward_hook(lambda _m, _i, output, name=name: seen.__setitem__(name, output))
    loss = answer_loss(
        model, {"input_ids": torch.tensor([ROWS[0].input_ids]), "labels": torch.tensor([ROWS[0].labels])}
    )
    loss.backward()
    types = {name: out.dtype for name, out in seen.items() if isinstance(out, torch.Tensor)}
    assert types["model.embed_tokens"] == torch.float32
    assert types["model.layers.0"] == torch.float32  # what flows from block to block
    assert types["model.layers.0.mlp.down_proj"] == types["model.layers.0.input_layernorm"] == torch.bfloat16
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
    assert {p.grad.dtype for p in model.parameters() if p.grad is not None} == {torch.float32}
    assert all(p.dtype == torch.bfloat16 for p in base.parameters() if p.dim() == 2 and not p.requires_grad)
    assert base.model.norm.weight.dtype == torch.float32
    assert not torch.is_autocast_enabled("cpu")


def test_autocast_ends_with_a_pass_that_fails(model: PeftModel) -> None:
    with pytest.raises(IndexError):
        model(input_ids=torch.tensor([[10**6]]))
    assert not torch.is_autocast_enabled("cpu")


def test_packed_and_padded_rows_have_the_same_loss(model: PeftModel) -> None:
    longest = max(len(row.input_ids) for row in ROWS)
    padded = {
        "input_ids": torch.tensor([row.input_ids + [0] * (longest - len(row.input_ids)) for row in ROWS]),
        "labels": torch.tensor([row.labels + [-100] * (longest - len(row.labels)) for row in ROWS]),
    }
    padded["attention_mask"] = torch.tensor([[1] * len(r.input_ids) + [0] * (longest - len(r.input_ids)) for r in ROWS])
    expected = plain_loss(model, padded)
    attend_by_document(model)
    for share in (True, False):
        assert float(packed_loss(model, pack(ROWS, share=share))) == pytest.approx(float(expected), rel=5e-3)


@pytest.mark.parametrize("name", DECODERS)
def test_every_family_computes_close_to_its_fp32(name: str) -> None:
    torch.manual_seed(0)
    plain = ZOO[name].build().eval()
    mixed: PreTrainedModel = type(plain)(plain.config).eval()
    mixed.load_state_dict(plain.state_dict())
    to_mixed(mixed.to(torch.bfloat16))
    ids = torch.arange(3, 15)[None]
    with torch.no_grad():
        expected, actual = plain(input_ids=ids).logits, mixed(input_ids=ids).logits.float()
    assert float((actual - expected).norm() / expected.norm()) < 0.05


def test_a_head_that_is_trained_computes_in_fp32(train: Callable[..., api.TrainedRun]) -> None:
    run = train("lora", "seq_cls", "bert", "mixed")
    session = SessionServer(run.dir, lambda message: None)
    heads = [m for name, m in session.model.named_modules() if "classifier" in name and isinstance(m, nn.Linear)]
    assert heads and all(head.weight.dtype == torch.float32 for head in heads)
    assert heads[-1](torch.ones(1, heads[-1].in_features, dtype=torch.bfloat16)).dtype == torch.float32


def test_a_mixed_run_is_merged(train: Callable[..., api.TrainedRun], tmp_path: Path) -> None:
    run = train("lora", "causal_lm", "llama", "mixed")
    result = SessionServer(run.dir, lambda message: None).merge(MergeRequest(str(tmp_path / "merged")))
    assert result.equal == result.prompts > 0 and (tmp_path / "merged/model.safetensors").is_file()


def test_inputs_of_products_that_autocast_does_not_know_are_left_alone_without_it() -> None:
    x, y = torch.ones(2), torch.ones(2)
    assert as_products_read(x, y)[0] is x
    with torch.autocast("cpu", torch.bfloat16):
        assert {tensor.dtype for tensor in as_products_read(x, y)} == {torch.bfloat16}
