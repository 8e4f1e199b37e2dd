"""Runs side by side: those that exist, and a grid of runs that are trained for it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tunewright.api.configs import Rows, named_values
from tunewright.api.run_folders import open_run, runs
from tunewright.api.run_handle import SHOTS, TrainedRun
from tunewright.api.system import devices_named
from tunewright.errors import Problem, TunewrightError, of_system
from tunewright.extras.comparison import aligned_runs, comparison_page
from tunewright.extras.comparison import grid as grids
from tunewright.extras.comparison.comparison_result import ComparisonResult
from tunewright.extras.comparison.grid import Cell, Grid
from tunewright.extras.comparison.recommendation import recommend
from tunewright.extras.comparison.search_space import split_values
from tunewright.extras.comparison.train_grid import GridEvent, train_cells, train_side_by_side
from tunewright.launch.devices import Device
from tunewright.reporting import SILENT, Reporter


def compare_runs(runs: Sequence[TrainedRun | str | Path], *, shots: int | None = None) -> ComparisonResult:
    """Finished runs side by side: scores on the same rows with intervals, cost of each, and a recommendation.

    The base model with examples in its prompt is added where `TrainedRun.prompted` measured it with `shots` of
    them, or with any number if that is None.
    Raises: ConfigError E113, E114 for a run that does not exist, E116 if none is finished, E125 if their rows differ.
    """
    folders = [run.dir if isinstance(run, TrainedRun) else open_run(str(run)).dir for run in runs]
    comparison = aligned_runs.compare(folders, shots)
    return ComparisonResult(comparison, recommend(comparison))


def grid(
    model: str | None = None,
    data: Rows | None = None,
    *,
    config: str | Path | None = None,
    methods: Sequence[str] = (),
    ranks: Sequence[int] = (),
    axes: Mapping[str, Sequence[Any]] | None = None,
    seeds: int = 1,
    full: bool = False,
    shots: int | None = None,
    folder: str | Path | None = None,
    force: bool = False,
    devices: str | None = None,
    on_event: Callable[[GridEvent], None] = lambda event: None,
    reporter: Reporter = SILENT,
    **settings: Any,
) -> ComparisonResult:
    """Train a run for each combination and compare them: `grid("smollm2", "my.jsonl", ranks=[4, 8], methods=["lora"])`.

    `axes` gives more values by path of the config; `seeds` trains every combination so often; `full` adds full
    fine-tuning. `shots` training rows go into the prompt of the base model (3 for causal_lm; 0 leaves it out). The runs lie
    in `folder`; the same call continues there. `devices` names those that each take one run at once: `all`, or numbers with commas
    between them. `on_event` gets `CellStarted`, `CellRefused` and `CellEnded`.
    Raises: every error that can be known before a run; what `compare_runs` raises.
    """
    chosen = None if devices is None else devices_named(devices)
    settings_of_grid = Grid(
        config=Path(config) if config else None,
        named=named_values(model, data, settings),
        methods=methods,
        ranks=ranks,
        axes={path: [str(value) for value in values] for path, values in (axes or {}).items()},
        seeds=seeds,
        full=full,
    )
    place = Path(folder) if folder else grids.default_folder(settings_of_grid)
    cells = plan_grid(settings_of_grid, place, reporter=reporter)
    for event in train_grid(cells, devices=chosen, force=force, reporter=reporter):
        if event:
            on_event(event)
    trained = runs(place)
    for problem in measure_prompted(trained, shots):
        reporter.note(problem.message())
    return compare_runs(trained, shots=SHOTS if shots is None else shots)


def grid_settings(
    config: Path | None,
    named: Mapping[str, object],
    sets: Sequence[str] = (),
    *,
    methods: Sequence[str] = (),
    ranks: Sequence[int] = (),
    axes: Mapping[str, str] | None = None,
    seeds: int = 1,
    full: bool = False,
) -> Grid:
    """The grid of a config; `axes` holds texts as V,V by path, where commas in brackets belong to a value."""
    values = {path: split_values(text) for path, text in (axes or {}).items()}
    return Grid(config, named, sets, methods, ranks, values, seeds, full)


def grid_folder(grid: Grid) -> Path:
    """Where the runs of a grid go by default: always the same folder for the same settings."""
    return grids.default_folder(grid)


def plan_grid(grid: Grid, folder: Path, *, reporter: Reporter = SILENT) -> list[Cell]:
    """The runs of a grid, those that were never started with their plans.

    Raises: every error that can be known before a run; ConfigError E126 if the folder holds another comparison.
    """
    return grids.prepare(grid, folder, reporter=reporter)


def train_grid(
    cells: Sequence[Cell],
    *,
    devices: Sequence[Device] | None = None,
    force: bool = False,
    reporter: Reporter = SILENT,
) -> Iterator[GridEvent | None]:
    """Train the runs of a grid that are not finished, one after another; an event for the start and the end of each.

    With `devices` (`devices_named`) one on each at once, and None whenever nothing was new.
    Raises: TrainingError E505 for a run that another process owns.
    """
    if devices is None:
        return train_cells(cells, force=force, reporter=reporter)
    return train_side_by_side(cells, devices, force=force, reporter=reporter)


def measure_prompted(
    runs: Sequence[TrainedRun], shots: int | None = None, *, reporter: Reporter = SILENT
) -> list[Problem]:
    """Measure the base model with `shots` training rows in its prompt, once for all runs; why that is impossible, if it is.

    None takes the usual number, for runs of causal_lm alone.
    """
    candidates = [run for run in runs if run.state == "finished" and (shots is not None or run.task == "causal_lm")]
    shots = SHOTS if shots is None else shots
    if (
        not shots
        or not candidates
        or any((record := run.dir.few_shot()) and record.requested_shots == shots for run in candidates)
    ):
        return []
    first = candidates[0]
    try:
        first.prompted(shots, reporter)
    except TunewrightError as fault:
        return list(fault.problems)
    except OSError as fault:  # the runs may lie on a disk that is full, or read-only
        return list(of_system(fault, first.path).problems)
    finally:
        first.close()
    return []


def check_page(path: Path) -> None:
    """Raises: ConfigError E115 if the report of a comparison would replace another file; TrainingError E520, E524."""
    comparison_page.check_page(path)
