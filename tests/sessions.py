"""Finished runs whose session is a process without a model."""

import sys
from pathlib import Path

import pytest

from tunewright.api import TrainedRun
from tunewright.config.run_config import RunConfig
from tunewright.launch import session_client
from tunewright.planning.make_plan import make_plan
from tunewright.planning.run_plan import InspectedFacts
from tunewright.rundir import atomic_io, file_names, run_dir

FAKE = Path(__file__).with_name("fake_session.py")


def finished_run(
    folder: Path, facts: InspectedFacts, *, task: str = "causal_lm", single_turn: bool = False, data: str = "x.jsonl"
) -> TrainedRun:
    """A finished run as far as a session looks at it; its base is a folder that exists."""
    base = facts.model.model_copy(update={"folder": str(folder.parent), "tasks": (task,)})
    labels = {} if task == "causal_lm" else {"labels": ("order", "refund", "track")}
    kind = {"problem_type": "single_label_classification"} if task == "seq_cls" else {}
    rows = facts.data.model_copy(update={"is_single_turn": single_turn, **labels, **kind})
    known = facts.model_copy(update={"model": base, "data": rows})
    plan = make_plan(RunConfig.model_validate({"model": "smollm2", "data": data, "task": task}), known)
    run = run_dir.create(folder, folder.name)
    run.update_info(state="finished")
    atomic_io.write_json(run.file(file_names.PLAN), plan.model_dump(mode="json"))
    run.adapter_dir.mkdir()
    (run.adapter_dir / "adapter_config.json").write_text("{}")
    return TrainedRun(run)


def use_fake_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions are processes of `fake_session.py` from now on."""

    def command(module: str, *arguments: str) -> list[str]:
        assert module == "tunewright.extras.session_worker"
        return [sys.executable, str(FAKE), *arguments]

    monkeypatch.setattr(session_client, "command", command)
    monkeypatch.setattr(session_client, "worker_environment", dict)
