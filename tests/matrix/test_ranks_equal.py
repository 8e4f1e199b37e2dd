"""Each task by one, two and three processes, with several methods.

Tolerances: losses and norms 1e-6, weights 1e-4, as sums have another order and Adam's first steps are signs.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.faults.conftest import Toys, toys
from tests.faults.fingerprint import adapter
from tests.faults.test_ranks import Start, see, start
from tests.signals import signals_given_back
from tunewright.rundir.run_dir import RunDir

__all__ = ["signals_given_back", "start", "toys"]
LOSS, WEIGHTS = 1e-6, 1e-4


@pytest.fixture(autouse=True)
def _handlers(signals_given_back: None) -> None:
    """A parent in this process sets its own."""


def of_kind(run: RunDir, kind: str, field: str) -> list[float]:
    return [getattr(event, field) for event in run.read_events() if event.kind == kind]


def assert_equal(one: RunDir, other: RunDir) -> None:
    """Losses, norms, held-out losses, scores and adapters of two runs, within what another order of sums may cost."""
    for kind, field in (("log", "loss"), ("log", "grad_norm"), ("eval", "held_out_loss")):
        torch.testing.assert_close(
            torch.tensor(of_kind(other, kind, field)), torch.tensor(of_kind(one, kind, field)), rtol=LOSS, atol=LOSS
        )
    of_one, of_other = adapter(one.adapter_dir), adapter(other.adapter_dir)
    assert of_one.keys() == of_other.keys()
    for name, tensor in of_one.items():
        torch.testing.assert_close(of_other[name], tensor, rtol=0, atol=WEIGHTS)
    assert one.result().tokens == other.result().tokens
    assert one.result().after == pytest.approx(other.result().after, rel=LOSS)


MATRIX = [
    ("causal_lm", "llama", {"method": "lora", "peft.r": 4}),
    ("causal_lm", "llama", {"method": "adalora", "peft.r": None, "peft.init_r": 6, "peft.target_r": 4}),
    ("causal_lm", "llama", {"method": "ia3", "peft.r": None, "peft.lora_dropout": None}),
    ("causal_lm", "llama", {"method": "prompt_tuning", "peft.r": None, "peft.lora_dropout": None,
                            "peft.num_virtual_tokens": 4}),
    ("causal_lm", "llama", {"method": "lora", "peft.r": 4, "peft.modules_to_save": ["lm_head"]}),
    ("seq_cls", "bert", {"method": "lora", "peft.r": 4}),
    ("seq_cls", "llama", {"method": "ia3", "peft.r": None, "peft.lora_dropout": None}),
    ("token_cls", "bert", {"method": "adalora", "peft.r": None, "peft.init_r": 6, "peft.target_r": 4}),
    ("seq2seq", "t5", {"method": "lora", "peft.r": 4}),
    ("seq2seq", "t5", {"method": "prompt_tuning", "peft.r": None, "peft.lora_dropout": None, "peft.num_virtual_tokens": 4}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("task", "family", "method"), MATRIX, ids=lambda value: value if isinstance(value, str) else value["method"]
)
def test_ranks_equal(
    toys: Toys,
    start: Start,
    tiny_model: Any,
    task_rows: dict[str, Path],
    task: str,
    family: str,
    method: dict[str, Any],
) -> None:
    """Three parts, the last step of the epoch short: by one process, by two (one of which has two parts) and by three."""
    settings = {
        "model.name": str(tiny_model(family)), "data.train": str(task_rows[task]), "task": task, "launch.parts": 3,
        "train.num_train_epochs": 1, "data.holdout": 0.15, **method,
    }  # fmt: skip
    runs = [start(f"{count}", settings, **{"launch.processes": count}) for count in (1, 2, 3)]
    for run in runs:
        assert see(toys, run) == 0, run.file("log.txt").read_text()[-3000:]
    assert_equal(runs[0], runs[1])
    assert_equal(runs[0], runs[2])


def test_means_of_each_process_own_label_tokens_are_found(
    toys: Toys, start: Start, tiny_model: Any, task_rows: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a wrapper that averages gradients makes of a loss that is a mean in each process: rows with few label tokens count
    for more. The comparison above has to tell it from another order of sums."""
    settings = {
        "model.name": str(tiny_model("llama")), "data.train": str(task_rows["causal_lm"]), "task": "causal_lm",
        "train.num_train_epochs": 1, "data.holdout": 0.15, "peft.lora_dropout": 0.0, "launch.parts": 2,
    }  # fmt: skip
    one, two = start("one", settings), start("two", settings, **{"launch.processes": 2})
    for rank in (0, 1):
        monkeypatch.setenv(f"FAULT{rank}", json.dumps({"means_of": 2}))
    assert (see(toys, one), see(toys, two)) == (0, 0)
    with pytest.raises(AssertionError):
        assert_equal(one, two)
    first, other = (of_kind(run, "log", "loss")[0] for run in (one, two))  # of the same weights
    assert abs(first - other) > 10 * LOSS * first
