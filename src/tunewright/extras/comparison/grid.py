"""The cells of a grid: ordinary runs in one folder that differ only in the compared settings.

The first cell is planned as it would be alone; batch size, length, epochs and evaluation of all others are those of its
plan, and early stopping is off, so that each trains on the same tokens. The learning rate stays that of the method.
"""

import hashlib
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from tunewright.config import load_config
from tunewright.config.dotted_paths import value_at
from tunewright.config.load_config import LoadedConfig
from tunewright.config.methods import ALL_LINEAR, METHODS, rank_field
from tunewright.config.run_config import RunConfig
from tunewright.errors import ConfigError, Problem, error, exists_already
from tunewright.extras.comparison.search_space import belongs
from tunewright.i18n import N_, Phrase
from tunewright.launch import start_run
from tunewright.launch.devices import Device
from tunewright.planning.check_config import conflict
from tunewright.planning.run_plan import Plan
from tunewright.report import html_page
from tunewright.reporting import Reporter
from tunewright.rundir import atomic_io, file_names, output_targets, run_dir
from tunewright.rundir.record_reader import read_optional
from tunewright.rundir.records import SettingRecord
from tunewright.rundir.run_dir import LIVE, RunDir

EQUAL_FILE = "equal.json"
EQUAL = (
    "model.precision", "data.max_length", "train.num_train_epochs", "train.max_steps", "train.per_device_train_batch_size",
    "train.gradient_accumulation_steps", "train.eval_steps", "eval.rows", "eval.max_new_tokens",
)  # fmt: skip
FULL = {"method": "ln_tuning", "peft.target_modules": ALL_LINEAR, "model.quantization": "none"}
NO_EARLY_END: dict[str, object] = {"train.early_stopping_patience": 0}
MOST_CELLS = 200
SHORT = {"r": "r", "target_r": "r", "learning_rate": "lr", "num_train_epochs": "epochs"}
Values = dict[str, str]  # as in `--set`


@dataclass(frozen=True)
class Grid:
    """What is compared: a config, and the values of which each cell has one.

    `axes` holds texts by path, as `--set` takes them; `full` adds a cell of full fine-tuning of every linear layer.
    """

    config: Path | None = None
    named: Mapping[str, object] = field(default_factory=dict)
    sets: Sequence[str] = ()
    methods: Sequence[str] = ()
    ranks: Sequence[int] = ()
    axes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    seeds: int = 1
    full: bool = False

    def load(
        self, values: Mapping[str, str] = MappingProxyType({}), *, equal: Mapping[str, object] = MappingProxyType({})
    ) -> LoadedConfig:
        """The config of a cell: its own values, then those of the user, then those that are equal in all. Raises: ConfigError."""
        is_full = FULL.items() <= values.items()  # it has none of the PEFT fields of the other cells
        sets = [text for text in self.sets if not (is_full and text.startswith("peft."))]
        texts = [*sets, *(f"{path}={value}" for path, value in values.items())]
        loaded = load_config.load(config=self.config, named=self.named, sets=texts)
        open_paths = {path: value for path, value in equal.items() if loaded.origins.get(path) == load_config.DEFAULT}
        return load_config.load(config=self.config, named={**self.named, **open_paths}, sets=texts)


@dataclass(frozen=True)
class Cell:
    """One run of a grid: it exists, or it is planned and not yet started."""

    name: str
    run: RunDir | None
    loaded: LoadedConfig
    plan: Plan | None = None


def prepare(grid: Grid, folder: Path, *, reporter: Reporter) -> list[Cell]:
    """All cells, with plans for those that were never started; nothing is started, and only `equal.json` is written.

    Raises: every error that can be known before a run starts; ConfigError E126 if the folder holds another comparison.
    """
    folder = folder.expanduser()
    combinations = _combinations(grid)
    equal = _equal(grid, combinations, folder, reporter=reporter)
    cells = []
    for name, values in combinations.items():
        path = folder / name
        place = {"run.name": json.dumps(name), "run.output_dir": json.dumps(str(path))}
        loaded = grid.load({**values, **place}, equal=equal)
        run = RunDir(path.resolve()) if run_dir.is_run(path) else None
        if run and not is_same(run, loaded):
            raise error("E126", path=str(path))
        plan = None if run else start_run.plan_for(loaded, reporter=reporter)
        cells.append(Cell(name, run, loaded, plan))
    return cells


def begin(cell: Cell, *, force: bool = False, reporter: Reporter, device: Device | None = None) -> RunDir | None:
    """Start or resume a cell in the background, on a device if it is placed on one; None if it is finished. A live one is left
    alone.

    Raises: what `start.create` and `start.resume` raise.
    """
    run = cell.run
    if run is None:
        assert cell.plan is not None
        run = start_run.create(cell.loaded, cell.plan, force=force, reporter=reporter)
        start_run.launch(run, device)
    elif run.state() == "finished":
        return None
    elif run.state() in LIVE:
        return run
    else:
        start_run.resume(run, {}, device)
    return run


def default_folder(grid: Grid) -> Path:
    """runs/compare-<data>-<6 letters>: the same for the same settings, so that the same command continues."""
    return run_dir.runs_root() / f"compare-{data_name(grid.load().run)}-{_digest(grid)[:6]}"


def data_name(run: RunConfig) -> str:
    """What the data are called, as part of a folder's name."""
    return _clean("-".join(Path(path).stem for path in run.data.paths))[:24].strip("-.")


def _digest(grid: Grid) -> str:
    """Digest of what all cells have in common: methods, ranks and axes may be added later in the same folder."""
    return hashlib.sha256(json.dumps(_comparable(grid.load().run), sort_keys=True).encode()).hexdigest()


