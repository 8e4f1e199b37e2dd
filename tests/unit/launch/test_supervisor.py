"""A parent and workers that die: what is taken for a lack of memory, what becomes of the run, where it ends."""

import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.signals import signals_given_back
from tests.unit.planning.conftest import facts
from tunewright.config.load_config import to_yaml
from tunewright.config.run_config import RunConfig
from tunewright.inspection.memory_monitor import Cgroup
from tunewright.launch.supervisor import Supervisor
from tunewright.planning.make_plan import make_plan
from tunewright.planning.memory_fallback import LOADER_ORIGIN, remedies
from tunewright.planning.run_plan import InspectedFacts
from tunewright.rundir import atomic_io, file_names, run_dir
from tunewright.rundir.checkpoints import CheckpointStore
from tunewright.rundir.run_dir import RunDir

pytestmark = pytest.mark.processes

__all__ = ["facts", "signals_given_back"]
FAKE = Path(__file__).with_name("fake_worker.py")
GIB = 2**30
Supervise = Callable[..., RunDir]


@pytest.fixture
def supervise(tmp_path: Path, facts: Callable[..., InspectedFacts]) -> Supervise:
    """A run of eight rows at once in steps of sixteen, seen through with workers that end as told."""

    def see_through(*ends: tuple[str, int, str], checkpoint: int = 0, still_seconds: float = 60) -> RunDir:
        train = {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 2}
        config = RunConfig.model_validate(
            {"model": "smollm2", "data": "rows.jsonl", "task": "causal_lm", "train": train}
        )
        run = run_dir.create(tmp_path / "shop", "shop")
        atomic_io.write_text(run.file(file_names.CONFIG), to_yaml(config))
        origins = {f"train.{name}": "--set" for name in train}
        atomic_io.write_text(run.file(file_names.PLAN), make_plan(config, facts(), origins).model_dump_json())
        if checkpoint:
            checkpoints = CheckpointStore(run.checkpoints_dir, run.info().id)
            checkpoints.save(checkpoint, lambda content: None, {}, keep=2)
        group = tmp_path / "group"
        group.mkdir()
        (group / "memory.max").write_text(str(2 * GIB))
        (group / "memory.current").write_text(str(GIB))
        (group / "memory.events").write_text("oom_kill 0\n")
        argv = [sys.executable, str(FAKE), str(run.path), str(group), json.dumps(ends)]
        code = Supervisor(run, argv, (Cgroup(group),), still_seconds).supervise()
        assert code == run.info().exit_code
        return run

    return see_through


def starts(run: RunDir) -> list[list[int]]:
    """Rows at once and halvings of the tests, of each worker that was started."""
    return [json.loads(line) for line in run.file("starts.jsonl").read_text().splitlines()]


def alerts(run: RunDir) -> list[dict[str, Any]]:
    return [event.problem.values for event in run.read_events() if event.kind == "alert"]


def codes(run: RunDir) -> list[str]:
    return [problem.code for problem in run.info().problems]


def test_two_kills_for_memory_and_the_run_ends_by_itself(supervise: Supervise) -> None:
    run = supervise(("rehearse", 0, "oom"), ("train", 7, "oom"), ("train", 9, "done"), checkpoint=5)
    assert run.state() == "finished"
    assert starts(run) == [[8, 0], [4, 0], [2, 0]]
    first, second = alerts(run)
    assert (first["was"], first["now"], first["batch"]) == ("8 x 2", "4 x 4", 16)
    assert first["evidence"] == "the kernel counted a kill for memory"
    assert first["total"] == "2.0 GiB"
    assert (second["step"], second["start"], second["now"]) == (7, 5, "2 x 8")
    plan = run.plan()
    assert plan.effective_batch == 16
    assert remedies(plan) == {"train.per_device_train_batch_size": 2, "train.gradient_accumulation_steps": 8}
    assert [line.now for line in run.info().remedies] == ["4 x 4", "2 x 8"]
    sequence = [event.seq for event in run.read_events()]
    assert sequence == sorted(set(sequence))


def test_the_report_tells_of_the_saving(supervise: Supervise) -> None:
    run = supervise(("train", 3, "oom"), ("train", 9, "done"))
    page = run.file(file_names.REPORT).read_text()
    assert "D101" in page
    assert "8 x 2 before, 4 x 4 now; the run goes on from step 0 with the same effective batch of 16" in page


def test_a_kill_by_somebody_is_no_end_of_the_run(supervise: Supervise) -> None:
    run = supervise(("train", 7, "kill"), ("train", 9, "done"), checkpoint=5)
    assert run.state() == "finished"
    assert starts(run) == [[8, 0], [8, 0]], "nothing of the plan was changed"
    how = "signal 9 from another process; memory was not short"
    assert alerts(run) == [{"step": 7, "how": how, "start": 5, "count": 1, "most": 3}]
    assert "W503" in run.file(file_names.LOG).read_text()


def test_a_crash_by_a_signal_is_tried_again_too(supervise: Supervise) -> None:
    run = supervise(("train", 3, "segfault"), ("train", 9, "done"))
    assert (run.state(), alerts(run)[0]["how"]) == ("finished", f"signal {signal.SIGSEGV.value}")


def test_rows_are_loaded_without_the_process_that_died(supervise: Supervise) -> None:
    run = supervise(("train", 7, "loader"), ("train", 9, "done"), checkpoint=5)
    assert run.state() == "finished"
    assert alerts(run) == [{"step": 7, "start": 5}]
    plan = run.plan()
    assert plan.run.train.extra == {"dataloader_num_workers": 0}
    assert [choice.origin for choice in plan.choices if choice.path == "train.dataloader_num_workers"] == [
        LOADER_ORIGIN
    ]
    assert "W504" in run.file(file_names.LOG).read_text()


