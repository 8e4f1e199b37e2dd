"""A run is something people hand on: no key of whoever made it is in it, nor in what is said, nor in its processes."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest

from tests.collecting_reporter import CollectingReporter
from tests.hostile import TRIED, model_folder
from tunewright import api
from tunewright.cli.main import main
from tunewright.config.load_config import LoadedConfig
from tunewright.errors import TunewrightError
from tunewright.inspection.machine_info import SpeedProbe, probe_path
from tunewright.launch import resolve_model, start_run
from tunewright.reporting import SILENT
from tunewright.rundir import atomic_io, file_names
from tunewright.security import command, redact, spawn
from tunewright.security.printable_text import SECRETS

CANARY = "hf_CanaryCanaryCanaryCanary42"


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        monkeypatch.setenv(name, CANARY)


@pytest.fixture
def tiny(tmp_path: Path, home: Path) -> Iterator[LoadedConfig]:
    """A tiny run that is asked for, on a machine whose speed is known."""
    folder = model_folder(tmp_path / "model")
    probe = SpeedProbe(device="cpu", device_name="CPU", memory_bytes=0, flops={"fp32": 2e11, "bf16": 1e11})
    atomic_io.write_text(probe_path(), probe.model_dump_json())
    rows = (
        {"messages": [{"role": "user", "content": f"q{i}"}, {"role": "assistant", "content": f"a{i}"}]}
        for i in range(9)
    )
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    output = str(tmp_path / "run")
    yield api.load(
        named={"model.name": str(folder), "data.train": str(tmp_path / "rows.jsonl"), "run.output_dir": output}
    )


def files_with(secret: str, folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]


def test_a_planned_and_created_run_holds_no_key(tiny: LoadedConfig, tmp_path: Path, home: Path) -> None:
    reporter = CollectingReporter()
    run = start_run.create(tiny, api.plan(tiny, reporter=reporter), force=False, reporter=reporter)
    run.events.write("note", text="\n".join(reporter.notes))
    assert {path.name for path in run.path.iterdir()} >= {
        file_names.CONFIG,
        file_names.PLAN,
        file_names.RUN_JSON,
        file_names.EVENTS,
    }
    assert files_with(CANARY, tmp_path) == []
    assert files_with(CANARY, home) == []
    assert not any(CANARY in note for note in reporter.notes)
    TRIED["keys"] += 1


def test_our_processes_are_given_no_key(tmp_path: Path) -> None:
    script = "import json, os, sys; print(json.dumps([dict(os.environ), sys.argv, open('/proc/self/cmdline').read()]))"
    process = spawn([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert CANARY not in process.communicate()[0]
    assert CANARY not in " ".join(command("tunewright.engine.worker", str(tmp_path)))
    TRIED["keys"] += 1


@pytest.mark.parametrize(
    "answer_text", [f"401 for url?token={CANARY}", f"Bearer {CANARY}\nx", "Bearer hf_SomebodyElsesKey123"]
)
def test_what_the_hub_says_is_told_without_keys(monkeypatch: pytest.MonkeyPatch, answer_text: str) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(answer_text)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(TunewrightError, match="E702") as caught:
        resolve_model.resolve_model("owner/name", None, offline=False, reporter=SILENT)
    text = json.dumps([caught.value.problems[0].to_json(), caught.value.problems[0].to_record()])
    assert "hf_C" not in text and "hf_S" not in text and "***" in text
    TRIED["keys"] += 1


def test_a_crash_is_written_down_without_keys(
    monkeypatch: pytest.MonkeyPatch, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def crash(*_: object, **__: object) -> None:
        raise RuntimeError(f"headers: {CANARY}")

    monkeypatch.setattr(api, "environment", crash)
    monkeypatch.setattr(sys, "argv", ["tunewright", "env"])
    with pytest.raises(SystemExit):
        main()
    assert "RuntimeError" in (home / "crash.log").read_text()
    assert files_with(CANARY, home) == []
    TRIED["keys"] += 1


def test_words_that_are_no_keys_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        monkeypatch.delenv(name)
    assert redact("hf_hub_download of self_hf_thing, hf_x") == "hf_hub_download of self_hf_thing, hf_x"
