"""The surface: one function for each verb, for Python and for the command line alike. Torch-free."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tunewright.compare import benchmark, comparison, record
from tunewright.compare import report as reports
from tunewright.compare import words as words
from tunewright.compare.choosing import choose
from tunewright.compare.compared import Compared as Compared
from tunewright.compare.comparison_page import check_page as check_page
from tunewright.compare.minimum import missed as missed
from tunewright.compare.minimum import parse_minimum as parse_minimum
from tunewright.compare.outcome import HEADS as HEADS
from tunewright.compare.search import Tried as Tried
from tunewright.compare.space import Axis as Axis
from tunewright.compare.space import parse_axis as parse_axis
from tunewright.compare.space import split_values as split_values
from tunewright.data.formats import Format
from tunewright.data.gate import judge
from tunewright.data.loading import recognise
from tunewright.data.pieces import pieces as pieces
from tunewright.data.prompts import Prompt, read_prompts
from tunewright.doctor import rules
from tunewright.doctor.finding import Finding as Finding
from tunewright.doctor.rules import Diagnosis as Diagnosis
from tunewright.errors import DataError, ModelError, Problem, SpecError, error, errors_of, system_faults
from tunewright.facts import bundled, machine
from tunewright.facts.health import Health, too_old
from tunewright.facts.meaning import meanings
from tunewright.facts.model import read_model
from tunewright.flow import answers, cells, demo, gather, inline, rows, start
from tunewright.flow import calibrate as calibration
from tunewright.flow import sweep as sweeps
from tunewright.flow.cells import Cell as Cell
from tunewright.flow.cells import Grid as Grid
from tunewright.flow.checked import DataCheck as DataCheck
from tunewright.flow.fetch import Note, fetch_weights, hub_answers, resolve_model
from tunewright.flow.session import Progress
from tunewright.flow.sweep import Sought as Sought
from tunewright.flow.sweep import Sweep as Sweep
from tunewright.flow.sweep import Trial as Trial
from tunewright.i18n import Phrase
from tunewright.planning.paths import PATHS as PATHS
from tunewright.planning.plan import Plan
from tunewright.planning.presets import Row, all_rows, find_row, row_of, rows_of
from tunewright.rundir import durable, layout, store, targets
from tunewright.rundir import overview as overviews
from tunewright.rundir.checkpoints import MANIFEST
from tunewright.rundir.overview import Overview as Overview
from tunewright.rundir.soundness import Checked as Checked
from tunewright.rundir.soundness import check_folder, check_run
from tunewright.rundir.store import RunDir
from tunewright.spec import glossary, presets, schema
from tunewright.spec import load as spec
from tunewright.spec.load import Loaded
from tunewright.spec.shortcuts import paths_of as paths_of
from tunewright.spec.tasks import Task
from tunewright.trained import CHAT_TOKENS, no_progress
from tunewright.trained import SHOTS as SHOTS
from tunewright.trained import Conversation as Conversation
from tunewright.trained import TrainedRun as TrainedRun
from tunewright.trained import result as result
from tunewright.trust import as_private_as, home

Rows = str | Path | Sequence[Mapping[str, Any]]  # a path, a Hub id, or the rows themselves


def _silent(text: str) -> None:
    """Notes are for faces that show them."""


def load(
    *, config: str | Path | None = None, named: Mapping[str, Any] | None = None, sets: Sequence[str] = ()
) -> Loaded:
    """A checked config from a file, named values (dotted path -> value) and PATH=VALUE texts. Raises: SpecError."""
    return spec.load(config=Path(config) if config else None, named=named or {}, sets=sets)


def plan(
    model: str | Loaded | None = None, data: Rows | None = None, *, config: str | Path | None = None,
    device: str | None = None, note: Note = _silent, progress: Progress = no_progress, **settings: Any,
) -> Plan:  # fmt: skip
    """What `train` would do with the same arguments, with every decision's reason: `plan("smollm2", "my.jsonl", rank=8)`.

    `device` names one that is not here ("a100-80", "24GB GPU"). A config that was loaded stands for all other arguments.
    Raises: every error that can be known before a run; SpecError E124 for an unknown device.
    """
    loaded = model if isinstance(model, Loaded) else load(config=config, named=_named(model, data, settings))
    return start.plan_for(loaded, device=device, note=note, progress=progress)


def calibrate(loaded: Loaded, *, note: Note = _silent, progress: Progress = no_progress) -> float:
    """Train a few steps of this run and remember how many times slower they are than promised; later plans use it.

    Raises: every error that planning or training raises.
    """
    return calibration.calibrate(loaded, note=note, progress=progress)


def begin(loaded: Loaded, made: Plan, *, force: bool = False, note: Note = _silent) -> RunDir:
    """Start a planned run in the background. Raises: ResourceError E401, E403; SpecError E115."""
    run = start.create(loaded, made, force=force, note=note)
    start.launch(run)
    return run


def follow(run: RunDir, *, from_start: bool = True) -> Iterator[dict[str, Any] | None]:
    """The run's events as they happen, None whenever nothing is new; ends when the run has ended."""
    return start.follow(run, from_start=from_start)


