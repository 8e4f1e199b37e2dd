"""Checkpoints count only if their manifest agrees."""

import json
from pathlib import Path

import pytest

from tunewright.runs.checkpoints import MANIFEST, CheckpointStore, damage, read_manifest


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "checkpoints", "run-1")


def save(store: CheckpointStore, step: int, text: str = "weights") -> Path:
    staged = store.stage()
    (staged / "adapter_model.safetensors").write_text(f"{text} {step}")
    (staged / "trainer_state.json").write_text("{}")
    return store.publish(staged, step, {"model": "m"})


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
    found, faults = store.newest_valid()
    assert found == store.folder / "checkpoint-5"
    if harm not in ("manifest", "no_manifest"):
        assert "adapter_model.safetensors" in faults[0]
        assert list(store.folder.glob(".corrupt-10-*"))


def test_rotation_keeps_the_newest_and_the_best_and_what_is_not_ours(store: CheckpointStore) -> None:
    for step in (5, 10, 15, 20):
        save(store, step)
    foreign = store.folder / "checkpoint-best-do-not-delete"
    foreign.mkdir()
    strange = save(CheckpointStore(store.folder, "another run"), 1)
    assert store.rotate(keep=2, best_step=5) == [10]
    assert [step for step, _ in store.own()] == [5, 15, 20]
    assert foreign.exists()
    assert strange.exists()


def test_nothing_is_removed_while_the_newest_is_damaged(store: CheckpointStore) -> None:
    for step in (5, 10, 15):
        save(store, step)
    (store.folder / "checkpoint-15" / "trainer_state.json").write_text("broken")
    assert store.rotate(keep=2, best_step=None) == []


def test_a_half_written_checkpoint_is_none(store: CheckpointStore) -> None:
    save(store, 5)
    (store.stage() / "adapter_model.safetensors").write_text("half")
    assert [step for step, _ in store.own()] == [5]


def test_saving_a_step_again_replaces_it_whole(store: CheckpointStore) -> None:
    save(store, 5, "old")
    path = save(store, 5, "new")
    assert (path / "adapter_model.safetensors").read_text() == "new 5"
    manifest = read_manifest(path)
    assert manifest is not None
    assert manifest["identity"] == {"model": "m"}
    assert not list(store.folder.glob(".trash-*"))
