"""`tunewright verify`: every damaged, missing and added file is named; the exit code is 8 unless all is sound."""

import json
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tunewright import api
from tunewright.errors.exit_codes import EXIT_CHECK_FAILED, EXIT_USAGE
from tunewright.rundir.checkpoints import MANIFEST, CheckpointStore, faults, seal

MakeRun = Callable[..., api.TrainedRun]


@pytest.fixture
def sealed(make_run: MakeRun) -> api.TrainedRun:
    """A run with two checkpoints and an adapter, all sealed."""
    run = make_run()
    identity = run.dir.info().id
    store = CheckpointStore(run.dir.checkpoints_dir, identity)
    for step in (10, 5):

        def fill(staged: Path, step: int = step) -> None:
            (staged / "adapter_model.safetensors").write_text(f"weights of {step}")
            (staged / "trainer_state.json").write_text("{}")

        store.save(step, fill, {}, keep=2)
    (run.adapter / "adapter_model.safetensors").write_text("weights")
    seal(run.adapter, run_id=identity, step=0, identity={})
    return run


def damage(run: api.TrainedRun) -> None:
    newest = run.dir.checkpoints_dir / "checkpoint-10"
    content = (newest / "adapter_model.safetensors").read_bytes()
    (newest / "adapter_model.safetensors").write_bytes(bytes([content[0] ^ 1]) + content[1:])
    (newest / "trainer_state.json").unlink()
    (run.adapter / "notes.txt").write_text("mine")


def test_a_sound_run_is_told_folder_by_folder(tw, sealed: api.TrainedRun) -> None:
    shown = tw("verify")
    assert shown.code == 0
    assert f"{sealed.name} · finished" in shown.out
    lines = [line.split("  ") for line in shown.out.splitlines()[1:]]
    assert [[cell.strip() for cell in line if cell] for line in lines] == [
        ["base", "2 files", "unchanged"],
        ["checkpoint-5", "2 files", "unchanged"],
        ["checkpoint-10", "2 files", "unchanged"],
        ["adapter", "2 files", "unchanged"],
    ]
    shown = tw("verify", "mita", "--json").json
    assert (shown["schema"], shown["sound"], shown["state"], shown["name"]) == (1, True, "finished", sealed.name)
    assert [(folder["kind"], folder["step"]) for folder in shown["folders"]] == [
        ("base", None), ("checkpoint", 5), ("checkpoint", 10), ("adapter", None)
    ]  # fmt: skip
    assert "checks" not in shown


def test_each_file_that_is_not_as_it_was_is_named(tw, sealed: api.TrainedRun) -> None:
    damage(sealed)
    shown = tw("verify", "last")
    assert shown.code == EXIT_CHECK_FAILED
    assert "adapter_model.safetensors: damaged; trainer_state.json: missing" in shown.out
    assert "notes.txt: not in the manifest" in shown.out
    assert "E605" in shown.err and "3 files have changed since they were written" in shown.err
    shown = tw("verify", "last", "--json")
    assert shown.code == EXIT_CHECK_FAILED
    assert shown.json["sound"] is False
    assert {
        (Path(f["path"]).name, fault["file"], fault["kind"]) for f in shown.json["folders"] for fault in f["faults"]
    } == {
        ("checkpoint-10", "adapter_model.safetensors", "damaged"),
        ("checkpoint-10", "trainer_state.json", "missing"),
        ("adapter", "notes.txt", "extra"),
    }
    assert json.loads(shown.err)["error"]["code"] == "E605"


def test_nothing_is_changed_by_looking(tw, sealed: api.TrainedRun) -> None:
    damage(sealed)
    before = {path: path.read_bytes() for path in sealed.path.rglob("*") if path.is_file()}
    tw("verify")
    assert {path: path.read_bytes() for path in sealed.path.rglob("*") if path.is_file()} == before


def test_a_finished_run_without_its_adapter_is_not_sound(tw, sealed: api.TrainedRun) -> None:
    shutil.rmtree(sealed.adapter)
    shown = tw("verify", "--json")
    assert shown.code == EXIT_CHECK_FAILED
    assert shown.json["folders"][-1]["faults"] == [{"file": MANIFEST, "kind": "missing"}]


def test_a_run_that_has_saved_nothing_yet_has_nothing_to_check(tw, make_run: MakeRun) -> None:
    run = make_run(state="stopped")
    shutil.rmtree(run.adapter)
    shown = tw("verify")
    assert shown.code == 0
    assert "nothing is sealed yet" in shown.out


