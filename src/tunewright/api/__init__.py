"""The surface: one function for each verb, for Python and for the command line alike. Torch-free."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tunewright.api.run_handle import CHAT_TOKENS, no_progress
from tunewright.api.run_handle import SHOTS as SHOTS
from tunewright.api.run_handle import Conversation as Conversation
from tunewright.api.run_handle import TrainedRun as TrainedRun
from tunewright.api.run_handle import result as result
from tunewright.config import glossary, json_schema, preset_table
from tunewright.config import load_config as spec
from tunewright.config.load_config import LoadedConfig
from tunewright.config.shortcuts import paths_of as paths_of
from tunewright.config.tasks import Task
from tunewright.data.examples.formats import Format
from tunewright.data.load_examples import recognise
from tunewright.data.prompts import Prompt, read_prompts
from tunewright.data.tokenized.tokenized_preview import pieces as pieces
from tunewright.data.validation import judge
from tunewright.diagnose import rules
from tunewright.diagnose.rules import Diagnosis as Diagnosis
from tunewright.errors import DataError, ModelError, Problem, SpecError, error, errors_of, system_faults
from tunewright.extras.comparison import aligned_runs, grid
from tunewright.extras.comparison.comparison_page import check_page as check_page
from tunewright.extras.comparison.comparison_result import ComparisonResult as ComparisonResult
from tunewright.extras.comparison.comparison_table import HEADS as HEADS
from tunewright.extras.comparison.grid import Cell as Cell
from tunewright.extras.comparison.grid import Grid as Grid
from tunewright.extras.comparison.recommendation import recommend
from tunewright.extras.comparison.search_space import SearchAxis as SearchAxis
from tunewright.extras.comparison.search_space import parse_axis as parse_axis
from tunewright.extras.comparison.search_space import split_values as split_values
from tunewright.extras.sweep import trials as sweeps
from tunewright.extras.sweep.optuna_search import CompletedTrial as CompletedTrial
from tunewright.extras.sweep.trials import Sweep as Sweep
from tunewright.extras.sweep.trials import SweepSettings as SweepSettings
from tunewright.extras.sweep.trials import TrialRun as TrialRun
from tunewright.i18n import Phrase
from tunewright.inspection import builtin_models, machine_info
from tunewright.inspection.model_info import read_model
from tunewright.inspection.requirements import Requirement, too_old
from tunewright.inspection.system_check import meanings
from tunewright.launch import batch_generation, in_process, inspect_inputs, python_rows, quickstart_tasks, start_run
from tunewright.launch import calibration as calibration
from tunewright.launch.checked_data import DataCheck as DataCheck
from tunewright.launch.resolve_model import Notify, fetch_weights, hub_answers, resolve_model
from tunewright.launch.session_client import Progress
from tunewright.metrics.thresholds import missed as missed
from tunewright.metrics.thresholds import parse_minimum as parse_minimum
from tunewright.planning.fast_paths import PATHS as PATHS
from tunewright.planning.preset_targets import PresetRow, all_rows, find_row, row_of, rows_of
from tunewright.planning.run_plan import Plan
from tunewright.report import benchmark_table, run_record
from tunewright.report import formatting as formatting
from tunewright.report import run_report as reports
from tunewright.rundir import atomic_io, file_names, output_targets, run_dir
from tunewright.rundir import run_overview as overviews
from tunewright.rundir.checkpoints import MANIFEST
from tunewright.rundir.finding import Finding as Finding
from tunewright.rundir.integrity import IntegrityReport as IntegrityReport
from tunewright.rundir.integrity import check_folder, check_run
from tunewright.rundir.run_dir import RunDir
from tunewright.rundir.run_end import end_problems
from tunewright.rundir.run_overview import RunOverview as RunOverview
from tunewright.security import as_private_as, home

Rows = str | Path | Sequence[Mapping[str, Any]]  # a path, a Hub id, or the rows themselves


def _silent(text: str) -> None:
    """Notes are for faces that show them."""


def load(
    *, config: str | Path | None = None, named: Mapping[str, Any] | None = None, sets: Sequence[str] = ()
) -> LoadedConfig:
    """A checked config from a file, named values (dotted path -> value) and PATH=VALUE texts. Raises: SpecError."""
    return spec.load(config=Path(config) if config else None, named=named or {}, sets=sets)


def plan(
    model: str | LoadedConfig | None = None, data: Rows | None = None, *, config: str | Path | None = None,
    device: str | None = None, note: Notify = _silent, progress: Progress = no_progress, **settings: Any,
) -> Plan:  # fmt: skip
    """What `train` would do with the same arguments, with every decision's reason: `plan("smollm2", "my.jsonl", rank=8)`.

    `device` names one that is not here ("a100-80", "24GB GPU"). A config that was loaded stands for all other arguments.
    Raises: every error that can be known before a run; SpecError E124 for an unknown device.
    """
    loaded = model if isinstance(model, LoadedConfig) else load(config=config, named=_named(model, data, settings))
    return start_run.plan_for(loaded, device=device, note=note, progress=progress)


def calibrate(loaded: LoadedConfig, *, note: Notify = _silent, progress: Progress = no_progress) -> float:
    """Train a few steps of this run and remember how many times slower they are than promised; later plans use it.

    Raises: every error that planning or training raises.
    """
    return calibration.calibrate(loaded, note=note, progress=progress)


def begin(loaded: LoadedConfig, made: Plan, *, force: bool = False, note: Notify = _silent) -> RunDir:
    """Start a planned run in the background. Raises: ResourceError E401, E403; SpecError E115."""
    run = start_run.create(loaded, made, force=force, note=note)
    start_run.launch(run)
    return run


def follow(run: RunDir, *, from_start: bool = True) -> Iterator[dict[str, Any] | None]:
    """The run's events as they happen, None whenever nothing is new; ends when the run has ended."""
    return start_run.follow(run, from_start=from_start)


