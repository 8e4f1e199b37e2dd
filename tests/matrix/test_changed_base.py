"""The base belongs to a run's identity: other weights, another tokenizer or template are noticed by every verb."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from tunewright import api
from tunewright.cli.main import app
from tunewright.errors import ModelError, TrainingError, TunewrightWarning
from tunewright.launch import start_run
from tunewright.rundir import atomic_io, base_fingerprint, file_names, run_dir
from tunewright.rundir.checkpoints import read_manifest, sha256

from .test_causal_lm import run_for

Change = Callable[[Path], None]


@pytest.fixture
def trained(tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path) -> tuple[Path, api.TrainedRun]:
    """A copy of a tiny model, and a run on it."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_model("llama"), folder)
    return folder, run_for(folder, shop_rows, tmp_path / "run", **{"train.max_steps": 4, "train.eval_steps": 2})


def other_weights(folder: Path) -> None:
    """Other numbers under the same names and shapes, with the size and the times of the old file."""
    path = folder / "model.safetensors"
    before = path.stat()
    save_file({name: tensor + 0.05 for name, tensor in load_file(path).items()}, path, {"format": "pt"})
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size


def other_tokenizer(folder: Path) -> None:
    path = folder / "tokenizer.json"
    stored = json.loads(path.read_text())
    stored["model"]["merges"] = stored["model"]["merges"][:-1]
    path.write_text(json.dumps(stored))


def other_template(folder: Path) -> None:
    path = folder / "chat_template.jinja"
    path.write_text("{# another #}" + path.read_text())


def other_end_token(folder: Path) -> None:
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"eos_token": "<|endoftext|>"}))


def other_config(folder: Path) -> None:
    """The same shapes, so that the same weights fit, and other numbers from them."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"rms_norm_eps": 0.5}))


def other_tool_template(folder: Path) -> None:
    path = folder / "additional_chat_templates" / "tool_use.jinja"
    path.parent.mkdir()
    path.write_text("{# for tools #}" + (folder / "chat_template.jinja").read_text())


CHANGES = [
    (other_weights, "set of base weights"), (other_tokenizer, "tokenizer"), (other_template, "chat template"),
    (other_end_token, "tokenizer"), (other_config, "config.json"), (other_tool_template, "chat template for tools"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "what"), CHANGES)
def test_every_verb_names_what_is_another_one_now(
    trained: tuple[Path, api.TrainedRun], change: Change, what: str
) -> None:
    folder, run = trained
    change(folder)
    for measure in (run.evaluate, run.merge, run.prove):
        with pytest.raises(TrainingError) as caught:
            measure()
        assert [(p.code, p.values["key"]) for p in caught.value.problems] == [("E515", what)]
        assert caught.value.exit_code == 11
    assert [(p.code, p.values["key"]) for p in run.base_problems()] == [("W505", what)]
    run.dir.update_info(state="stopped")
    with pytest.raises(TrainingError) as caught:
        start_run.resume(run.dir, {})
    assert [(p.code, p.values["key"]) for p in caught.value.problems] == [("E502", what)]
    output = CliRunner().invoke(app, ["verify", str(run.path)])
    assert output.exit_code == 8
    assert "E516" in output.output
    assert what in " ".join(output.output.split())


def test_an_answer_is_given_with_a_warning(trained: tuple[Path, api.TrainedRun]) -> None:
    folder, run = trained
    other_weights(folder)
    with pytest.warns(TunewrightWarning, match=r"W505 .*set of base weights"):
        assert isinstance(run.chat("hello", max_new_tokens=2), str)
    run.close()


def test_what_is_served_on_another_base_is_told(
    trained: tuple[Path, api.TrainedRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, run = trained
    other_weights(folder)

    def ended(*_runs: object, **_options: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "open_server", ended)
    output = CliRunner().invoke(app, ["serve", str(run.path), "--engine", "transformers"])
    assert "W505" in output.output


def test_the_digests_stand_in_plan_and_manifest_and_an_unchanged_base_is_as_it_was(
    trained: tuple[Path, api.TrainedRun],
) -> None:
    folder, run = trained
    stored: dict[str, str] = run.dir.plan().facts.model.contents.model_dump()
    assert all(len(digest) == 64 for digest in stored.values())
    sealed = {path.name: read_manifest(path) for path in (run.adapter, run.dir.checkpoints_dir / "checkpoint-4")}
    assert sealed["adapter"] and sealed["adapter"].identity["weights"] == stored["weights"]
    assert sealed["checkpoint-4"] and sealed["checkpoint-4"].identity["model weights"] == stored["weights"]
    (base,) = [checked for checked in api.verify(str(run.path)) if checked.kind == "base"]
    assert (base.path, base.faults) == (folder, ())
    assert run.base_problems() == []


def test_who_wrote_a_config_is_no_change_and_runs_of_earlier_versions_are_compared_by_what_they_know(
    trained: tuple[Path, api.TrainedRun],
) -> None:
    folder, run = trained
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"transformers_version": "9", "_name_or_path": "x"}))
    assert run.base_problems() == []
    plan = json.loads(run.dir.file(file_names.PLAN).read_text())
    for part in ("config", "tool_template"):
        del plan["facts"]["model"]["contents"][part]
    atomic_io.write_json(run.dir.file(file_names.PLAN), plan)
    other_config(folder)
    assert api.open_run(str(run.path)).base_problems() == []


def test_a_base_that_is_gone_is_said_to_be_gone(trained: tuple[Path, api.TrainedRun]) -> None:
    folder, run = trained
    folder.rename(folder.with_name("elsewhere"))
    for use in (run.evaluate, lambda: run.chat("hello")):
        with pytest.raises(ModelError) as caught:
            use()
        assert [p.code for p in caught.value.problems] == ["E324"]
    (base,) = [checked for checked in api.verify(str(run.path)) if checked.kind == "base"]
    assert [fault.kind for fault in base.faults] == ["missing"]


def test_a_run_of_an_earlier_version_opens_as_before(trained: tuple[Path, api.TrainedRun]) -> None:
    folder, run = trained
    plan: dict[str, Any] = run.dir.plan().model_dump(mode="json")
    del plan["facts"]["model"]["contents"]
    atomic_io.write_json(run.dir.file(file_names.PLAN), plan)
    other_weights(folder)
    assert run.base_problems() == []
    assert "base" not in [checked.kind for checked in api.verify(str(run.path))]
    run.dir.update_info(state="stopped")
    with run_dir.owning(run.dir):
        start_run.requeue(run.dir, {})
    assert run.state == "queued"


def test_weights_are_read_once(trained: tuple[Path, api.TrainedRun], monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def counted(path: Path) -> str:
        read.append(path.name)
        return sha256(path)

    monkeypatch.setattr(base_fingerprint, "sha256", counted)
    _folder, run = trained
    assert run.base_problems() == []
    assert "model.safetensors" not in read


def test_files_of_the_hubs_cache_are_known_by_their_names(
    tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs, snapshot = tmp_path / "models--a--b" / "blobs", tmp_path / "models--a--b" / "snapshots" / "1"
    shutil.copytree(tiny_model("llama"), snapshot)
    blobs.mkdir()
    weights = snapshot / "model.safetensors"
    digest = sha256(weights)
    weights.rename(blobs / digest)
    weights.symlink_to(blobs / digest)
    plan = api.plan(api.load(named={"model.name": str(snapshot), "data.train": str(shop_rows)}))
    by_name = base_fingerprint.read_contents(plan)
    assert by_name == base_fingerprint.read_contents(plan, use_cache=False)
