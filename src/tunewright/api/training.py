"""Planning, training and resuming runs."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tunewright.api.configs import Rows, load, named_values
from tunewright.api.run_folders import open_run
from tunewright.api.run_handle import TrainedRun
from tunewright.config import load_config
from tunewright.config.load_config import LoadedConfig
from tunewright.data.examples.formats import Format
from tunewright.errors import Problem, errors_of
from tunewright.i18n import N_, Phrase
from tunewright.launch import calibration, in_process, jobs, queue_runner, quickstart_tasks, restarted, start_run
from tunewright.launch.jobs import WrittenJob
from tunewright.planning.check_config import conflict
from tunewright.planning.run_plan import Plan
from tunewright.reporting import SILENT, Reporter
from tunewright.rundir import file_names
from tunewright.rundir.events import Event
from tunewright.rundir.run_dir import WAITING, RunDir
from tunewright.rundir.run_end import end_problems


def plan(
    model: str | LoadedConfig | None = None,
    data: Rows | None = None,
    *,
    config: str | Path | None = None,
    device: str | None = None,
    reporter: Reporter = SILENT,
    **settings: Any,
) -> Plan:
    """What `train` would do with the same arguments, with every decision's reason: `plan("smollm2", "my.jsonl", rank=8)`.

    `device` names one that is not here ("a100-80", "24GB GPU"). A loaded config replaces all other arguments.
    Raises: every error that can be known before a run; ConfigError E124 for an unknown device.
    """
    loaded = (
        model if isinstance(model, LoadedConfig) else load(config=config, named=named_values(model, data, settings))
    )
    return start_run.plan_for(loaded, device=device, reporter=reporter)


def describe_data(plan: Plan) -> str:
    """The recognised format of a plan's data, for people."""
    return Format(plan.facts.data.format, plan.facts.data.columns).describe()


def calibrate(loaded: LoadedConfig, *, reporter: Reporter = SILENT) -> float:
    """Train a few steps of this run and store how many times slower they are than planned; later plans use it.

    Raises: every error that planning or training raises.
    """
    return calibration.calibrate(loaded, reporter=reporter)


def begin(loaded: LoadedConfig, plan: Plan, *, force: bool = False, reporter: Reporter = SILENT) -> RunDir:
    """Start a planned run in the background. Raises: ResourceError E401, E403; ConfigError E115."""
    run = start_run.create(loaded, plan, force=force, reporter=reporter)
    start_run.launch(run)
    return run


def write_job(loaded: LoadedConfig, on: str, *, force: bool = False, reporter: Reporter = SILENT) -> WrittenJob:
    """Write the job by which a launcher, `slurm`, `skypilot`, `k8s` or `ray`, trains a config on `launch.nodes` machines.

    Raises: ConfigError E103, E109, E115, E133; every error of model and data.
    """
    return jobs.write(loaded, on, force=force, reporter=reporter)


def submit_job(job: WrittenJob) -> None:
    """Hand a written job to its launcher. Raises: TrainingError E531, E532; ExportError E601."""
    jobs.submit(job)


def begun_by_launcher(loaded: LoadedConfig) -> TrainedRun | None:
    """The run that this job began before its launcher started it again; None otherwise."""
    run = restarted.begun(loaded)
    return TrainedRun(run) if run else None


def go_on(run: TrainedRun, loaded: LoadedConfig) -> None:
    """Go on with it in the background, if it has not finished. Raises: TrainingError E502, E505."""
    restarted.go_on(run.dir, loaded)


def enqueue(
    loaded: LoadedConfig, plan: Plan, *, force: bool = False, reporter: Reporter = SILENT
) -> tuple[TrainedRun, int]:
    """Put a planned run into this machine's queue, and its place there, 1 for the next one.

    Raises: as `begin`; TrainingError E525 for a damaged queue.
    """
    queue_runner.check()  # before there is a run that waits for nobody
    run = start_run.create(loaded, plan, force=force, reporter=reporter, state=WAITING)
    return TrainedRun(run), queue_runner.add(run)


def follow(run: RunDir, *, from_start: bool = True) -> Iterator[Event | None]:
    """The run's events as they happen, None whenever nothing is new; ends when the run has ended."""
    return start_run.follow(run, from_start=from_start)