STILL = "signal 9 from its parent, as it computed and wrote nothing for ten minutes"


def test_a_worker_that_stands_still_is_followed_by_another(supervise: Supervise) -> None:
    run = supervise(("train", 7, "hang"), ("train", 9, "done"), checkpoint=5, still_seconds=1)
    assert run.state() == "finished"
    assert starts(run) == [[8, 0], [8, 0]]
    assert [(alert["step"], alert["how"], alert["start"]) for alert in alerts(run)] == [(7, STILL, 5)]


def test_a_worker_that_stands_still_again_and_again_is_given_up(supervise: Supervise) -> None:
    run = supervise(*[("train", 3, "hang")] * 9, still_seconds=1)
    assert (run.state(), codes(run), len(starts(run))) == ("failed", ["E506"], 4)
    assert run.info().problems[0].values["how"] == STILL


def test_a_worker_that_dies_without_a_new_step_is_given_up(supervise: Supervise) -> None:
    run = supervise(*[("train", 3, "kill")] * 9)
    assert (run.state(), run.info().exit_code) == ("failed", 1)
    assert codes(run) == ["E506"]
    assert run.info().problems[0].values["how"] == "signal 9 from another process; memory was not short"
    assert [alert["count"] for alert in alerts(run)] == [1, 2, 3]
    assert len(starts(run)) == 4
    assert run.read_events()[-1].kind == "failed"


def test_a_new_step_renews_the_tries(supervise: Supervise) -> None:
    deaths = [("train", step, "kill") for step in (3, 3, 3, 4, 4, 4)]
    run = supervise(*deaths, ("train", 9, "done"))
    assert run.state() == "finished"
    assert [alert["count"] for alert in alerts(run)] == [1, 2, 3, 1, 2, 3]


def test_a_kill_for_memory_between_others_keeps_to_its_own_ladder(supervise: Supervise) -> None:
    run = supervise(("train", 3, "kill"), ("train", 3, "oom"), ("train", 9, "done"))
    assert run.state() == "finished"
    assert starts(run) == [[8, 0], [8, 0], [4, 0]]


@pytest.mark.parametrize("how", ["term", "int"])
def test_a_request_to_end_that_nobody_could_answer_is_a_stop(supervise: Supervise, how: str) -> None:
    """As when the whole group is told to end while the worker still imports."""
    run = supervise(("train", 3, how), ("train", 9, "done"))
    assert (run.state(), codes(run), starts(run)) == ("stopped", ["E509"], [[8, 0]])


def test_a_worker_that_was_done_and_died_on_its_way_out_was_done(supervise: Supervise) -> None:
    run = supervise(("train", 9, "done and killed"))
    assert (run.state(), codes(run), starts(run)) == ("finished", [], [[8, 0]])


@pytest.mark.parametrize("how", ["refused", "bad_alloc"])
def test_memory_that_was_refused_is_saved_as_well(supervise: Supervise, how: str) -> None:
    run = supervise(("train", 3, how), ("train", 9, "done"))
    assert run.state() == "finished"
    assert starts(run) == [[8, 0], [4, 0]]
    assert alerts(run)[0]["evidence"] == "the worker was refused the memory it requested"


def test_a_test_is_retried_in_smaller_batches_and_with_the_same_training(supervise: Supervise) -> None:
    run = supervise(("evaluate_before", 0, "oom"), ("evaluate_after", 9, "oom"), ("save", 9, "done"))
    assert starts(run) == [[8, 0], [8, 2], [8, 4]]
    assert [(alert["what"], alert["was"], alert["now"]) for alert in alerts(run)] == [
        ("batches of a test", "1/1", "1/4"), ("batches of a test", "1/4", "1/16")
    ]  # fmt: skip


def test_an_end_of_another_kind_is_an_end(supervise: Supervise) -> None:
    run = supervise(("train", 3, "crash"), ("train", 9, "done"))
    assert (codes(run), starts(run)) == (["E506"], [[8, 0]])


@pytest.mark.parametrize("how", ["oom", "refused", "bad_alloc"])
def test_the_ladder_ends_with_what_happened_and_what_would_help(supervise: Supervise, how: str) -> None:
    run = supervise(*[("train", 3, how)] * 9)
    assert (run.state(), run.info().exit_code) == ("failed", 7)
    assert codes(run) == [{"oom": "E402", "refused": "E404", "bad_alloc": "E404"}[how], "E405"]
    tried = [alert["what"] for alert in alerts(run)]
    assert tried == [*["rows at once x micro-batches"] * 3, "activation checkpointing", "weights of the base"]
    last = run.info().problems[-1].values
    assert (last["count"], last["name"], last["rank"]) == (5, "shop", 8)
    assert len(starts(run)) == 6


def test_rows_that_do_not_fit_are_not_helped_by_a_smaller_model(supervise: Supervise) -> None:
    run = supervise(("prepare", 0, "oom"))
    assert (codes(run), alerts(run)) == (["E402", "E405"], [])


def test_tests_that_never_fit_end_as_well(supervise: Supervise) -> None:
    run = supervise(*[("evaluate_before", 0, "oom")] * 9)
    assert [alert["now"] for alert in alerts(run)] == ["1/4", "1/16", "1/64", "8bit"]
    assert codes(run) == ["E402", "E405"]
