"""The data of a run as somebody brought them: where a held-out row stands in them, and whether it can be left out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tunewright.config.load_config import LoadedConfig
from tunewright.config.run_config import DataConfig
from tunewright.data.files.readers import fingerprint, is_hub_id
from tunewright.data.load_examples import data_fingerprint
from tunewright.data.train_eval_split import USUAL_SHARE, for_each, sides_of
from tunewright.errors import TunewrightError, error
from tunewright.launch.data_looks import DataLook
from tunewright.rundir import fixed_data
from tunewright.rundir.fixed_data import FixedFolder
from tunewright.rundir.run_dir import RunDir

Obstacle = Literal["hub", "several", "reading", "gone", "changed"]


@dataclass(frozen=True)
class RunData:
    """What a run read its rows from. Where these were mended, `train` and `holdout` are the originals and `fixes` the changes.

    `holdout` is a path, a share, or None for the usual one. `obstacle` says why single rows cannot be left out: the data lie on
    the Hub, are of several sources, are read with settings of their own, are no longer there, or are not what they were.
    """

    loaded: LoadedConfig
    train: str
    holdout: str | float | None = None
    fixes: Sequence[Mapping[str, Any]] = ()
    obstacle: Obstacle | None = None

    @property
    def held_out_file(self) -> str:
        """The file that the held-out rows are in, where it is another one than that of the training rows; "" where not."""
        return self.holdout if isinstance(self.holdout, str) else ""


def data_of_run(run: RunDir) -> RunData:
    """The data of a run, compared with what it was trained on. Cost: a digest of files that were not seen before.

    Raises: TrainingError E525 for a run that is damaged.
    """
    plan = run.plan()
    data = plan.run.data
    made_of = fixed_data.made_of(data.paths[0])
    train = _original(data.paths[0], made_of)
    held_out = _original(data.holdout, made_of) if isinstance(data.holdout, str) else data.holdout
    brought = data.model_copy(update={"train": train, "holdout": held_out})
    return RunData(
        loaded=LoadedConfig(plan.run, {}),
        train=train,
        holdout=None if held_out in (train, USUAL_SHARE) else held_out,  # a folder may have rows for validation
        fixes=made_of.fixes if made_of else (),
        obstacle=_kind_of_data(data) or _difference(data, plan.facts.data.fingerprint, brought, made_of),
    )


def _original(path: str, made_of: FixedFolder | None) -> str:
    original = made_of.originals.get(Path(path).name) if made_of else None
    return original.path if original else path


def _kind_of_data(data: DataConfig) -> Obstacle | None:
    if any(map(is_hub_id, [*data.paths, *([data.holdout] if isinstance(data.holdout, str) else [])])):
        return "hub"
    if len(data.paths) > 1 or not data.has_only_paths:
        return "several"
    return "reading" if _reading(data) != _reading(DataConfig(train=data.train)) else None


def _reading(data: DataConfig) -> tuple[str, ...]:
    """The settings that decide what the rows of a file are."""
    return data.split, data.encoding, data.sample_by, data.control_characters


def _difference(data: DataConfig, trained_on: str, brought: DataConfig, made_of: FixedFolder | None) -> Obstacle | None:
    """Whether the rows are still those that were trained on, and what was brought is what was mended."""
    try:
        if data_fingerprint(data) != trained_on:
            return "changed"
        if made_of is None:
            return None
        sides = sides_of(brought)
        sources = [*sides.train, *([sides.held_out] if sides.held_out else [])]
        digests = for_each(sources, lambda source: fingerprint(source.path, source.reading))
        return None if digests == [original.fingerprint for original in made_of.originals.values()] else "changed"
    except TunewrightError:
        return "gone"


def number_in_data(look: DataLook, row: int) -> int:
    """The number that a held-out row of a run has in the data as they were brought, from a look at what the run read.

    `row` is the number that answers have. Raises: DataError E265 where there is no such row.
    """
    held_out = (looked for looked in look.rows if looked.use == "held_out" and looked.example)
    answered = next((looked for looked in held_out if looked.example and looked.example.number == row), None)
    if answered is None:
        raise error("E265", row=row, count=1, rows=look.check.validated.summary.rows)
    return look.original(answered)