def wait_for_stop(run: RunDir) -> None:
    """See a run that was asked to stop to its end. Raises: TrainingError E519 if its owner gives no sign of having heard."""
    start.wait_for_stop(run)


def problems(run: RunDir) -> list[Problem]:
    """Why a run ended as it did; empty for one that ended well or is still going on."""
    return start.outcome_problems(run)


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
    return named | ({"data.train": rows.path_of(data)} if data is not None else {})


def train_loaded(loaded: Loaded) -> TrainedRun:
    """Train what a checked config asks for, in a process of its own, and wait. Raises: TunewrightError."""
    return _run_to_end(loaded, inline_process=False, on_event=lambda event: None)


def stand_in_data() -> Path:
    """A small generated data file, for when only a model is wanted."""
    return demo.write_demo(0)[1]


def _run_to_end(
    loaded: Loaded, *, inline_process: bool, on_event: Callable[[dict[str, Any]], None], callbacks: Sequence[Any] = ()
) -> TrainedRun:
    made = plan(loaded)
    run = start.create(loaded, made, force=False, note=_silent)
    if inline_process or callbacks:
        inline.work(run, callbacks)
    else:
        start.launch(run)
        for event in follow(run):
            if event:
                on_event(event)
    problems = start.outcome_problems(run)
    if run.state() != "finished":
        unknown = Problem(
            "E506", values={"how": Phrase(run.state()), "log": str(run.file(layout.LOG)), "name": run.name}
        )
        raise errors_of(problems or [unknown])
    return TrainedRun(run)


def quickstart(seed: int = 42, *, task: str = "causal_lm", inline_process: bool = False) -> TrainedRun:
    """Train, test and compare a built-in model on generated data; `task` by its name here or PEFT's.

    Raises: SpecError E103 for a task that does not exist; every error of `train`.
    """
    return _run_to_end(quickstart_request(seed, task=task), inline_process=inline_process, on_event=lambda event: None)


def quickstart_request(seed: int = 42, sets: Sequence[str] = (), *, task: str = "causal_lm") -> Loaded:
    """What quickstart asks for, as a config. Raises: SpecError E103 for a task that does not exist."""
    return spec.load(named=demo.request(seed, demo.task_named(task)), sets=sets, by=spec.DEMO)


def resume(word: str, sets: Iterable[str] = ()) -> RunDir:
    """Continue a run that ended early, in the background. Raises: TrainingError E502, E505; SpecError E113, E116."""
    return start.resume(open_run(word).dir, dict(spec.parse_set(text) for text in sets))


def open_run(word: str) -> TrainedRun:
    """A run by path, name, beginning of its name, or `last`. Raises: SpecError E113, E114."""
    return TrainedRun(store.open_run(word))


def open_exactly(word: str) -> TrainedRun:
    """A run by path or whole name, for what cannot be undone. Raises: SpecError E113, E114, E130."""
    return TrainedRun(store.open_exactly(word))


def runs(root: str | Path | None = None) -> list[TrainedRun]:
    """The runs of a folder (runs/ here), oldest first. Raises: TrainingError E522 for a folder that is not there."""
    with system_faults(root or "."):
        os.scandir(root or ".").close()
    return [TrainedRun(run) for run in store.list_runs(Path(root) if root else None)]


def overview(run: TrainedRun) -> Overview:
    """A run for a list of runs: nothing that is wrong with its folder is an error here."""
    return overviews.overview(run.dir)


def remove(run: RunDir) -> None:
    """Delete a run's folder. Raises: TrainingError E505 while it is live."""
    store.remove(run)


def run_bytes(run: RunDir) -> int:
    """What a run takes on disk."""
    return store.folder_bytes(run.path)


def account(run: RunDir) -> record.Record:
    """Everything a run's files tell: curves, scores, verdict."""
    return record.read(run)


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
    return answers.Ask(questions, run.answers, run.opening(), with_base, max_new_tokens).each(progress)


