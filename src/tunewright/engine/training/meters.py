"""What a training counts over all sessions of its run, and how a checkpoint stores it."""

import json
from dataclasses import dataclass
from pathlib import Path

from tunewright.rundir import atomic_io
from tunewright.rundir.checkpoints import TOTALS


@dataclass
class TrainingMeters:
    """Shared by the Trainer, which counts, and the callback, which reports."""

    num_tokens: int = 0
    """Tokens that were trained on, without padding."""
    train_seconds: float = 0.0
    """Time inside optimizer steps."""
    unlogged_loss: float = 0.0
    """Sum of the losses of the steps after the last logged line, when the checkpoint was written."""
    logged_step: int = 0
    """The step of the last logged line, when the checkpoint was written."""
    num_padding: int = 0
    """Padding positions of this session."""
    save_fault: str = ""
    """Why the disk refused the newest checkpoint; empty if it was saved."""

    @classmethod
    def from_checkpoint(cls, checkpoint: Path | None) -> "TrainingMeters":
        """The meters of the sessions before; all zero without a checkpoint, or in one that has none."""
        path = checkpoint / TOTALS if checkpoint else None
        if path is None or not path.is_file():
            return cls()
        stored = json.loads(path.read_text())
        return cls(
            num_tokens=int(stored.get("tokens", 0)),
            train_seconds=stored.get("train_seconds", 0.0),
            unlogged_loss=stored.get("unlogged_loss", 0.0),
            logged_step=int(stored.get("logged_step", 0)),
        )

    def save(self, folder: Path, *, unlogged_loss: float, logged_step: int) -> None:
        """Write the meters into a checkpoint's folder."""
        totals = {
            "tokens": self.num_tokens,
            "train_seconds": self.train_seconds,
            "unlogged_loss": unlogged_loss,
            "logged_step": logged_step,
        }
        atomic_io.write_json(folder / TOTALS, totals)