def wait_for_stop(run: RunDir) -> None:
    """Wait for the end of a run that was asked to stop. Raises: TrainingError E519 if its owner does not answer."""
    start_run.wait_for_stop(run)


def problems(run: RunDir) -> list[Problem]:
    """Why a run ended as it did; empty for one that ended well or is still running."""
    return end_problems(run)


def train(
    model: str | None = None,
    data: Rows | None = None,
    *,
    config: str | Path | None = None,
    inline_process: bool = False,
    callbacks: Sequence[Any] = (),
    on_event: Callable[[Event], None] = lambda event: None,
    **settings: Any,
) -> TrainedRun:
    """Train an adapter and wait for it: `train("smollm2", "my.jsonl", epochs=3, peft={"lora_dropout": 0.1})`.

    `data` is a path, a Hub id or a list of rows; `settings` are the short names of the command line (epochs, lr, rank, seed, task,
    method, preset, output, map, skip_bad, device_index, processes, nodes,
    node_rank, main, offline)
    and sections of the config (peft, train, eval, ...). The run has a
    process of its own, unless `inline_process` asks for this one; `callbacks`, transformers' TrainerCallbacks, imply it.
    Raises: TunewrightError with everything that went wrong.
    """
    loaded = load(config=config, named=named_values(model, data, settings))
    return _train_to_end(loaded, inline_process=inline_process, callbacks=callbacks, on_event=on_event)


def train_loaded(loaded: LoadedConfig) -> TrainedRun:
    """Train a checked config in a process of its own, and wait. Raises: TunewrightError."""
    return _train_to_end(loaded, inline_process=False, on_event=lambda event: None)


def _train_to_end(
    loaded: LoadedConfig,
    *,
    inline_process: bool,
    on_event: Callable[[Event], None],
    callbacks: Sequence[Any] = (),
) -> TrainedRun:
    is_inline = inline_process or bool(callbacks)
    if is_inline and (index := loaded.run.run.device_index):
        reason, fix = N_("this process has its GPU already"), "CUDA_VISIBLE_DEVICES=..."
        raise errors_of([conflict(f"run.device_index={index}", "inline_process", reason, fix)])
    counts = {"processes": loaded.run.launch.processes, "nodes": loaded.run.launch.nodes}
    several = {name: count for name, count in counts.items() if count != 1}
    if is_inline and several:
        first = ", ".join(f"launch.{name}={count}" for name, count in several.items())
        fix = f"launch={dict.fromkeys(several, 1)}"
        raise errors_of([conflict(first, "inline_process", N_("this is one process"), fix)])
    before = None if is_inline else restarted.begun(loaded)
    run = before or start_run.create(loaded, plan(loaded), force=False, reporter=SILENT)
    if is_inline:
        in_process.work(run, callbacks)
    else:
        if before:
            restarted.go_on(before, loaded)
        else:
            start_run.launch(run)
        for event in follow(run):
            if event:
                on_event(event)
    if run.state() != "finished":
        raise errors_of(end_problems(run) or [_unexplained_end(run)])
    return TrainedRun(run)


def _unexplained_end(run: RunDir) -> Problem:
    log = str(run.file(file_names.LOG))
    return Problem("E506", values={"how": Phrase(run.state()), "log": log, "name": run.name})


def quickstart(seed: int = 42, *, task: str = "causal_lm", inline_process: bool = False) -> TrainedRun:
    """Train, test and compare a built-in model on generated data; `task` by its name here or PEFT's.

    Raises: ConfigError E103 for a task that does not exist; every error of `train`.
    """
    loaded = quickstart_request(seed, task=task)
    return _train_to_end(loaded, inline_process=inline_process, on_event=lambda event: None)


def quickstart_request(seed: int = 42, sets: Sequence[str] = (), *, task: str = "causal_lm") -> LoadedConfig:
    """The config of quickstart. Raises: ConfigError E103 for a task that does not exist."""
    named = quickstart_tasks.request(seed, quickstart_tasks.task_named(task))
    return load_config.load(named=named, sets=sets, by=load_config.DEMO)


def resume(word: str, sets: Iterable[str] = ()) -> RunDir:
    """Continue a run that ended early, in the background. Raises: TrainingError E502, E505; ConfigError E113, E116."""
    return start_run.resume(open_run(word).dir, dict(load_config.parse_set(text) for text in sets))