def answer_to_file(
    run: TrainedRun, questions: Sequence[Prompt], path: Path, *, source: Path, with_base: bool = False,
    max_new_tokens: int = CHAT_TOKENS, progress: Progress = no_progress, note: Note = _silent,
) -> None:  # fmt: skip
    """The same rows as JSON lines in a file that is there when it is whole; after a kill the same ask goes on.

    The file is as private as the run and as `source`, which the questions come from.
    Raises: OSError where the disk refuses; what is answered by then is not lost.
    """
    changes = [problem.to_record() for problem in run.base_problems()]
    ask = answers.Ask(questions, run.answers, run.opening(), with_base, max_new_tokens)
    with run.dir.private(), as_private_as([source]):
        ask.write(path, answers.identity(run.dir, [changes, *ask.settings()]), progress, note)


def odd_numbers(questions: Sequence[Prompt]) -> list[Problem]:
    """W508 where the rows hold numbers that JSON does not have, so that the output cannot hold them either."""
    count = answers.not_finite([prompt.row for prompt in questions])
    return [Problem("W508", values={"count": count})] if count else []


def output_file(path: str | Path, *, force: bool = False) -> Path:
    """The file that a result may be written to, links followed. Raises: SpecError E115; TrainingError E520, E524."""
    return targets.output_file(path, force=force, can_force=True)


def write_file(path: Path, text: str) -> None:
    """A text as a file, whole or not at all."""
    durable.write_text(path, text)


def benchmark_lines(found: Mapping[str, Any]) -> list[benchmark.Line]:
    """What `TrainedRun.benchmark` gave, base and tuned model side by side, and whether that is a difference."""
    return benchmark.lines(found)


def diagnose(run: RunDir) -> Diagnosis:
    """What is wrong with a run, with evidence, cause and remedies; nothing for a healthy one."""
    return rules.diagnose(run)


def compare_runs(runs: Sequence[TrainedRun | str | Path], *, shots: int | None = None) -> Compared:
    """Finished runs side by side: scores on the same rows with intervals, what each took, and which to take.

    The base model with examples in its prompt stands beside them where `TrainedRun.prompted` measured it with `shots` of
    them, or with any number if that is None.
    Raises: SpecError E113, E114 for a run that is not there, E116 if none is finished, E125 if their rows differ.
    """
    opened = [run.dir if isinstance(run, TrainedRun) else open_run(str(run)).dir for run in runs]
    found = comparison.compare(opened, shots)
    return Compared(found, choose(found))


def plan_cells(asked: Grid, folder: Path, *, note: Note = _silent, progress: Progress = no_progress) -> list[Cell]:
    """The runs that a comparison is made of, those that were never begun with their plans.

    Raises: every error that can be known before a run; SpecError E126 if the folder holds another comparison.
    """
    return cells.prepare(asked, folder, note=note, progress=progress)


def cells_folder(asked: Grid) -> Path:
    """Where the runs of a comparison go if nothing else is said: always the same folder for the same ask."""
    return cells.default_folder(asked)


def begin_cell(cell: Cell, *, force: bool = False, note: Note = _silent) -> RunDir | None:
    """Start or continue one run of a comparison in the background; None if it is finished.

    Raises: ResourceError E401, E403; TrainingError E505.
    """
    return cells.begin(cell, force=force, note=note)


def open_sweep(
    sought: Sought, folder: Path | None = None, *, note: Note = _silent, progress: Progress = no_progress
) -> Sweep:
    """A sweep, begun now or earlier, in a folder that is always the same for the same ask if none is named.

    Raises: ExportError E601 without Optuna; SpecError E103, E109, E126, E128; every error of a plan.
    """
    return sweeps.open_sweep(sought, folder or sweeps.default_folder(sought), note=note, progress=progress)


def summary(run: RunDir) -> dict[str, Any]:
    """Verdict and numbers of a run's report, for scripts."""
    return reports.summary(run)


def data_check(
    data: Rows, model: str = "smollm2", *, sets: Sequence[str] = (), note: Note = _silent,
    progress: Progress = no_progress, **settings: Any,
) -> DataCheck:  # fmt: skip
    """Every row accounted for, without training: `data_check("my.csv", task="seq_cls")`.

    Nothing is raised for bad rows: they are in the result.
    Raises: DataError for a file that cannot be read at all; ModelError for the tokenizer's model.
    """
    loaded = load(named=_named(model, data, settings), sets=sets)
    gated, tokenizer = gather.look_at_data(loaded.run, note=note, progress=progress)
    return DataCheck(gated, tuple(judge(gated, loaded.run.data)), tuple(gated.warnings), tokenizer)


def describe_data(made: Plan) -> str:
    """The recognised format of a plan's data, for people."""
    return Format(made.facts.data.format, made.facts.data.columns).describe()


