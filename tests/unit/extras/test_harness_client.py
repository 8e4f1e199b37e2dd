"""Benchmarks of a run: refused before a model is loaded where they cannot work, asked in a process, kept in the run."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.collecting_reporter import CollectingReporter
from tests.unit.planning.conftest import facts
from tunewright.api import TrainedRun
from tunewright.config.run_config import RunConfig
from tunewright.errors import TunewrightError
from tunewright.errors.exit_codes import EXIT_MISSING_PART
from tunewright.extras.lm_eval import harness_client
from tunewright.launch import session_client
from tunewright.planning.make_plan import make_plan
from tunewright.planning.run_plan import InspectedFacts
from tunewright.rundir import atomic_io, file_names, run_dir

__all__ = ["facts"]
FAKE = Path(__file__).with_name("fake_harness.py")


@pytest.fixture
def run(tmp_path: Path, facts: Callable[..., InspectedFacts]) -> TrainedRun:
    """A finished run as far as a benchmark looks at it."""
    known = facts()
    known = known.model_copy(update={"model": known.model.model_copy(update={"folder": str(tmp_path)})})
    plan = make_plan(RunConfig.model_validate({"model": "smollm2", "data": "x.jsonl", "task": "causal_lm"}), known)
    folder = run_dir.create(tmp_path / "run", "run")
    atomic_io.write_json(folder.file(file_names.PLAN), plan.model_dump(mode="json"))
    folder.adapter_dir.mkdir()
    (folder.adapter_dir / "adapter_config.json").write_text("{}")
    return TrainedRun(folder)


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The harness counts as installed, and another process stands for it; the modules that were to be started."""
    started: list[str] = []

    def command(module: str, *arguments: str) -> list[str]:
        started.append(module)
        return [sys.executable, str(FAKE), *arguments]

    monkeypatch.setattr(harness_client, "find_spec", lambda name: name == "lm_eval" or None)
    monkeypatch.setattr(session_client, "command", command)
    return started


def code_of(run: TrainedRun, *tasks: str, **options: Any) -> str:
    with pytest.raises(TunewrightError) as caught:
        run.benchmark(tasks, **options)
    return caught.value.problems[0].code


def test_without_the_harness_the_extra_is_named(run: TrainedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness_client, "find_spec", lambda name: None)
    with pytest.raises(TunewrightError, match=r"pip install -e \"\.\[bench\]\"") as caught:
        run.benchmark(["arc_easy"])
    assert (caught.value.problems[0].code, caught.value.exit_code) == ("E601", EXIT_MISSING_PART)


def test_a_run_that_labels_is_refused(run: TrainedRun, harness: list[str]) -> None:
    plan = json.loads(run.dir.file(file_names.PLAN).read_text())
    plan["run"]["task"] = "seq_cls"
    atomic_io.write_json(run.dir.file(file_names.PLAN), plan)
    assert code_of(run, "arc_easy") == "E609"
    assert harness == []


def test_a_folder_that_names_code_is_refused_before_anything_starts(
    run: TrainedRun, harness: list[str], tmp_path: Path
) -> None:
    (tmp_path / "evil.yaml").write_text("task: evil\nprocess_docs: !function utils.process\n")
    assert code_of(run, "evil", include_path=tmp_path) == "E608"
    assert harness == []


def test_the_harness_is_asked_offline_and_without_a_token(
    run: TrainedRun, harness: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secretsecret")
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "shop.yaml").write_text("task: shop\n")
    reporter = CollectingReporter()
    result = run.benchmark(["shop"], rows=5, include_path=tmp_path / "tasks", reporter=reporter)
    request = result["tasks"]["shop"]["asked"]
    assert harness == ["tunewright.extras.lm_eval.harness_worker"]
    assert (request["do"], request["rows"], request["argv"]) == ("benchmark", 5, [str(run.path)])
    assert request["include_path"] == str((tmp_path / "tasks").resolve())
    assert reporter.steps == [(1, 2)]
    environment = request["environment"]
    assert {environment[name] for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_EVALUATE_OFFLINE")} == {"1"}
    assert "HF_TOKEN" not in environment
    online = run.benchmark(["shop"], online=True)["tasks"]["shop"]["asked"]["environment"]
    assert (online["HF_HUB_OFFLINE"], online["HF_DATASETS_OFFLINE"], online["HF_EVALUATE_OFFLINE"]) == ("0", "0", "1")
    assert "HF_TOKEN" not in online


def test_results_of_several_calls_are_kept_side_by_side(run: TrainedRun, harness: list[str]) -> None:
    assert run.dir.benchmark() is None
    run.benchmark(["a", "b"], rows=1)
    run.benchmark(["b", "c"], rows=2)
    stored = run.dir.benchmark()
    assert {name: task.rows for name, task in stored.tasks.items()} == {"a": 1, "b": 2, "c": 2}
    assert json.loads(run.dir.benchmark_path.read_text())["harness"] == "0"
    assert run.dir.path / "eval" / "benchmark.json" == run.dir.benchmark_path


def test_what_goes_wrong_there_is_raised_here_and_leaves_nothing(run: TrainedRun, harness: list[str]) -> None:
    assert code_of(run, "unknown") == "E610"
    assert code_of(run, "dies") == "E506"
    assert run.dir.benchmark() is None
