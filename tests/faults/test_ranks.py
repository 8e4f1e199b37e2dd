"""Runs of several processes: the same as one process's, whatever happens to one of them.

Workers are forked, and have a real parent. Tolerances where the number of processes differs: losses and norms 1e-6, weights
1e-4, as sums have another order and Adam's first steps are signs.
"""

import json
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.faults.conftest import BASE, Toys
from tests.faults.fingerprint import adapter, fingerprint
from tests.matrix.conftest import task_rows, tiny_model
from tests.signals import signals_given_back
from tunewright import api
from tunewright.errors import TunewrightError
from tunewright.launch import start_run
from tunewright.launch.supervisor import Supervisor
from tunewright.reporting import SILENT
from tunewright.rundir import rank_files, run_lock
from tunewright.rundir.run_dir import RunDir

__all__ = ["signals_given_back", "task_rows", "tiny_model"]

LOSS, WEIGHTS = 1e-6, 1e-4
Start = Callable[..., RunDir]


@pytest.fixture(autouse=True)
def _handlers(signals_given_back: None) -> None:
    """A parent in this process sets its own."""


@pytest.fixture
def start(toys: Toys, tmp_path: Path) -> Start:
    """A planned run of the tiny model, or of another one."""

    def start(name: str, settings: Mapping[str, object] | None = None, **named: object) -> RunDir:
        values = {
            **BASE, "model.name": str(toys.folder / "model"), "data.train": str(toys.folder / "train.jsonl"),
            "data.holdout": str(toys.folder / "held_out.jsonl"), "run.output_dir": str(tmp_path / name),
            "launch.timeout_seconds": 3, **(settings or {}), **named,
        }  # fmt: skip
        loaded = api.load(named={name: value for name, value in values.items() if value is not None})
        return start_run.create(loaded, api.plan(loaded), force=True, reporter=SILENT)

    return start


def see(toys: Toys, run: RunDir) -> int:
    """See a run through, by a parent in this process."""
    lock = run_lock.take(run.path)
    assert lock is not None
    try:
        return Supervisor(run, toys.argv(run), (), lock=lock).supervise()
    finally:
        run_lock.release(lock)


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


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_two_processes_are_one_with_two_parts_to_the_bit(toys: Toys, start: Start, dropout: float) -> None:
    settings = {"peft.lora_dropout": dropout, "launch.parts": 2}
    one, two = start("one", settings), start("two", settings, **{"launch.processes": 2})
    assert (see(toys, one), see(toys, two)) == (0, 0)
    assert fingerprint(two) == fingerprint(one)


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


def test_one_row_of_a_step_leaves_others_without_rows(toys: Toys, start: Start) -> None:
    """Rows that do not fill the last step: one process has nothing to do there."""
    rows = (toys.folder / "train.jsonl").read_text().splitlines(keepends=True)
    (toys.folder / "nine.jsonl").write_text("".join(rows[:9]))
    settings = {"data.train": str(toys.folder / "nine.jsonl"), "train.num_train_epochs": 1, "launch.parts": 2}
    one, two = start("one", settings), start("two", settings, **{"launch.processes": 2})
    assert (see(toys, one), see(toys, two)) == (0, 0)
    assert fingerprint(two) == fingerprint(one)