def starter(
    model: str, data: str | Path, preset: presets.Level, *, sets: Sequence[str] = (), **settings: Any
) -> tuple[str, Format]:
    """The commented config for a model and data, and the format that was recognised.

    The config says the encoding of data that are not UTF-8 where it can be told, and the task that the rows show.
    Raises: DataError if the data cannot be read or understood; SpecError for a value that is none.
    """
    asked = {**paths_of(settings), **dict(map(spec.parse_set, sets))}
    named = {"model.name": model, "data.train": str(data), "preset": preset}
    run = load(named={**named, **asked}).run
    values, recognised = recognise(run.data, run.task)
    return schema.template(model, str(data), preset, {**asked, **values}), recognised


def explain(word: str) -> glossary.Explanation:
    """A code, a config key, a preset or a term, in a few sentences. Raises: SpecError E111."""
    return glossary.explain(word)


def config_schema() -> dict[str, Any]:
    """JSON Schema of a config file."""
    return schema.json_schema()


def config_rows(loaded: Loaded) -> list[spec.Row]:
    """Every value of a config with its origin."""
    return spec.show(loaded)


def peft_config(**fields: Any) -> Any:
    """PEFT's own LoraConfig."""
    return inline.lora_config(**fields)


def load_model(model: str, data: Rows | None = None, **settings: Any) -> tuple[Any, Any]:
    """A PEFT model with a fresh adapter, and its tokenizer, in this process, for a stock `transformers.Trainer` or a loop.

    `settings` are those of `train`: method, task, preset, peft={...}. `data` is needed where the rows decide what the
    model is: their labels, for seq_cls and token_cls. Raises: every error of a plan.
    """
    return load_for_training(load(named=_named(model, data or stand_in_data(), settings)))


def load_for_training(loaded: Loaded) -> tuple[Any, Any]:
    """PEFT model with a fresh adapter and tokenizer, in this process: the only verb that brings torch into it."""
    made = plan(loaded)
    asked = made.run.model
    fetch_weights(asked.name, asked.revision, offline=made.run.run.offline, note=_silent)
    return inline.load_for_training(made)


def put_adapter(model: Any, run: TrainedRun) -> None:
    """Give such a model the trained adapter of a run. Raises: ModelError E310."""
    inline.put_adapter(model, run.adapter)


def count_parameters(model: Any) -> tuple[int, int]:
    """Trainable parameters of a model in this process, and all of them."""
    return inline.count_parameters(model)


def continue_text(model: Any, tokenizer: Any, prompt: str, max_new_tokens: int = 20) -> str:
    """The prompt and what a model in this process writes behind it."""
    return inline.continue_text(model, tokenizer, prompt, max_new_tokens)


def verify(word: str | Path) -> list[Checked]:
    """The files of a run, or of a folder that was copied from one, against what was written: nothing is loaded.

    Raises: SpecError E113, E114 for a run that is not found; ExportError E607 for a folder without a manifest.
    """
    folder = Path(word).expanduser()
    is_run = (folder / layout.RUN_JSON).is_file()
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
    return start.copy_adapter(run.dir, Path(target))


def fetch(name: str, *, note: Note = _silent) -> Path:
    """Bring a model to this machine; its folder. Raises: HubError E701 to E705."""
    folder, _tensors = resolve_model(name, None, offline=False, note=note)
    fetch_weights(name, None, offline=False, note=note)
    return folder


def doctor(*, online: bool = False, note: Note = _silent) -> Health:
    """What this machine offers; its speed is measured if that was never done. The Hub is asked only with `online`."""
    problems = too_old()
    if not any(problem.code == "E803" for problem in problems):
        gather.ensure_probe(note)
    here = {name: any((home() / "models").glob(f"{name}-*")) for name in bundled.BUNDLED}
    found, versions = machine.read_machine(Path.cwd()), machine.versions()
    meant = meanings(found, versions, hub_answers() if online else None)
    return Health(found, versions, here, tuple(problems), tuple(meant))


def environment() -> dict[str, Any]:
    """Versions and machine, for a bug report."""
    found = machine.read_machine(Path.cwd())
    return {"schema": layout.SCHEMA, "versions": machine.versions(), "machine": found.model_dump(mode="json")}


def preset_rows(word: str = "", *, model: str | None = None, note: Note = _silent) -> list[Row]:
    """What the presets come to: one of them by FAMILY/LEVEL, those of a model with what they train, or all.

    With both, the row of that level for that model, which must be of that family.
    Raises: SpecError E123; ModelError and HubError for a model that cannot be read.
    """
    if not model:
        return [find_row(word)] if word else all_rows()
    folder, tensors = resolve_model(model, None, offline=False, note=note)
    rows = rows_of(read_model(folder, model, tensors))
    return [row_of(word, rows)] if word else rows