def test_a_folder_that_was_copied_with_its_manifest_is_checked_alone(
    tw, sealed: api.TrainedRun, tmp_path: Path
) -> None:
    shutil.copytree(sealed.adapter, tmp_path / "copied")
    shown = tw("verify", "copied", "--json")
    assert shown.code == 0
    assert [folder["kind"] for folder in shown.json["folders"]] == ["folder"]
    (tmp_path / "copied" / "adapter_config.json").write_text("{ }")
    assert "adapter_config.json: damaged" in tw("verify", "copied").out


def test_an_adapter_that_was_copied_plainly_says_where_to_check_it(tw, sealed: api.TrainedRun, tmp_path: Path) -> None:
    api.copy_adapter(sealed, tmp_path / "plain")
    shown = tw("verify", "plain")
    assert shown.code == EXIT_CHECK_FAILED
    assert "E607" in shown.err and "tunewright verify RUN" in shown.err
    assert "E113" in tw("verify", "nowhere").err


def test_numerics_are_for_runs_and_never_for_damaged_ones(tw, sealed: api.TrainedRun, tmp_path: Path, session) -> None:
    shutil.copytree(sealed.adapter, tmp_path / "copied")
    assert tw("verify", "copied", "--numerics").code == EXIT_USAGE
    damage(sealed)
    shown = tw("verify", "--numerics", "--json")
    assert shown.code == EXIT_CHECK_FAILED
    assert "checks" not in shown.json


def check(name: str, outcome: str = "ok", difference: float | None = 2e-7, reason: str = "") -> dict[str, Any]:
    compared = [] if reason else [{"what": "logits", "difference": difference, "tolerance": 1e-4}]
    return {"name": name, "outcome": outcome, "reason": reason, "compared": compared}


SOUND = [check("accumulated"), check("packing", "not_applicable", reason="prompt learning wraps the forward pass")]
FAILED = [*SOUND, check("answer_loss", "failed", None), check("merged", "failed", 0.3)]


@pytest.fixture
def proofs(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the worker will find, in place of a worker."""
    checks: list[dict[str, Any]] = []
    monkeypatch.setattr(api.TrainedRun, "prove", lambda self, reporter: {"rows": 6, "checks": checks})
    return checks


def test_equalities_are_told_with_their_numbers_or_why_there_are_none(
    tw, sealed: api.TrainedRun, proofs: list[dict[str, Any]]
) -> None:
    proofs += SOUND
    shown = tw("verify", "--numerics")
    assert shown.code == 0
    lines = shown.out.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("row by row = all rows at once"))
    assert lines[at].endswith("equal")
    assert [cell.strip() for cell in lines[at + 1].split("  ") if cell] == ["of the largest logit", "2.0e-07", "1e-04"]
    assert "prompt learning wraps the forward pass" in shown.out
    assert "on 6 rows of the training data" in shown.out
    assert tw("verify", "--numerics", "--json").json["proven"] is True


def test_an_equality_that_does_not_hold_ends_with_8_and_names_it(
    tw, sealed: api.TrainedRun, proofs: list[dict[str, Any]]
) -> None:
    proofs += FAILED
    shown = tw("verify", "--numerics")
    assert shown.code == EXIT_CHECK_FAILED
    assert shown.out.count("DIFFERENT") == 2
    assert "2 of 3 equalities do not hold: answer_loss, merged" in shown.err
    assert "--set fast_paths.answer_loss=false" in shown.err
    shown = tw("verify", "--numerics", "--json")
    assert (shown.code, shown.json["sound"], shown.json["proven"]) == (EXIT_CHECK_FAILED, True, False)
    assert [fault["name"] for fault in shown.json["checks"]] == ["accumulated", "packing", "answer_loss", "merged"]


@pytest.mark.parametrize(
    "files",
    [
        {"../secret": {"bytes": 1, "sha256": "0"}}, {"/etc/hostname": {"bytes": 1, "sha256": "0"}}, ["a"], None, {"a": 1},
        {"a": {"bytes": 1}},
    ],
)  # fmt: skip
def test_a_manifest_of_anybody_is_no_path_to_elsewhere_and_no_traceback(tmp_path: Path, files: Any) -> None:
    folder = tmp_path / "foreign"
    folder.mkdir()
    seal(folder, run_id="r", step=1, identity={})
    forged = {**json.loads((folder / MANIFEST).read_text()), "files": files}
    body = {key: value for key, value in forged.items() if key != "sha256"}
    forged["sha256"] = sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    (folder / MANIFEST).write_text(json.dumps(forged))
    assert [(fault.file, fault.kind) for fault in faults(folder)] == [(MANIFEST, "damaged")]