def test_a_run_goes_on_with_another_number_of_processes(
    toys: Toys, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    unbroken = start("unbroken", {"launch.parts": 3})
    assert see(toys, unbroken) == 0
    run = start("resumed", {"launch.parts": 3, "launch.processes": 2})
    for step, processes in ((5, 1), (11, 3), (17, 2)):
        for rank in ("", "0"):  # one process has no number
            monkeypatch.setenv(f"FAULT{rank}", json.dumps({"at": "step_end", "step": step, "do": "term"}))
            Path(f"{run.path}.faulty{rank}").unlink(missing_ok=True)
        assert see(toys, run) == 143
        assert run.state() == "stopped"
        start_run.requeue(run, {"launch.processes": processes})
    assert see(toys, run) == 0
    torch.testing.assert_close(adapter(run.adapter_dir), adapter(unbroken.adapter_dir), rtol=0, atol=1e-6)


@pytest.mark.parametrize("deed", ["kill", "segfault", "hang", "sleep", "stop"])
@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_dies_or_hangs_is_named_and_costs_nothing(
    toys: Toys, start: Start, monkeypatch: pytest.MonkeyPatch, deed: str, rank: int
) -> None:
    settings = {"launch.processes": 2, "train.num_train_epochs": 1}
    unbroken = start("unbroken", settings)
    assert see(toys, unbroken) == 0
    run = start("run", settings)
    monkeypatch.setenv(f"FAULT{rank}", json.dumps({"at": "step_begin", "step": 6, "do": deed}))
    begun = time.monotonic()
    assert see(toys, run) == 0, run.file("log.txt").read_text()[-3000:]
    assert time.monotonic() - begun < 60
    alerts = [event.problem for event in run.read_events() if event.kind == "alert"]
    assert [alert.code for alert in alerts] == ["W503"]
    assert re.search(rf"process {rank} of 2 on \S+", alerts[0].message()), alerts[0].message()
    assert fingerprint(run) == fingerprint(unbroken)


def test_a_process_out_of_memory_goes_down_the_ladder(
    toys: Toys, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start("run", {"launch.processes": 2, "train.num_train_epochs": 1})
    monkeypatch.setenv("FAULT1", json.dumps({"at": "step_begin", "step": 6, "do": "no memory"}))
    assert see(toys, run) == 0, run.file("log.txt").read_text()[-3000:]
    assert [event.problem.code for event in run.read_events() if event.kind == "alert"] == ["D101"]


@pytest.mark.parametrize(("deed", "code"), [("nan gradient", "E501"), ("raise", "E802"), ("other weights", "E526")])
def test_what_goes_wrong_in_one_process_ends_all_with_one_problem(
    toys: Toys, start: Start, monkeypatch: pytest.MonkeyPatch, deed: str, code: str
) -> None:
    monkeypatch.setattr("tests.faults.conftest.STEPS", 8)
    settings = {"launch.processes": 2, "train.num_train_epochs": 7 if code == "E526" else 1}
    run = start("run", settings)
    monkeypatch.setenv("FAULT1", json.dumps({"at": "step_begin", "step": 6, "do": deed}))
    assert see(toys, run) != 0
    assert run.state() == "failed"
    problems = run.info().problems
    assert [problem.code for problem in problems] == [code], problems
    assert [event.kind for event in run.read_events()].count("failed") == 1


def test_a_slow_process_is_named_once(toys: Toys, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    run = start("run", {"launch.processes": 2, "train.num_train_epochs": 7})
    monkeypatch.setenv("FAULT1", json.dumps({"at": "step_begin", "step": 2, "do": "slow"}))
    assert see(toys, run) == 0, run.file("log.txt").read_text()[-3000:]
    alerts = [event.problem for event in run.read_events() if event.kind == "alert"]
    assert [(alert.code, alert.values["rank"]) for alert in alerts] == [("W509", 1)]


def test_stopping_is_the_same_step_in_all(toys: Toys, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    run = start("run", {"launch.processes": 2})
    monkeypatch.setenv("FAULT1", json.dumps({"at": "step_begin", "step": 3, "do": "term"}))
    assert see(toys, run) == 143
    assert (run.state(), [problem.code for problem in run.info().problems]) == ("stopped", ["E507"])


def test_each_process_says_where_it_is(toys: Toys, start: Start) -> None:
    run = start("run", {"launch.processes": 2, "train.num_train_epochs": 1})
    assert see(toys, run) == 0
    states = rank_files.read_states(run.path)
    assert [state.rank for state in states] == [0, 1]
    assert all(state.step == 0 and state.phase == "save" for state in states)


@pytest.mark.parametrize(
    ("settings", "fix"),
    [
        ({"launch.processes": 5}, "--processes 4"),
        ({"launch.processes": 3, "launch.parts": 2}, "--processes 2"),
        ({"launch.processes": 0}, ""),
    ],
)
def test_numbers_that_cannot_be(start: Start, settings: dict[str, int], fix: str) -> None:
    with pytest.raises(TunewrightError) as raised:
        start("run", settings)
    assert fix in str(raised.value)
    assert "launch.processes" in str(raised.value)