def wait_for_stop(run: RunDir) -> None:
    """See a run that was asked to stop to its end. Raises: TrainingError E519 if its owner gives no sign of having heard."""
    start_run.wait_for_stop(run)


def problems(run: RunDir) -> list[Problem]:
    """Why a run ended as it did; empty for one that ended well or is still going on."""
    return end_problems(run)


def train(
    model: str | None = None,
    data: Rows | None = None,
    *,
    config: str | Path | None = None,
    inline_process: bool = False,
    callbacks: Sequence[Any] = (),
    on_event: Callable[[dict[str, Any]], None] = lambda event: None,
    **settings: Any,
) -> TrainedRun:
    """Train an adapter and wait for it: `train("smollm2", "my.jsonl", epochs=3, peft={"lora_dropout": 0.1})`.

    `data` is a path, a Hub id or a list of rows; `settings` are the words of the command line (epochs, lr, rank, seed, task,
    method, preset, output, map, skip_bad, offline) and sections of the config (peft, train, eval, ...). The run goes on in a
    process of its own, unless `inline_process` asks for this one; `callbacks`, transformers' TrainerCallbacks, ask for it too.
    Raises: TunewrightError with everything that went wrong.
    """
    loaded = load(config=config, named=_named(model, data, settings))
    return _run_to_end(loaded, inline_process=inline_process, callbacks=callbacks, on_event=on_event)


