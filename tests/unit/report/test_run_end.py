"""Why a run ended: every reader gives the same answer, whoever wrote the end."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from tunewright import api
from tunewright.diagnose import evidence
from tunewright.errors import Problem
from tunewright.report import run_record
from tunewright.report.run_report import summary
from tunewright.rundir.run_dir import RunDir
from tunewright.rundir.run_end import end_problems

KILLED = Problem("E509", values={"step": 12, "name": "mita"})
NO_MEMORY = Problem("E404", values={"step": 12, "reason": "std::bad_alloc"})


def codes(run: RunDir) -> list[str]:
    """The one answer, after a check that all readers give it."""
    problems = end_problems(run)
    assert run_record.read(run).failure == list(evidence.read(run).problems) == problems
    as_json = [problem.to_json() for problem in problems]
    assert summary(run, ())["problems"] == api.TrainedRun(run).result["problems"] == as_json
    return [problem.code for problem in problems]


def test_a_worker_killed_by_its_supervisor_is_reported_by_all(start: Callable[..., Any]) -> None:
    run = start(
        state="stopped", problems=[KILLED.to_record()], exit_code=143
    ).run  # no `failed` event: nobody wrote one
    assert codes(run) == ["E509"]


def test_a_worker_whose_supervisor_died_is_reported_by_its_event(start: Callable[..., Any]) -> None:
    story = start(state="running")
    story.failed(NO_MEMORY, 12)
    assert story.run.state() == "failed"
    assert codes(story.run) == ["E404"]


def test_what_the_supervisor_knows_comes_before_the_event(start: Callable[..., Any]) -> None:
    story = start(state="failed", problems=[KILLED.to_record()])
    story.failed(NO_MEMORY, 12)
    assert codes(story.run) == ["E509"]


@pytest.mark.parametrize("state", ["finished", "failed"])
def test_an_end_without_problems_has_none(start: Callable[..., Any], state: str) -> None:
    story = start(state=state, problems=[])
    story.done(135, 108)
    assert codes(story.run) == []


def test_an_older_session_does_not_explain_a_later_end(start: Callable[..., Any]) -> None:
    story = start(state="running")
    story.failed(NO_MEMORY, 12)
    story.phase("load", 3.4)  # resumed, then killed with its supervisor
    assert story.run.state() == "lost"
    assert codes(story.run) == []


def test_a_live_run_has_no_end(start: Callable[..., Any]) -> None:
    run = start(state="queued").run
    run.update_info(queued=time.time())
    assert codes(run) == []