def _combinations(grid: Grid) -> dict[str, Values]:
    """Name and values of each cell. Raises: ConfigError with what is wrong in any of them."""
    combinations: dict[str, Values] = {}
    base = grid.load().run
    _refuse_two_ways(grid, base.method)
    for method in dict.fromkeys(grid.methods) or (base.method,):
        axes = _axes(grid, method)
        for values in itertools.product(*axes.values()):
            cell = {**({"method": method} if grid.methods else {}), **dict(zip(axes, values, strict=True))}
            combinations[_name(method, cell, combinations)] = cell
    if grid.full:
        combinations["full"] = FULL
    combinations = {
        name if seed == 0 else f"{name}-s{seed + 1}": cell
        | ({"train.seed": str(base.train.seed + seed)} if seed else {})
        for name, cell in combinations.items()
        for seed in range(grid.seeds)
    }
    if len(combinations) > MOST_CELLS:
        raise error(
            "E133",
            name="compare",
            reason=Phrase(N_("runs at most {count} cells"), count=MOST_CELLS),
            value=len(combinations),
        )
    check(grid, combinations.values())
    return combinations


def _refuse_two_ways(grid: Grid, usual: str) -> None:
    """One of two ways to give the values of a setting would be dropped in silence. Raises: ConfigError E109."""
    ranks = {
        f"peft.{field}" for method in grid.methods or (usual,) if method in METHODS and (field := rank_field(method))
    }
    ways = {"--ranks": ranks if grid.ranks else (), "--methods": ("method",) if grid.methods else ()}
    ways["--seeds"] = ("train.seed",) if grid.seeds > 1 else ()
    problems = [
        conflict(
            option,
            f"--grid {path}",
            N_("both give the values of one setting"),
            Phrase(N_("leave out {name}"), name=option),
        )
        for option, paths in ways.items()
        for path in paths
        if path in grid.axes
    ]
    if problems:
        raise ConfigError(problems)


def check(grid: Grid, combinations: Iterable[Mapping[str, str]]) -> None:
    """Raises: ConfigError with what is wrong in any cell, each problem once."""
    problems: list[Problem] = []
    for values in combinations:
        try:
            grid.load(values)
        except ConfigError as failed:
            problems += [problem for problem in failed.problems if problem not in problems]
    if problems:
        raise ConfigError(problems)


def _axes(grid: Grid, method: str) -> dict[str, Sequence[str]]:
    """The paths that vary for a method; a rank, or a field of `peft`, only where the method has it."""
    axes: dict[str, Sequence[str]] = {}
    row = METHODS.get(method)
    rank = rank_field(method) if row else None
    if grid.ranks and rank:
        axes[f"peft.{rank}"] = [str(value) for value in dict.fromkeys(grid.ranks)]
    for path, values in grid.axes.items():
        if row is None or len(grid.methods) < 2 or belongs(path, method):
            axes[path] = list(dict.fromkeys(values))
    return axes


def _name(method: str, cell: Values, names: Mapping[str, object]) -> str:
    """lora-r8-lr0.0003; further seeds of it are called lora-r8-lr0.0003-s2."""
    keys = {path.rpartition(".")[2]: value for path, value in cell.items() if path != "method"}
    parts = [method, *(f"{SHORT.get(key, key + '-')}{value}" for key, value in keys.items())]
    name = _clean("-".join(parts))[:56].strip("-.")
    return f"{name}-{len(names)}" if name in names else name


def _clean(text: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in ".-") else "-" for c in text.lower())


def _equal(grid: Grid, combinations: Mapping[str, Values], folder: Path, *, reporter: Reporter) -> dict[str, object]:
    """The settings that are equal in all cells, from the plan of the first one. Raises: ConfigError E126."""
    path = folder / EQUAL_FILE
    digest = _digest(grid)
    stored = read_optional(path, SettingRecord)
    if stored and stored.ask == digest:
        return dict(stored.values)
    refuse_folder_of_others(folder, own=(EQUAL_FILE,))
    values = next(iter(combinations.values()))
    run = start_run.plan_for(grid.load(values), reporter=reporter).run
    equal = equal_of(run)
    folder.mkdir(parents=True, exist_ok=True)
    atomic_io.write_json(path, {"schema": file_names.SCHEMA, "ask": digest, "values": equal})
    return equal


def refuse_folder_of_others(folder: Path, *, own: Sequence[str]) -> None:
    """A folder of several runs is new, or holds nothing but what an earlier start left, by name, and pages of ours.

    Raises: ConfigError E115, E126 for one that is a run, or holds runs or anything else; TrainingError E520, E524.
    """
    output_targets.output_folder(folder, is_new=False)
    if run_dir.is_run(folder) or run_dir.list_runs(folder):
        raise error("E126", path=str(folder))
    if folder.is_dir():
        others = (path for path in folder.iterdir() if path.name not in own and not atomic_io.is_staged(path))
        if not all(path.is_file() and html_page.is_ours(path) for path in others):
            raise exists_already(folder)


def equal_of(run: RunConfig) -> dict[str, object]:
    """The settings that are equal in all cells, from the plan of one run."""
    return NO_EARLY_END | {key: value for key in EQUAL if (value := value_at(run, key)) is not None}


def is_same(run: RunDir, loaded: LoadedConfig) -> bool:
    """Whether a run on disk has the config of the cell."""
    return _comparable(load_config.load(config=run.file(file_names.CONFIG)).run) == _comparable(loaded.run)


def _comparable(run: RunConfig) -> dict[str, object]:
    """A config without what it does not depend on: name and folder of its run, and who computes it."""
    return start_run.with_absolute_paths(run).model_dump(mode="json", exclude={"run", "launch"})
