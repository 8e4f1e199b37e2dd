"""Checkpoints count only if their manifest agrees."""

import json
import shutil
from pathlib import Path

import pytest

from tests.unit.rundir.disk import snapshot
from tunewright.errors import ConfigError
from tunewright.rundir import atomic_io
from tunewright.rundir.checkpoints import MANIFEST, CheckpointStore, damage, read_manifest


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "checkpoints", "run-1")


def save(store: CheckpointStore, step: int, text: str = "weights") -> Path:
    def fill(content: Path) -> None:
        (content / "adapter_model.safetensors").write_text(f"{text} {step}")
        (content / "trainer_state.json").write_text("{}")

    store.save(step, fill, {"model": "m"}, keep=99)
    return store.folder / f"checkpoint-{step}"


def test_the_newest_whole_checkpoint_is_taken(store: CheckpointStore) -> None:
    save(store, 5)
    save(store, 10)
    assert store.newest_valid() == (store.folder / "checkpoint-10", [])


@pytest.mark.parametrize("harm", ["flip", "cut", "remove", "manifest", "no_manifest"])
def test_a_damaged_checkpoint_is_set_aside_and_named(store: CheckpointStore, harm: str) -> None:
    save(store, 5)
    newest = save(store, 10)
    weights = newest / "adapter_model.safetensors"
    content = weights.read_bytes()
    if harm == "flip":
        weights.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    elif harm == "cut":
        weights.write_bytes(content[:-1])
    elif harm == "remove":
        weights.unlink()
    elif harm == "manifest":
        manifest = json.loads((newest / MANIFEST).read_text())
        (newest / MANIFEST).write_text(json.dumps(manifest | {"step": 11}))
    else:
        (newest / MANIFEST).unlink()
    assert damage(newest)
    checkpoint, faults = store.newest_valid()
    assert checkpoint == store.folder / "checkpoint-5"
    if harm == "no_manifest":
        assert faults == ["checkpoint-10: not a checkpoint of this run, left alone"]
        assert newest.is_dir()
        return
    assert ("the manifest" if harm == "manifest" else "adapter_model.safetensors") in faults[0]
    assert faults[0].endswith("set aside as .corrupt-10-0")
    assert (store.folder / ".corrupt-10-0").is_dir()


def test_rotation_keeps_the_newest_and_the_best_and_what_is_not_ours(store: CheckpointStore) -> None:
    for step in (5, 10, 15, 20):
        save(store, step)
    foreign = store.folder / "checkpoint-best-do-not-delete"
    foreign.mkdir()
    strange = save(CheckpointStore(store.folder, "another run"), 1)
    assert store.rotate(2, (5,)) == [10]
    assert [step for step, _ in store.own()] == [5, 15, 20]
    assert foreign.exists()
    assert strange.exists()


def test_nothing_is_removed_while_the_newest_is_damaged(store: CheckpointStore) -> None:
    for step in (5, 10, 15):
        save(store, step)
    (store.folder / "checkpoint-15" / "trainer_state.json").write_text("broken")
    assert store.rotate(2) == []


def test_a_half_written_checkpoint_is_none(store: CheckpointStore) -> None:
    save(store, 5)
    with atomic_io.staging(store.folder) as staged:
        (staged / "adapter_model.safetensors").write_text("half")
        assert [step for step, _ in store.own()] == [5]


def test_saving_a_step_again_keeps_the_valid_one(store: CheckpointStore) -> None:
    path = save(store, 5, "old")
    save(store, 5, "new")
    assert (path / "adapter_model.safetensors").read_text() == "old 5"
    assert [entry.name for entry in store.folder.iterdir()] == ["checkpoint-5"]


def test_saving_where_a_damaged_one_stands_sets_that_aside(store: CheckpointStore) -> None:
    path = save(store, 5, "old")
    (path / "adapter_model.safetensors").write_text("broken")
    (store.folder / ".corrupt-5-0").mkdir()
    save(store, 5, "new")
    assert (path / "adapter_model.safetensors").read_text() == "new 5"
    assert (store.folder / ".corrupt-5-1" / "adapter_model.safetensors").read_text() == "broken"
    manifest = read_manifest(path)
    assert manifest is not None
    assert manifest.identity == {"model": "m"}


def test_a_foreign_folder_is_named_and_nothing_is_written(store: CheckpointStore) -> None:
    foreign = save(CheckpointStore(store.folder, "another run"), 5)
    before = snapshot(store.folder)
    with pytest.raises(ConfigError, match=rf"E115 {foreign}"):
        save(store, 5)
    assert snapshot(store.folder) == before


def test_a_copy_under_another_step_is_no_checkpoint(store: CheckpointStore) -> None:
    path = save(store, 5)
    shutil.copytree(path, store.folder / "checkpoint-50")
    newest, faults = store.newest_valid()
    assert newest == path
    assert "that of step 5" in faults[0]


def test_an_unlisted_file_breaks_the_seal(store: CheckpointStore) -> None:
    save(store, 5)
    (save(store, 10) / "notes.txt").write_text("mine")
    assert [step for step, _ in store.own()] == [5]
    _newest, faults = store.newest_valid()
    assert "notes.txt is not in the manifest" in faults[0]
    assert (store.folder / ".corrupt-10-0" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 300,
        b"[]",
        b"null",
        b"{}",
        b'{"sha256": 1}',
        b"[" * 100_000,
        b"\xff\xfe",
        b'"text"',
        b'{"sha256": NaN}',
    ],
)
def test_no_manifest_whatever_it_holds_stops_a_reader(store: CheckpointStore, content: bytes) -> None:
    save(store, 5)
    (save(store, 10) / MANIFEST).write_bytes(content)
    for name in ("checkpoint-11", "checkpoint-x", "checkpoint-007", "checkpoint-"):
        (store.folder / name).mkdir()
    (store.folder / "checkpoint-12").write_text("a file")
    (store.folder / "checkpoint-13").symlink_to(store.folder / "checkpoint-13")
    newest, _faults = store.newest_valid()
    assert newest == store.folder / "checkpoint-5"
