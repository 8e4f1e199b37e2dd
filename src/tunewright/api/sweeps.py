"""The search for good settings."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tunewright.api.configs import Rows, named_values
from tunewright.api.system import devices_named
from tunewright.extras.comparison.grid import Grid
from tunewright.extras.comparison.search_space import SearchAxis, parse_axis
from tunewright.extras.sweep import trials
from tunewright.extras.sweep.train_trials import TrialEvent, train_trials, train_trials_side_by_side
from tunewright.extras.sweep.trials import LOSS, Sweep, SweepSettings
from tunewright.launch.devices import Device
from tunewright.reporting import SILENT, Reporter

USUAL_TRIALS = 20


def sweep(
    model: str | None = None,
    data: Rows | None = None,
    *,
    config: str | Path | None = None,
    space: Sequence[SearchAxis] = (),
    metric: str = LOSS,
    num_trials: int | None = None,
    minutes: float | None = None,
    storage: str | None = None,
    folder: str | Path | None = None,
    force: bool = False,
    devices: str | None = None,
    on_event: Callable[[TrialEvent], None] = lambda event: None,
    reporter: Reporter = SILENT,
    **settings: Any,
) -> Sweep:
    """Search for the best setting, and write it to best.yaml: `sweep("smollm2", "my.jsonl", space=[search_axis("peft.r=4,8")])`.

    20 trials unless `num_trials` or `minutes`, after which no further trial starts, is given. The runs lie in `folder`; the
    same call continues there. `devices` names those that each take one trial at once.
    `on_event` gets `TrialStarted`, `TrialRefused` and `TrialEnded`.
    Raises: ExportError E601 without Optuna; ConfigError E103, E109, E126, E128, E133; every error of a plan.
    """
    deadline = None if minutes is None else time.monotonic() + 60 * minutes
    chosen = None if devices is None else devices_named(devices)
    named = named_values(model, data, settings)
    grid = Grid(Path(config) if config else None, named)
    search = open_sweep(
        SweepSettings(grid, space, metric, storage), Path(folder) if folder else None, reporter=reporter
    )
    limit = trial_limit(num_trials, minutes)
    for event in train_sweep(search, devices=chosen, limit=limit, deadline=deadline, force=force, reporter=reporter):
        if event:
            on_event(event)
    search.write_best()
    return search


def search_axis(text: str) -> SearchAxis | None:
    """PATH=V,V or PATH=LOW..HIGH as an axis of the search space; None if it is neither."""
    return parse_axis(text)


def trial_limit(num_trials: int | None, minutes: float | None) -> int | None:
    """How many trials there may be in all: 20 if neither their number nor the time is limited."""
    return num_trials if num_trials or minutes is not None else USUAL_TRIALS


def sweep_settings(
    config: Path | None,
    named: Mapping[str, object],
    sets: Sequence[str] = (),
    *,
    space: Sequence[SearchAxis] = (),
    metric: str = LOSS,
    storage: str | None = None,
) -> SweepSettings:
    """What a sweep searches: the values of a config by a held-out score."""
    return SweepSettings(Grid(config, named, sets), space, metric, storage)


def open_sweep(settings: SweepSettings, folder: Path | None = None, *, reporter: Reporter = SILENT) -> Sweep:
    """A sweep, started now or earlier; without `folder` in one that is always the same for the same settings.

    Raises: ExportError E601 without Optuna; ConfigError E103, E109, E126, E128, E133; every error of a plan.
    """
    return trials.open_sweep(settings, folder or trials.default_folder(settings), reporter=reporter)


def train_sweep(
    sweep: Sweep,
    *,
    devices: Sequence[Device] | None = None,
    limit: int | None = None,
    deadline: float | None = None,
    force: bool = False,
    reporter: Reporter = SILENT,
) -> Iterator[TrialEvent | None]:
    """Train trials, one after another, until there are `limit` or `deadline` (of time.monotonic) has passed.

    With `devices` (`devices_named`) one on each at once, and None whenever nothing was new.
    """
    if devices is None:
        return train_trials(sweep, limit=limit, deadline=deadline, force=force, reporter=reporter)
    return train_trials_side_by_side(sweep, devices, limit=limit, deadline=deadline, force=force, reporter=reporter)
