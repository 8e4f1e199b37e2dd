"""Runs whose processes share out the base (`launch.strategy: fsdp2`): the same bits as where each holds all of it, whatever
happens to one of them. gloo on CPUs; not run on a GPU.

Each task with several methods: tests/matrix/test_fsdp2_equal.py.
"""

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.faults.conftest import Toys
from tests.faults.fingerprint import adapter, fingerprint
from tests.faults.test_nodes import ends, free_port, on_two, parent
from tests.faults.test_ranks import Start, Undisturbed, fingerprints, see, start, undisturbed
from tests.signals import signals_given_back
from tunewright.engine.models.shard_base import shard_base
from tunewright.engine.system.ranks import ALONE
from tunewright.errors import TunewrightError
from tunewright.launch import start_run
from tunewright.rundir.run_dir import RunDir

__all__ = ["fingerprints", "signals_given_back", "start", "undisturbed"]
TWO: dict[str, Any] = {"launch.processes": 2, "launch.parts": 2}
SHARDED = {**TWO, "launch.strategy": "fsdp2"}


@pytest.fixture(autouse=True)
def _handlers(signals_given_back: None) -> None:
    """A parent in this process sets its own."""


def finished(toys: Toys, run: RunDir) -> RunDir:
    assert see(toys, run) == 0, run.file("log.txt").read_text()[-5000:]
    return run


OTHERS: list[dict[str, Any]] = [
    {"model.precision": "mixed"},
    {"model.precision": "bf16"},
    {"launch.strategy": "fsdp2_offload"},
    {"peft.use_dora": True},
    {"peft.init_lora_weights": "pissa"},
    {"peft.init_lora_weights": "eva"},
]


@pytest.mark.parametrize(
    "settings",
    [
        {"train.activation_checkpointing": True},
        {"peft.bias": "all"},
        *(pytest.param(settings, marks=pytest.mark.slow) for settings in OTHERS),
    ],
    ids=str,
)
def test_shares_of_the_base_change_no_bit(toys: Toys, start: Start, settings: dict[str, Any]) -> None:
    values = {"train.num_train_epochs": 1, "eval.rows": 3, "fast_paths.merged_lora": False, **settings}
    whole = finished(toys, start("whole", values, **{**TWO, "launch.strategy": "ddp"}))
    shared = finished(toys, start("shared", values, **{**SHARDED, **settings}))
    assert re.search(r"fsdp2\w*: \d+ of \d+ bytes", shared.file("log.txt").read_text())
    assert fingerprint(shared) == fingerprint(whole)


def test_one_row_of_a_step_leaves_a_process_with_stand_ins_alone(toys: Toys, start: Start) -> None:
    rows = (toys.folder / "train.jsonl").read_text().splitlines(keepends=True)
    (toys.folder / "nine.jsonl").write_text("".join(rows[:9]))
    settings = {"data.train": str(toys.folder / "nine.jsonl"), "train.num_train_epochs": 1}
    one = finished(toys, start("one", settings, **{"launch.parts": 2}))
    two = finished(toys, start("two", settings, **SHARDED))
    assert fingerprint(two) == fingerprint(one)
    assert "loss backend: ('packing',)" in two.file("log.txt").read_text(), "in chunks, without padding"