def _named(model: str | None, data: "Rows | None", settings: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments as values by dotted path. Raises: SpecError E132, E138, E139."""
    named = paths_of(settings)
    named |= {"model.name": model} if model is not None else {}
    return named | ({"data.train": python_rows.path_of(data)} if data is not None else {})


def train_loaded(loaded: LoadedConfig) -> TrainedRun:
    """Train what a checked config asks for, in a process of its own, and wait. Raises: TunewrightError."""
    return _run_to_end(loaded, inline_process=False, on_event=lambda event: None)


def stand_in_data() -> Path:
    """A small generated data file, for when only a model is wanted."""
    return quickstart_tasks.write_demo(0)[1]


def _run_to_end(
    loaded: LoadedConfig,
    *,
    inline_process: bool,
    on_event: Callable[[dict[str, Any]], None],
    callbacks: Sequence[Any] = (),
) -> TrainedRun:
    made = plan(loaded)
    run = start_run.create(loaded, made, force=False, note=_silent)
    if inline_process or callbacks:
        in_process.work(run, callbacks)
    else:
        start_run.launch(run)
        for event in follow(run):
            if event:
                on_event(event)
    problems = end_problems(run)
    if run.state() != "finished":
        unknown = Problem(
            "E506", values={"how": Phrase(run.state()), "log": str(run.file(file_names.LOG)), "name": run.name}
        )
        raise errors_of(problems or [unknown])
    return TrainedRun(run)


def quickstart(seed: int = 42, *, task: str = "causal_lm", inline_process: bool = False) -> TrainedRun:
    """Train, test and compare a built-in model on generated data; `task` by its name here or PEFT's.

    Raises: SpecError E103 for a task that does not exist; every error of `train`.
    """
    return _run_to_end(quickstart_request(seed, task=task), inline_process=inline_process, on_event=lambda event: None)


def quickstart_request(seed: int = 42, sets: Sequence[str] = (), *, task: str = "causal_lm") -> LoadedConfig:
    """What quickstart asks for, as a config. Raises: SpecError E103 for a task that does not exist."""
    return spec.load(named=quickstart_tasks.request(seed, quickstart_tasks.task_named(task)), sets=sets, by=spec.DEMO)


def resume(word: str, sets: Iterable[str] = ()) -> RunDir:
    """Continue a run that ended early, in the background. Raises: TrainingError E502, E505; SpecError E113, E116."""
    return start_run.resume(open_run(word).dir, dict(spec.parse_set(text) for text in sets))


def open_run(word: str) -> TrainedRun:
    """A run by path, name, beginning of its name, or `last`. Raises: SpecError E113, E114."""
    return TrainedRun(run_dir.open_run(word))


def open_exactly(word: str) -> TrainedRun:
    """A run by path or whole name, for what cannot be undone. Raises: SpecError E113, E114, E130."""
    return TrainedRun(run_dir.open_exactly(word))


def runs(root: str | Path | None = None) -> list[TrainedRun]:
    """The runs of a folder (runs/ here), oldest first. Raises: TrainingError E522 for a folder that is not there."""
    with system_faults(root or "."):
        os.scandir(root or ".").close()
    return [TrainedRun(run) for run in run_dir.list_runs(Path(root) if root else None)]


def overview(run: TrainedRun) -> RunOverview:
    """A run for a list of runs: nothing that is wrong with its folder is an error here."""
    return overviews.overview(run.dir)


def remove(run: RunDir) -> None:
    """Delete a run's folder. Raises: TrainingError E505 while it is live."""
    run_dir.remove(run)


def run_bytes(run: RunDir) -> int:
    """What a run takes on disk."""
    return run_dir.folder_bytes(run.path)


def account(run: RunDir) -> run_record.RunRecord:
    """Everything a run's files tell: curves, scores, verdict."""
    return run_record.read(run)


def prompts(
    path: str | Path, *, task: Task = "causal_lm", mapping: Mapping[str, str] | None = None, skip_bad: bool = False
) -> tuple[list[Prompt], list[Problem]]:
    """Rows of a file to be answered or labelled, and the rows that were left out, which is only done with `skip_bad`.

    Raises: DataError for a file or rows that cannot be read.
    """
    found, problems = read_prompts(str(path), mapping, task)
    if problems and not skip_bad:
        raise DataError(problems)
    return found, problems


def answer_prompts(
    run: TrainedRun, questions: Sequence[Prompt], *, with_base: bool = False, max_new_tokens: int = CHAT_TOKENS,
    progress: Progress = no_progress,
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """Each prompt's row with the answer added: as `answer`, or `tuned_answer` where the rows have an `answer` already.

    They come in portions, as they are written. Prompts without a system turn get the one that the training rows had.
    """
    return batch_generation.GenerationRequest(questions, run.answers, run.opening(), with_base, max_new_tokens).each(
        progress
    )


def answer_to_file(
    run: TrainedRun, questions: Sequence[Prompt], path: Path, *, source: Path, with_base: bool = False,
    max_new_tokens: int = CHAT_TOKENS, progress: Progress = no_progress, note: Notify = _silent,
) -> None:  # fmt: skip
    """The same rows as JSON lines in a file that is there when it is whole; after a kill the same ask goes on.

    The file is as private as the run and as `source`, which the questions come from.
    Raises: OSError where the disk refuses; what is answered by then is not lost.
    """
    changes = [problem.to_record() for problem in run.base_problems()]
    ask = batch_generation.GenerationRequest(questions, run.answers, run.opening(), with_base, max_new_tokens)
    with run.dir.private(), as_private_as([source]):
        ask.write(path, batch_generation.identity(run.dir, [changes, *ask.settings()]), progress, note)


def odd_numbers(questions: Sequence[Prompt]) -> list[Problem]:
    """W508 where the rows hold numbers that JSON does not have, so that the output cannot hold them either."""
    count = batch_generation.not_finite([prompt.row for prompt in questions])
    return [Problem("W508", values={"count": count})] if count else []


def output_file(path: str | Path, *, force: bool = False) -> Path:
    """The file that a result may be written to, links followed. Raises: SpecError E115; TrainingError E520, E524."""
    return output_targets.output_file(path, force=force, can_force=True)


def write_file(path: Path, text: str) -> None:
    """A text as a file, whole or not at all."""
    atomic_io.write_text(path, text)


def benchmark_lines(found: Mapping[str, Any]) -> list[benchmark_table.BenchmarkRow]:
    """What `TrainedRun.benchmark` gave, base and tuned model side by side, and whether that is a difference."""
    return benchmark_table.lines(found)


def diagnose(run: RunDir) -> Diagnosis:
    """What is wrong with a run, with evidence, cause and remedies; nothing for a healthy one."""
    return rules.diagnose(run)


def compare_runs(runs: Sequence[TrainedRun | str | Path], *, shots: int | None = None) -> ComparisonResult:
    """Finished runs side by side: scores on the same rows with intervals, what each took, and which to take.

    The base model with examples in its prompt stands beside them where `TrainedRun.prompted` measured it with `shots` of
    them, or with any number if that is None.
    Raises: SpecError E113, E114 for a run that is not there, E116 if none is finished, E125 if their rows differ.
    """
    opened = [run.dir if isinstance(run, TrainedRun) else open_run(str(run)).dir for run in runs]
    found = aligned_runs.compare(opened, shots)
    return ComparisonResult(found, recommend(found))


def plan_cells(asked: Grid, folder: Path, *, note: Notify = _silent, progress: Progress = no_progress) -> list[Cell]:
    """The runs that a comparison is made of, those that were never begun with their plans.

    Raises: every error that can be known before a run; SpecError E126 if the folder holds another comparison.
    """
    return grid.prepare(asked, folder, note=note, progress=progress)


def cells_folder(asked: Grid) -> Path:
    """Where the runs of a comparison go if nothing else is said: always the same folder for the same ask."""
    return grid.default_folder(asked)


def begin_cell(cell: Cell, *, force: bool = False, note: Notify = _silent) -> RunDir | None:
    """Start or continue one run of a comparison in the background; None if it is finished.

    Raises: ResourceError E401, E403; TrainingError E505.
    """
    return grid.begin(cell, force=force, note=note)


def open_sweep(
    sought: SweepSettings, folder: Path | None = None, *, note: Notify = _silent, progress: Progress = no_progress
) -> Sweep:
    """A sweep, begun now or earlier, in a folder that is always the same for the same ask if none is named.

    Raises: ExportError E601 without Optuna; SpecError E103, E109, E126, E128; every error of a plan.
    """
    return sweeps.open_sweep(sought, folder or sweeps.default_folder(sought), note=note, progress=progress)


def summary(run: RunDir) -> dict[str, Any]:
    """Verdict and numbers of a run's report, for scripts."""
    return reports.summary(run, rules.diagnose(run).findings)


def data_check(
    data: Rows, model: str = "smollm2", *, sets: Sequence[str] = (), note: Notify = _silent,
    progress: Progress = no_progress, **settings: Any,
) -> DataCheck:  # fmt: skip
    """Every row accounted for, without training: `data_check("my.csv", task="seq_cls")`.

    Nothing is raised for bad rows: they are in the result.
    Raises: DataError for a file that cannot be read at all; ModelError for the tokenizer's model.
    """
    loaded = load(named=_named(model, data, settings), sets=sets)
    gated, tokenizer = inspect_inputs.look_at_data(loaded.run, note=note, progress=progress)
    return DataCheck(gated, tuple(judge(gated, loaded.run.data)), tuple(gated.warnings), tokenizer)


def describe_data(made: Plan) -> str:
    """The recognised format of a plan's data, for people."""
    return Format(made.facts.data.format, made.facts.data.columns).describe()


def starter(
    model: str, data: str | Path, preset: preset_table.Level, *, sets: Sequence[str] = (), **settings: Any
) -> tuple[str, Format]:
    """The commented config for a model and data, and the format that was recognised.

    The config says the encoding of data that are not UTF-8 where it can be told, and the task that the rows show.
    Raises: DataError if the data cannot be read or understood; SpecError for a value that is none.
    """
    asked = {**paths_of(settings), **dict(map(spec.parse_set, sets))}
    named = {"model.name": model, "data.train": str(data), "preset": preset}
    run = load(named={**named, **asked}).run
    values, recognised = recognise(run.data, run.task)
    return json_schema.template(model, str(data), preset, {**asked, **values}), recognised


def explain(word: str) -> glossary.Explanation:
    """A code, a config key, a preset or a term, in a few sentences. Raises: SpecError E111."""
    return glossary.explain(word)


def config_schema() -> dict[str, Any]:
    """JSON Schema of a config file."""
    return json_schema.json_schema()


def config_rows(loaded: LoadedConfig) -> list[spec.ConfigRow]:
    """Every value of a config with its origin."""
    return spec.show(loaded)


def peft_config(**fields: Any) -> Any:
    """PEFT's own LoraConfig."""
    return in_process.lora_config(**fields)


def load_model(model: str, data: Rows | None = None, **settings: Any) -> tuple[Any, Any]:
    """A PEFT model with a fresh adapter, and its tokenizer, in this process, for a stock `transformers.Trainer` or a loop.

    `settings` are those of `train`: method, task, preset, peft={...}. `data` is needed where the rows decide what the
    model is: their labels, for seq_cls and token_cls. Raises: every error of a plan.
    """
    return load_for_training(load(named=_named(model, data or stand_in_data(), settings)))


def load_for_training(loaded: LoadedConfig) -> tuple[Any, Any]:
    """PEFT model with a fresh adapter and tokenizer, in this process: the only verb that brings torch into it."""
    made = plan(loaded)
    asked = made.run.model
    fetch_weights(asked.name, asked.revision, offline=made.run.run.offline, note=_silent)
    return in_process.load_for_training(made)


def put_adapter(model: Any, run: TrainedRun) -> None:
    """Give such a model the trained adapter of a run. Raises: ModelError E310."""
    in_process.put_adapter(model, run.adapter)


def count_parameters(model: Any) -> tuple[int, int]:
    """Trainable parameters of a model in this process, and all of them."""
    return in_process.count_parameters(model)


def continue_text(model: Any, tokenizer: Any, prompt: str, max_new_tokens: int = 20) -> str:
    """The prompt and what a model in this process writes behind it."""
    return in_process.continue_text(model, tokenizer, prompt, max_new_tokens)


def verify(word: str | Path) -> list[IntegrityReport]:
    """The files of a run, or of a folder that was copied from one, against what was written: nothing is loaded.

    Raises: SpecError E113, E114 for a run that is not found; ExportError E607 for a folder without a manifest.
    """
    folder = Path(word).expanduser()
    is_run = (folder / file_names.RUN_JSON).is_file()
    if not is_run and (folder / MANIFEST).is_file():
        return [check_folder(folder)]
    try:
        return check_run(open_run(str(word)).dir)
    except (SpecError, ModelError):
        if folder.is_dir():
            raise error("E607", path=str(folder)) from None
        raise


def copy_adapter(run: TrainedRun, target: str | Path) -> Path:
    """The run's adapter as a folder of its own. Raises: SpecError E115, E116."""
    return start_run.copy_adapter(run.dir, Path(target))


def fetch(name: str, *, note: Notify = _silent) -> Path:
    """Bring a model to this machine; its folder. Raises: HubError E701 to E705."""
    folder, _tensors = resolve_model(name, None, offline=False, note=note)
    fetch_weights(name, None, offline=False, note=note)
    return folder


def doctor(*, online: bool = False, note: Notify = _silent) -> Requirement:
    """What this machine offers; its speed is measured if that was never done. The Hub is asked only with `online`."""
    problems = too_old()
    if not any(problem.code == "E803" for problem in problems):
        inspect_inputs.ensure_probe(note)
    here = {name: any((home() / "models").glob(f"{name}-*")) for name in builtin_models.BUNDLED}
    found, versions = machine_info.read_machine(Path.cwd()), machine_info.versions()
    meant = meanings(found, versions, hub_answers() if online else None)
    return Requirement(found, versions, here, tuple(problems), tuple(meant))


def environment() -> dict[str, Any]:
    """Versions and machine, for a bug report."""
    found = machine_info.read_machine(Path.cwd())
    return {"schema": file_names.SCHEMA, "versions": machine_info.versions(), "machine": found.model_dump(mode="json")}


def preset_rows(word: str = "", *, model: str | None = None, note: Notify = _silent) -> list[PresetRow]:
    """What the presets come to: one of them by FAMILY/LEVEL, those of a model with what they train, or all.

    With both, the row of that level for that model, which must be of that family.
    Raises: SpecError E123; ModelError and HubError for a model that cannot be read.
    """
    if not model:
        return [find_row(word)] if word else all_rows()
    folder, tensors = resolve_model(model, None, offline=False, note=note)
    rows = rows_of(read_model(folder, model, tensors))
    return [row_of(word, rows)] if word else rows
