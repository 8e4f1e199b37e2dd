"""LoRA on every family: train through the worker's own code, load in bare PEFT, merge, equal logits.

Tolerances: 1e-4 on logits of size 1 in fp32, where merging adds one rounding to each weight.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import AutoPeftModelForCausalLM
from transformers import AutoModelForCausalLM, Trainer, TrainerCallback, TrainingArguments

from tunewright import api
from tunewright.data.tokenized.tokenization import TokenizedExample
from tunewright.data.tokenized.tokenizer import load_tokenizer
from tunewright.engine.models.load_model import load_adapter, load_base
from tunewright.engine.tasks.collator import StepCollator, pad_right
from tunewright.engine.tasks.task_losses import predicted_tokens
from tunewright.launch import in_process, start_run
from tunewright.reporting import SILENT

from .conftest import FAMILIES

LOGITS = 1e-4


def run_for(folder: Path, rows: Path, output: Path, **settings: object) -> api.TrainedRun:
    named = {
        "model.name": str(folder), "data.train": str(rows), "data.holdout": 0.2, "run.output_dir": str(output),
        "train.max_steps": 6,
        "train.learning_rate": 5e-3, "train.per_device_train_batch_size": 4, "train.gradient_accumulation_steps": 1,
        "train.eval_steps": 3, "eval.rows": 2, "eval.max_new_tokens": 8, **settings,
    }  # fmt: skip
    loaded = api.load(named=named)
    run = start_run.create(loaded, api.plan(loaded), force=False, reporter=SILENT)
    code = in_process.work(run)
    log = [event for event in run.read_events() if event.kind == "failed"]
    assert code == 0, log[-1].problems if log else code
    return api.TrainedRun(run)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_trains_saves_loads_and_merges(
    family: str, tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path
) -> None:
    folder = tiny_model(family)
    run = run_for(folder, shop_rows, tmp_path / "run", preset="complex")
    losses = [event.loss for event in run.dir.read_events() if event.kind == "log"]
    assert losses[-1] < losses[0]

    ids = torch.tensor([[5, 6, 7, 8]])
    bare = AutoPeftModelForCausalLM.from_pretrained(run.adapter).eval()
    ours = load_adapter(load_base(run.dir.plan(), load_tokenizer(folder)), run.adapter)
    with torch.no_grad():
        tuned = bare(input_ids=ids).logits
        torch.testing.assert_close(ours(input_ids=ids).logits, tuned, atol=0, rtol=0)
        merged = bare.merge_and_unload()
        torch.testing.assert_close(merged(input_ids=ids).logits, tuned, atol=LOGITS, rtol=LOGITS)
        base = AutoModelForCausalLM.from_pretrained(folder).eval()
        assert not torch.equal(base(input_ids=ids).logits, tuned), "the adapter changes nothing"


def _rows() -> list[TokenizedExample]:
    ids = [[3, 4, 5, 6, 7, 8, 2], [9, 10, 11, 2], [12, 13, 14, 15, 16, 17, 18, 19, 2]]
    return [TokenizedExample(i, row, [-100, -100, *row[2:]], 2, len(row)) for i, row in enumerate(ids)]


def test_the_model_trains_under_a_stock_trainer(
    tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path
) -> None:
    model, _tokenizer = api.load_model(str(tiny_model()), shop_rows)
    rows = [{k: v[0] for k, v in pad_right([row], 0).items()} for row in _rows()[:1]] * 4
    arguments = TrainingArguments(str(tmp_path / "out"), max_steps=2, report_to="none", use_cpu=True, disable_tqdm=True)
    result = Trainer(model=model, args=arguments, train_dataset=rows).train()
    assert result.global_step == 2


class Counting(TrainerCallback):
    """A person's own callback."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.steps.append(state.global_step)


def test_callbacks_of_a_person_run_under_ours(tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path) -> None:
    own = Counting()
    settings = {
        "train": {"max_steps": 3, "eval_steps": 2},
        "eval": {"rows": 0},
        "run": {"output_dir": str(tmp_path / "run")},
    }
    api.train(str(tiny_model()), shop_rows, callbacks=[own], **settings)
    assert own.steps == [1, 2, 3]


def test_micro_batches_hold_every_row_once_within_the_budget() -> None:
    rows = _rows()
    cut = StepCollator(pad_right, predicted_tokens, lambda row: len(row.input_ids), pad_id=0, max_tokens=12)
    step = cut(rows)
    assert sum(batch["input_ids"].shape[0] for batch in step["parts"][0]) == len(rows)
    assert int(step["num_tokens"]) == sum(len(row.input_ids) for row in rows)
    assert int(step["num_label_tokens"]) == sum(len(row.input_ids) - 2 for row in rows)
    assert all(b["input_ids"].numel() <= 12 or b["input_ids"].shape[0] == 1 for b in step["parts"][0])
    for batch in step["parts"][0]:
        assert torch.equal(batch["labels"] != -100, (batch["labels"] != -100) & (batch["attention_mask"] == 1))


def test_a_base_model_without_template_learns_prompt_and_answer(
    tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path
) -> None:
    run = run_for(tiny_model(chat=False), shop_rows, tmp_path / "run")
    plan = run.dir.plan()
    assert plan.run.model.chat_template == "plain"


def test_activation_checkpointing_gives_the_same_loss(
    tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path
) -> None:
    plain = run_for(tiny_model(), shop_rows, tmp_path / "a")
    saved = run_for(tiny_model(), shop_rows, tmp_path / "b", **{"train.activation_checkpointing": True})
    first, second = ([e.loss for e in r.dir.read_events() if e.kind == "log"] for r in (plain, saved))
    assert first == pytest.approx(second, abs=1e-6)
