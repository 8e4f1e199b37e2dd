"""Every file of a checkpoint, damaged in four ways: each is named, set aside whole, and the one before is taken."""

from pathlib import Path

import pytest

from tests.unit.rundir.disk import snapshot
from tunewright.rundir.checkpoints import MANIFEST, TOTALS, CheckpointStore

FILES = (
    "adapter_config.json", "adapter_model.safetensors", "more/shard-1.bin", "optimizer.pt", "README.md", "rng_state.pth",
    "scaler.pt", "scheduler.pt", "tokenizer.json", TOTALS, "trained.safetensors", "trainer_state.json",
)  # fmt: skip


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut_the_end(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def zero_the_end(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-7] + bytes(7))


def remove(path: Path) -> None:
    path.unlink()


def fill(content: Path) -> None:
    (content / "more").mkdir()
    for name in FILES:
        (content / name).write_bytes(f"this is the content of {name}".encode())


@pytest.mark.parametrize("harm", [flip_a_bit, cut_the_end, zero_the_end, remove])
@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_a_damaged_file_is_named_and_its_checkpoint_not_taken(name: str, harm: object, memory_path: Path) -> None:
    assert callable(harm)
    store = CheckpointStore(memory_path / "checkpoints", "run-1")
    for step in (5, 10):
        store.save(step, fill, {}, keep=2)
    damaged = store.folder / "checkpoint-10"
    harm(damaged / name)
    left = snapshot(damaged)
    newest, faults = store.newest_valid()
    assert newest == store.folder / "checkpoint-5"
    assert len(faults) == 1
    assert ("the manifest" if name == MANIFEST else name) in faults[0]
    assert snapshot(store.folder / ".corrupt-10-0") == left
    assert store.newest_valid() == (newest, [])
