"""Each task by one process with the whole base, and by two and three that share it out (FSDP2, gloo): losses, norms, scores and
adapters are the same, within the tolerances of test_ranks_equal.py.
"""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import Toys, toys
from tests.faults.test_ranks import Start, see, start
from tests.matrix.test_ranks_equal import assert_equal
from tests.signals import signals_given_back
from tunewright.rundir.run_dir import RunDir

__all__ = ["signals_given_back", "start", "toys"]
NO_LORA = {"peft.r": None, "peft.lora_dropout": None}


@pytest.fixture(autouse=True)
def _handlers(signals_given_back: None) -> None:
    """A parent in this process sets its own."""


def held(run: RunDir) -> list[tuple[int, int]]:
    """Bytes of the base's blocks that each process held, and all bytes of them, as the log says."""
    log = run.file("log.txt").read_text()
    return [(int(here), int(whole)) for here, whole in re.findall(r"fsdp2: (\d+) of (\d+) bytes", log)]


MATRIX = [
    ("causal_lm", "llama", {"method": "lora", "peft.r": 4, "peft.lora_dropout": 0.0}),
    ("causal_lm", "llama", {"method": "prompt_tuning", **NO_LORA, "peft.num_virtual_tokens": 4}),
    ("causal_lm", "llama", {"method": "lora", "peft.r": 4, "peft.modules_to_save": ["lm_head"]}),
    ("seq_cls", "bert", {"method": "lora", "peft.r": 4}),
    ("seq2seq", "t5", {"method": "lora", "peft.r": 4}),
]  # fmt: skip
SLOW = [
    ("causal_lm", "llama", {"method": "lora", "peft.r": 4, "train.activation_checkpointing": True}),
    ("causal_lm", "llama", {"method": "adalora", "peft.r": None, "peft.init_r": 6, "peft.target_r": 4}),
    ("seq_cls", "bert", {"method": "prompt_tuning", **NO_LORA, "peft.num_virtual_tokens": 4}),
    ("token_cls", "bert", {"method": "lora", "peft.r": 4}),
]  # fmt: skip
ALL = [*MATRIX, *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW)]


def named(value: Any) -> str:
    """The name of a case."""
    return value if isinstance(value, str) else "-".join(str(v) for v in value.values() if v is not None)


@pytest.mark.parametrize(("task", "family", "method"), ALL, ids=named)
def test_fsdp2_is_equal(
    toys: Toys,
    start: Start,
    tiny_model: Any,
    task_rows: dict[str, Path],
    task: str,
    family: str,
    method: dict[str, Any],
) -> None:
    """Three parts, the last step of the epoch short; two processes have another number of micro-batches each."""
    settings = {
        "model.name": str(tiny_model(family)), "data.train": str(task_rows[task]), "task": task, "launch.parts": 3,
        "train.num_train_epochs": 1, "data.holdout": 0.15, **method,
    }  # fmt: skip
    one = start("one", settings)
    assert see(toys, one) == 0, one.file("log.txt").read_text()[-3000:]
    for count in (2, 3):
        run = start(f"{count}", settings, **{"launch.processes": count, "launch.strategy": "fsdp2"})
        assert see(toys, run) == 0, run.file("log.txt").read_text()[-6000:]
        assert_equal(one, run)
        shares = held(run)
        assert len(shares) == count
        assert sum(here for here, _whole in shares) == shares[0][1] > 0
        assert all(here == pytest.approx(whole / count, rel=0.1) for here, whole in shares)
