"""Other settings tried before a run, one config in three forms, and remedies carried out."""

from collections.abc import Collection, Mapping
from typing import Literal

from tunewright.api.run_handle import TrainedRun
from tunewright.api.training import begin, plan
from tunewright.config import json_schema, load_config, shortcuts, validation_problems, written_config
from tunewright.config.dotted_paths import changed_settings, value_at
from tunewright.config.json_schema import OptionRow
from tunewright.config.load_config import LoadedConfig
from tunewright.config.run_config import CHANGEABLE
from tunewright.config.written_config import WrittenConfig
from tunewright.errors import Problem, error
from tunewright.launch import start_run
from tunewright.reporting import SILENT, Reporter
from tunewright.rundir import file_names
from tunewright.rundir.finding import Remedy
from tunewright.rundir.run_dir import RESUMABLE


def settings_of(config: LoadedConfig | TrainedRun) -> dict[str, object]:
    """What of a config, or of that of a run, differs from the defaults, by dotted path, as JSON holds it.

    Raises: ConfigError for a run whose config is damaged.
    """
    loaded = load_config.load(config=config.dir.file(file_names.CONFIG)) if isinstance(config, TrainedRun) else config
    return dict(changed_settings(loaded.run))


def option_rows(method: str) -> list[OptionRow]:
    """Every option that a config of this method has, in the order of a config, with type, default and meaning."""
    return [row for row in json_schema.option_rows() if load_config.belongs(method, row.path)]


def belongs(method: str, path: str) -> bool:
    """Whether a config of this method can have a setting, declared or passed on."""
    return load_config.belongs(method, path)


def rank_path(method: str) -> str:
    """The path of a method's rank; `peft.r` also for one without."""
    return shortcuts.rank_path(method)


def as_text(value: object) -> str:
    """A value as it is typed after `--set PATH=`."""
    return written_config.as_value(value)


def flags(settings: Mapping[str, object]) -> str:
    """Settings by dotted path as what is added to a command."""
    return written_config.flags(settings)


def command(loaded: LoadedConfig) -> WrittenConfig:
    """A config as one line for a shell, as YAML and as Python, each of which gives an equal config again."""
    return written_config.written(loaded.run)


def command_for(loaded: LoadedConfig, verb: str, *words: str, without: Collection[str] = ()) -> str:
    """The line by which `compare` or `sweep` begins with a config; `without` leaves settings out, as those that it varies."""
    return written_config.command_for(loaded.run, verb, *words, without=without)


def option_of(problem: Problem) -> str:
    """The option that a problem speaks of, by dotted path; empty where it is about none."""
    return validation_problems.option_of(problem)


def settings_in(fix: str, method: str) -> dict[str, object] | None:
    """The settings that the flags of a fix stand for, by dotted path; None for a fix that a person has to carry out."""
    return written_config.settings_in(fix, method)


def can_go_on_with(run: TrainedRun, remedy: Remedy) -> bool:
    """Whether a run that ended early can go on with the settings of a remedy."""
    return bool(remedy.patch) and set(remedy.patch) <= CHANGEABLE and run.state in RESUMABLE


def changes_by(run: TrainedRun, remedy: Remedy) -> dict[str, tuple[object, object]]:
    """What a remedy changes: each setting by dotted path, as the run's plan had it and as it is to be.

    Raises: TrainingError E525 for a run that is damaged.
    """
    run_config = run.plan.run
    return {path: (value_at(run_config, path), value) for path, value in remedy.patch.items()}


def remedied(run: TrainedRun, remedy: Remedy) -> LoadedConfig:
    """The config of a run with the settings of a remedy. Raises: ConfigError E147 for a remedy without settings."""
    if not remedy.patch:
        raise error("E147", text=remedy.message(), command=remedy.command)
    return load_config.changed(load_config.load(config=run.dir.file(file_names.CONFIG)), remedy.patch)


def apply_remedy(
    run: TrainedRun,
    remedy: Remedy,
    how: Literal["again", "continue"],
    *,
    force: bool = False,
    reporter: Reporter = SILENT,
) -> TrainedRun:
    """Train with the settings of a remedy, in the background: `again` in a new run, `continue` from this one's last checkpoint.

    Raises: ConfigError E147 for a remedy without settings, E116 for a run that cannot go on; TrainingError E502 for settings
    with which it cannot, E505, E525; all that planning and starting raise.
    """
    loaded = remedied(run, remedy)
    if how == "continue":
        return TrainedRun(start_run.resume(run.dir, remedy.patch))
    return TrainedRun(begin(loaded, plan(loaded, reporter=reporter), force=force, reporter=reporter))
