"""Runs, checkpoints and configs that version 0.1.0 made, before the records were typed: they are read, reported, resumed, compared.

tests/fixtures/work_of_0_1 holds a random model of one block, 40 generated rows, a finished run of 8 steps, and the same run
stopped after 5; made on Linux x86-64 with torch 2.13.0.
"""

import json
import shutil
from pathlib import Path

import pytest

import tunewright
from tunewright import api
from tunewright.diagnose.rules import diagnose
from tunewright.launch import start_run
from tunewright.report.run_report import summary, write_report
from tunewright.rundir.checkpoints import damage, read_manifest, seal
from tunewright.rundir.events import LogEvent
from tunewright.rundir.integrity import check_run
from tunewright.rundir.run_dir import RunDir

FIXTURE = Path(__file__).parents[1] / "fixtures" / "work_of_0_1"
PLACE = "/home/somebody/work"
WITH_PATHS = ("run.json", "plan.json", "config.yaml", "events.jsonl")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """The folder, as if it had been made here."""
    folder = tmp_path / "work"
    shutil.copytree(FIXTURE, folder)
    for path in (path for name in WITH_PATHS for path in folder.glob(f"*/{name}")):
        path.write_text(path.read_text().replace(PLACE, str(folder)))
    checkpoint = folder / "stopped" / "checkpoints" / "checkpoint-5"
    manifest = read_manifest(checkpoint)
    assert manifest is not None and not damage(checkpoint)
    identity = json.loads(json.dumps(manifest.identity).replace(PLACE, str(folder)))
    seal(checkpoint, run_id=manifest.run, step=manifest.step, identity=identity)
    return folder


def losses(run: RunDir) -> dict[int, float | None]:
    return {event.step: event.loss for event in run.read_events() if isinstance(event, LogEvent)}


def test_a_finished_run_is_read_and_reported(work: Path) -> None:
    run = api.open_run(str(work / "finished"))
    stored = json.loads((FIXTURE / "finished" / "run.json").read_text())["result"]
    assert run.state == "finished" and run.exit_code == 0
    assert {name: run.result[name] for name in ("before", "after", "tokens", "steps", "best_step")} == {
        name: stored[name] for name in ("before", "after", "tokens", "steps", "best_step")
    }
    assert len(run.dir.samples("after")) == stored["rows"] == 2
    assert len(run.dir.losses("before")) == stored["held_out_rows"] == 8
    assert len(losses(run.dir)) == 8
    data = run.dir.data_summary()
    assert data is not None and (data.used, data.held_out) == (32, 8)
    findings = diagnose(run.dir).findings
    assert summary(run.dir, findings)["steps"] == {"planned": 8, "done": 8, "kept": stored["best_step"]}
    page = write_report(run.dir, findings).read_text(encoding="utf-8")
    assert 'id="data"' in page and 'id="seen"' in page
    assert [report.faults for report in check_run(run.dir) if report.kind == "adapter"] == [()]


def test_a_stopped_run_is_resumed_from_its_checkpoint_and_compared(work: Path) -> None:
    stopped = RunDir(work / "stopped")
    assert [problem.code for problem in api.open_run(str(stopped.path)).problems] == ["E507"]
    start_run.wait(start_run.resume(stopped, {}))
    assert stopped.state() == "finished", stopped.file("log.txt").read_text()[-3000:]
    unbroken = losses(RunDir(work / "finished"))
    assert losses(stopped) == pytest.approx(unbroken, rel=1e-5)
    comparison = tunewright.compare_runs([api.open_run(str(work / name)) for name in ("finished", "stopped")])
    shown = comparison.to_json()
    assert shown["held_out_rows"] == 8


def test_its_config_trains_again(work: Path) -> None:
    loaded = api.load(config=work / "finished" / "config.yaml", named={"run.output_dir": str(work / "again")})
    run = api.train_loaded(loaded)
    assert losses(run.dir) == pytest.approx(losses(RunDir(work / "finished")), rel=1e-5)
