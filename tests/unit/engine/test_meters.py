"""What a training counts over its sessions goes through a checkpoint."""

from pathlib import Path

from tunewright.engine.training.meters import TrainingMeters
from tunewright.rundir.checkpoints import TOTALS


def test_meters_come_back_from_a_checkpoint(tmp_path: Path) -> None:
    meters = TrainingMeters(num_tokens=70, train_seconds=1.25, num_padding=9, save_fault="full")
    meters.save(tmp_path, unlogged_loss=0.75, logged_step=10)
    assert TrainingMeters.from_checkpoint(tmp_path) == TrainingMeters(70, 1.25, 0.75, 10)


def test_meters_begin_at_zero_without_a_checkpoint_or_its_totals(tmp_path: Path) -> None:
    assert TrainingMeters.from_checkpoint(None) == TrainingMeters()
    assert TrainingMeters.from_checkpoint(tmp_path) == TrainingMeters()


def test_totals_of_an_older_version_lack_what_it_did_not_count(tmp_path: Path) -> None:
    (tmp_path / TOTALS).write_text('{"tokens": 5, "train_seconds": 2.0}')
    assert TrainingMeters.from_checkpoint(tmp_path) == TrainingMeters(num_tokens=5, train_seconds=2.0)
