"""Rotation goes by step, verifies first, and never touches what is not ours: probes of known faults, and random folders."""

import os
import random
import shutil
import time
from pathlib import Path

import pytest

from tests.unit.rundir.disk import Disk, on, snapshot
from tunewright.config.load_config import load
from tunewright.errors import ConfigError
from tunewright.rundir.checkpoints import LEAST_KEPT, CheckpointStore, damage

DAY = 86_400
FOLDERS = 150


def save(store: CheckpointStore, step: int) -> Path:
    on(Disk(), lambda: store.save(step, lambda content: _write(content, step), {}, keep=99))
    return store.folder / f"checkpoint-{step}"


def _write(content: Path, step: int) -> None:
    (content / "adapter_model.safetensors").write_text(f"weights of {step}")


def touch(path: Path, seconds: float) -> None:
    """Another age for a folder and all that is in it."""
    for entry in (path, *path.rglob("*")):
        os.utime(entry, (time.time() + seconds,) * 2)


@pytest.fixture
def store(memory_path: Path) -> CheckpointStore:
    return CheckpointStore(memory_path / "checkpoints", "run-1")


def test_a_clock_that_went_back_a_day_does_not_cost_the_newest(store: CheckpointStore) -> None:
    for step in (5, 10, 15):
        touch(save(store, step), -DAY if step == 15 else 0)
    assert store.rotate(2) == [5]
    assert store.newest_valid()[0] == store.folder / "checkpoint-15"


def test_an_old_checkpoint_that_was_touched_is_still_old(store: CheckpointStore) -> None:
    for step in (5, 10, 15):
        save(store, step)
    touch(store.folder / "checkpoint-5", 365 * DAY)
    assert store.rotate(2) == [5]


def test_steps_are_numbers_and_not_words(store: CheckpointStore) -> None:
    for step in (900, 1000, 20):
        save(store, step)
    assert store.rotate(2) == [20]
    assert store.newest_valid()[0] == store.folder / "checkpoint-1000"


def test_a_folder_that_cannot_be_removed_is_no_error(store: CheckpointStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for step in (5, 10, 15, 20):
        save(store, step)
    rename = Path.replace

    def refuse(self: Path, target: Path) -> Path:
        if self.name == "checkpoint-5":
            raise PermissionError(1, "not permitted")
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", refuse)
    assert store.rotate(2) == [10]
    assert [step for step, _path in store.own()] == [5, 15, 20]


def test_keeping_only_one_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("model: smollm2\ndata: rows.jsonl\ntrain:\n  save_total_limit: 1\n")
    with pytest.raises(ConfigError, match=r"train\.save_total_limit.*at least 2"):
        load(config=config)
    assert LEAST_KEPT == 2


def fill(store: CheckpointStore, rng: random.Random) -> None:
    """Some checkpoints in any order, ours and others', of any age, some damaged."""
    other = CheckpointStore(store.folder, "another run")
    for step in rng.sample(range(1, 40), rng.randint(0, 7)):
        path = save(other if rng.random() < 0.2 else store, step)
        harm = rng.random()
        if harm < 0.15:
            (path / "adapter_model.safetensors").write_text("damaged")
        elif harm < 0.2:
            (path / "manifest.json").write_text("{")
        elif harm < 0.25:
            (path / "unlisted").write_text("")
        touch(path, rng.uniform(-9, 9) * DAY)
    for name in rng.sample(["checkpoint-best", "checkpoint-50", ".corrupt-3-0", "checkpoint-07", "notes"], 3):
        (store.folder / name).mkdir(parents=True, exist_ok=True)
        (store.folder / name / "x").write_text(name)


def of_store(store: CheckpointStore) -> dict[str, dict[str, bytes]]:
    return {path.name: snapshot(path) for path in store.folder.iterdir()}


def test_any_folder_loses_only_old_checkpoints_of_ours(memory_path: Path) -> None:
    removals = 0
    for seed in range(FOLDERS):
        rng = random.Random(seed)
        store = CheckpointStore(memory_path / f"{seed}", "run-1")
        fill(store, rng)
        before, own = of_store(store), [step for step, _path in store.own()]
        is_newest_sound = bool(own) and not damage(store.folder / f"checkpoint-{own[-1]}")
        keep, best = rng.randint(2, 4), rng.choice([None, *own])
        wanted = [step for step in own[:-keep] if step != best] if is_newest_sound else []
        gone: list[int] = []
        assert on(Disk(), lambda s=store, k=keep, b=best, g=gone: g.extend(s.rotate(k, (b,)))) is None
        assert gone == wanted, seed
        assert of_store(store) == {n: f for n, f in before.items() if n not in {f"checkpoint-{s}" for s in wanted}}, (
            seed
        )
        removals += len(gone)
        shutil.rmtree(store.folder)
    assert removals > FOLDERS / 4