def test_a_run_goes_on_without_shares_and_as_one_process(
    toys: Toys, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its checkpoints are those of one process: fsdp2 -> one -> two -> fsdp2."""
    unbroken = finished(toys, start("unbroken", {"launch.parts": 2}))
    run = start("resumed", {}, **SHARDED)
    for step, processes, strategy in ((5, 1, "ddp"), (11, 2, "ddp"), (17, 2, "fsdp2")):
        for rank in ("", "0"):  # one process has no number
            monkeypatch.setenv(f"FAULT{rank}", json.dumps({"at": "step_end", "step": step, "do": "term"}))
            Path(f"{run.path}.faulty{rank}").unlink(missing_ok=True)
        assert see(toys, run) == 143, run.file("log.txt").read_text()[-5000:]
        start_run.requeue(run, {"launch.processes": processes, "launch.strategy": strategy})
    assert fingerprint(finished(toys, run)) == fingerprint(unbroken)


def test_one_process_cannot_share_and_the_fix_says_so(
    toys: Toys, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start("run", {"train.num_train_epochs": 1}, **SHARDED)
    monkeypatch.setenv("FAULT0", json.dumps({"at": "step_end", "step": 2, "do": "term"}))
    assert see(toys, run) == 143
    with pytest.raises(TunewrightError) as refused:
        start_run.requeue(run, {"launch.processes": 1})
    assert "launch.strategy=ddp" in str(refused.value)


@pytest.mark.parametrize(
    ("rank", "deed"),
    [
        (1, "kill"),
        (0, "hang"),
        pytest.param(0, "kill", marks=pytest.mark.slow),
        pytest.param(1, "hang", marks=pytest.mark.slow),
    ],
)
def test_a_process_that_dies_or_hangs_is_named_and_costs_nothing(
    toys: Toys, start: Start, undisturbed: Undisturbed, monkeypatch: pytest.MonkeyPatch, deed: str, rank: int
) -> None:
    """The other one waits for its shares."""
    settings = {"train.num_train_epochs": 1, **SHARDED}
    expected, run = undisturbed(settings), start("run", settings)
    monkeypatch.setenv(f"FAULT{rank}", json.dumps({"at": "step_begin", "step": 6, "do": deed}))
    finished(toys, run)
    alerts = [event.problem for event in run.read_events() if event.kind == "alert"]
    assert [alert.code for alert in alerts] == ["W503"]
    assert re.search(rf"process {rank} of 2 on \S+", alerts[0].message()), alerts[0].message()
    assert deed == "kill" or "in all_gather" in alerts[0].message()
    assert fingerprint(run) == expected


def test_a_pass_that_others_do_not_make_ends_with_the_time_out_and_costs_nothing(
    toys: Toys, start: Start, undisturbed: Undisturbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What would become of a step without stand-ins: all wait for each other, ten times their patience, and start again."""
    settings = {"train.num_train_epochs": 1, **SHARDED}
    expected, run = undisturbed(settings), start("run", settings, **{"launch.timeout_seconds": 1})
    monkeypatch.setenv("FAULT1", json.dumps({"at": "step_begin", "step": 6, "do": "one pass more"}))
    begun = time.monotonic()
    finished(toys, run)
    assert time.monotonic() - begun < 60
    assert [event.problem.code for event in run.read_events() if event.kind == "alert"] == ["W503"]
    assert fingerprint(run) == expected


def test_a_process_out_of_memory_goes_down_the_ladder_and_not_to_fewer_bits(
    toys: Toys, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start("run", {"train.num_train_epochs": 1}, **SHARDED)
    monkeypatch.setenv("FAULT1", json.dumps({"at": "step_begin", "step": 6, "do": "no memory"}))
    finished(toys, run)
    assert [event.problem.code for event in run.read_events() if event.kind == "alert"] == ["D101"]
    assert run.plan().run.model.quantization == "none"


def test_stopping_is_the_same_step_in_all(toys: Toys, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    run = start("run", {}, **SHARDED)
    monkeypatch.setenv("FAULT1", json.dumps({"at": "step_begin", "step": 3, "do": "term"}))
    assert see(toys, run) == 143
    assert (run.state(), [problem.code for problem in run.info().problems]) == ("stopped", ["E507"])


def test_two_machines_have_their_own_shares_each(toys: Toys, start: Start) -> None:
    """Two processes on each of them, four parts."""
    settings = {"train.num_train_epochs": 1, "launch.timeout_seconds": 5}
    whole = finished(toys, start("whole", settings, **{"launch.parts": 4}))
    named = on_two(f"127.0.0.1:{free_port()}", **{"launch.processes": 2, "launch.strategy": "fsdp2"})
    runs = [start(f"machine-{number}", settings, **values) for number, values in enumerate(named)]
    assert ends([parent(toys, run) for run in runs]) == [0, 0], runs[0].file("log.txt").read_text()[-5000:]
    torch.testing.assert_close(adapter(runs[0].adapter_dir), adapter(whole.adapter_dir), rtol=0, atol=1e-5)
    for run in runs:
        shares = re.findall(r"fsdp2: (\d+) of (\d+) bytes", run.file("log.txt").read_text())
        assert sum(int(here) for here, _whole in shares) == int(shares[0][1])


def test_a_model_without_known_blocks_is_refused() -> None:
    with pytest.raises(TunewrightError) as refused:
        shard_base(nn.Linear(2, 2), [], ALONE, 2, "fsdp2")
    assert [problem.code for problem in refused.value.problems] == ["E332"]
