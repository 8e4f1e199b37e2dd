"""Starts runs: a plan becomes a run folder and a detached supervisor process."""

import shutil
import time
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path

from tunewright.config import load_config
from tunewright.config.dotted_paths import value_at
from tunewright.config.run_config import CHANGEABLE, RunConfig
from tunewright.errors import Problem, TrainingError, error, system_faults
from tunewright.i18n import N_, Phrase, gib
from tunewright.inspection.builtin_models import BUNDLED
from tunewright.inspection.machine_info import read_factor, versions
from tunewright.inspection.visible_device import visible_device
from tunewright.launch.devices import Device
from tunewright.launch.inspect_inputs import inspect, originals_of
from tunewright.launch.nodes import PLACE, placed
from tunewright.launch.resolve_model import fetch_weights
from tunewright.launch.trial_settings import check_patterns, try_settings
from tunewright.planning.cluster import cluster_of, with_measured
from tunewright.planning.device_table import facts_on
from tunewright.planning.make_plan import make_plan
from tunewright.planning.memory_fallback import REASONS, remedied, remedies, wishes
from tunewright.planning.run_plan import InspectedFacts, Plan, PlannedChoice
from tunewright.planning.scale_out import on_cluster
from tunewright.planning.time_estimate import factor_key
from tunewright.reporting import Reporter
from tunewright.rundir import atomic_io, file_names, output_targets, run_dir, run_queue, run_readme
from tunewright.rundir.base_fingerprint import as_problems, read_contents, refuse_without_base
from tunewright.rundir.base_fingerprint import changes as base_changes
from tunewright.rundir.checkpoints import MANIFEST
from tunewright.rundir.events import Event
from tunewright.rundir.full_disk import reserve_of
from tunewright.rundir.run_dir import ENDED, LIVE, RunDir, unfit
from tunewright.rundir.run_lock import is_held
from tunewright.security import as_private_as, command, home, plain_files, printable, spawn

POLL_SECONDS = 0.15
REPORT_SECONDS = 20
ANSWER_SECONDS = 30
DEAF = tuple(state for state in LIVE if state != "stopping")  # states before a run has noticed a request
# What a run keeps from its first plan, whatever is changed later: dropout is drawn by parts.
AT_THE_START = ("launch.parts",)
SEEN_IN_DATA = ("task", "model.chat_template")  # decided while the data were inspected, before there was a plan


@system_faults()
def plan_for(loaded: load_config.LoadedConfig, *, device: str | None = None, reporter: Reporter) -> Plan:
    """The plan of a config, for this machine or for a `device` that is not here.

    Raises: every error that can be known before a run starts, E520 to E523 among them; ConfigError E124 for an unknown device.
    """
    check_output(loaded.run)
    inputs = inspect(placed(loaded.run), reporter=reporter, is_measured=device is None)
    plan = plan_on(inputs.run, inputs.facts, loaded.origins, inputs.choices, device=device)
    if not device:  # what is missing here may be there
        try_settings(plan, reporter)
    return plan


def check_output(run: RunConfig) -> None:
    """Raises: TrainingError E520 to E523 for a folder that a run cannot be written into."""
    if run.run.output_dir:
        output_targets.output_folder(run.run.output_dir, is_new=False)


def plan_on(
    run: RunConfig,
    facts: InspectedFacts,
    origins: Mapping[str, str],
    choices: tuple[PlannedChoice, ...],
    *,
    device: str | None = None,
    with_alternatives: bool = True,
) -> Plan:
    """The plan of a run on what was seen, or for a `device` that is not here; nothing is looked at any more.

    Raises: ConfigError, ModelError with all problems; E143 for a pattern that takes too long; E124 for an unknown device.
    """
    run = with_absolute_paths(run)
    check_patterns(run, facts.model)
    if not device:
        factor = read_factor(factor_key(run, facts))
        return make_plan(run, facts, origins, choices, factor, with_alternatives=with_alternatives)
    cluster = cluster_of(device)
    there = facts_on(facts, cluster.device if cluster else device)
    plan = make_plan(run, there, origins, choices, with_alternatives=with_alternatives)
    links, titled = facts.machine.links, there.machine.system
    return on_cluster(plan, with_measured(cluster, links, titled)) if cluster else plan


@system_faults()
def create(
    loaded: load_config.LoadedConfig, plan: Plan, *, force: bool, reporter: Reporter, state: str = "queued"
) -> RunDir:
    """The run's folder with config and plan, ready to be launched, or to wait for that in the state `waiting`.

    Raises: ResourceError E401, E403 (unless forced); ConfigError E115; HubError while weights are fetched.
    """
    place = plan.run.run.output_dir
    output_targets.output_folder(place or run_dir.runs_root(), is_new=bool(place))
    if not force:
        _check_room(plan)
    fetch_weights(plan.run.model.name, plan.run.model.revision, offline=plan.run.run.offline, reporter=reporter)
    plan = _with_contents(plan, reporter)
    name = plan.run.run.name or default_name(plan.run)
    folder = Path(place).expanduser() if place else run_dir.new_folder(name, run_dir.runs_root())
    config = load_config.patch(with_absolute_paths(loaded.run), {"run.output_dir": None})
    files = {
        file_names.CONFIG: load_config.to_yaml(config),
        file_names.README: run_readme.readme(printable(name)),
        file_names.PLAN: plan.model_dump_json(indent=1) + "\n",
    }
    atomic_io.make_folder(folder.parent)
    with as_private_as(originals_of(plan.run.data)):
        return run_dir.create(folder, name, files, **_record(plan), state=state)


def _record(plan: Plan) -> dict[str, object]:
    """The fields of run.json that are known before the start."""
    return {
        "model": plan.run.model.name,
        "data": {"path": plan.run.data.name, "fingerprint": plan.facts.data.fingerprint},
        "generated_data": all(map(is_generated, plan.run.data.paths)),
        "seeds": {"seed": plan.run.train.seed, "data_seed": plan.run.train.data_seed},
        "versions": versions(),
    }


def _with_contents(plan: Plan, reporter: Reporter) -> Plan:
    """The plan with the digests of its base, whose weights are here now."""
    model = plan.facts.model.model_copy(update={"contents": read_contents(plan, reporter=reporter)})
    return plan.model_copy(update={"facts": plan.facts.model_copy(update={"model": model})})


def is_generated(path: str) -> bool:
    """True for data that Tunewright generated."""
    return Path(path).resolve().is_relative_to(home() / "demo")


def files_of(run: RunConfig) -> dict[str, Path]:
    """The local files and folders that a config names, by path of the config; of several sources the first is data.train.0."""
    sources = {f"data.train.{number}": path for number, path in enumerate(run.data.paths)}
    named = {
        **({"data.train": run.data.train} if isinstance(run.data.train, str) else sources),
        "data.holdout": run.data.holdout,
        "model.name": run.model.name,
        "model.chat_template": run.model.chat_template,
    }
    return {
        path: Path(value).expanduser()
        for path, value in named.items()
        if isinstance(value, str) and value not in BUNDLED and Path(value).expanduser().exists()
    }


def with_absolute_paths(run: RunConfig) -> RunConfig:
    """The config with absolute paths, so that it means the same from any folder."""
    return with_files(run, {path: str(file.resolve()) for path, file in files_of(run).items()})


def with_files(run: RunConfig, names: Mapping[str, str]) -> RunConfig:
    """The config with other names for its files; the keys are those of `files_of`."""
    changes: dict[str, object] = dict(names)
    if not isinstance(run.data.train, str):
        moved = [changes.pop(f"data.train.{number}", path) for number, path in enumerate(run.data.paths)]
        changes["data.train"] = [
            path if isinstance(item, str) else item.model_dump(exclude_defaults=True) | {"path": path}
            for item, path in zip(run.data.train, moved, strict=True)
        ]
    return load_config.patch(run, changes)


def default_name(run: RunConfig) -> str:
    """Model and data, as the name of a folder."""
    stem = "-".join(Path(path).stem for path in run.data.paths) or "data"
    words = f"{Path(run.model.name).name}-{stem}".lower()
    clean = "".join(char if char.isascii() and (char.isalnum() or char in ".-") else "-" for char in words)
    return clean.strip("-.")[:48] or "run"


def _check_room(plan: Plan) -> None:
    machine = plan.facts.machine
    if not plan.fits:
        raise error("E401", needed=gib(plan.memory.peak_bytes), free=gib(plan.room_bytes), fix=what_would_fit(plan))
    if plan.disk_bytes > machine.disk_free_bytes:
        place = plan.run.run.output_dir or str(run_dir.runs_root())
        raise error("E403", needed=gib(plan.disk_bytes), free=gib(machine.disk_free_bytes), path=place)


def what_would_fit(plan: Plan) -> str:
    """The first alternative that fits, as flags; else shorter rows."""
    for other in plan.alternatives:
        if other.fits:
            return other.flags()
    return f"--preset simple --set data.max_length={max(64, plan.facts.data.lengths['median'])}"


def launch(run: RunDir, device: Device | None = None) -> None:
    """Start a run that is ready, on a device if it is placed on one.

    Raises: TrainingError E505 if another process owns it, E518.
    """
    with run_dir.owning(run) as lock:
        start_parent(run, lock, device)


def start_parent(run: RunDir, lock: int, device: Device | None = None) -> None:
    """Start the detached supervisor; it outlives this process and its terminal, and inherits the run's lock."""
    with run.private():
        reserve_of(run, "parent").hold()  # as early as there may be room
        run_queue.register(run)  # its parent needs a moment to do so, in which another run would begin beside it
        with atomic_io.open_log(run.file(file_names.LOG)) as log:
            argv = command("tunewright.launch.supervisor", str(run.path))
            options = run.plan().run
            is_alone = options.launch.world == 1  # else each of its workers is given one of all that it sees
            visible = visible_device(options.run.device_index) if is_alone else {}
            visible = device.environment() if device else visible
            spawn(argv, stdin=lock, stdout=log, stderr=log, detached=True, environment=visible)


def follow(run: RunDir, *, from_start: bool = True) -> Iterator[Event | None]:
    """Events as they are written, until the run has ended; None whenever nothing was new, so that a face can draw.

    Raises: TrainingError E525 for a run that is damaged.
    """
    run.info()
    tail = run.tail()
    if not from_start:
        deque(tail.each(), maxlen=0)
    while True:
        is_over = run.state() in ENDED
        yield from tail.each()
        if is_over:
            _wait_for_report(run)
            return
        yield None
        time.sleep(POLL_SECONDS)


def wait(run: RunDir) -> None:
    """Return when the run has ended."""
    deque(follow(run, from_start=False), maxlen=0)


def _wait_for_report(run: RunDir) -> None:
    """The supervisor writes the report after the state; a caller that follows a run may read both."""
    deadline = time.monotonic() + REPORT_SECONDS
    while is_held(run.path) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)


def stop(run: RunDir, *, now: bool = False) -> bool:
    """Ask a live run to save and end; with `now`, to end at once. False if it was not live.

    The request is a file in the run, which its owner polls: no process id from a file is signalled, and processes in a
    container are reached as well.
    """
    if run.state() not in LIVE:
        return False
    run.request(now=now)
    return True


def wait_for_stop(run: RunDir) -> None:
    """Wait for the end of a run that was asked to stop. Raises: TrainingError E519 if its owner does not react."""
    deadline = time.monotonic() + ANSWER_SECONDS
    for _event in follow(run, from_start=False):
        if time.monotonic() > deadline and run.state() in DEAF:
            raise run_dir.owned(run, "E519")


def resume(run: RunDir, changes: Mapping[str, object], device: Device | None = None) -> RunDir:
    """Continue a run that ended early, in the background, with some settings changed where that is allowed, on a device if it is
    placed on one.

    Raises: TrainingError E505 while it is live, E502 if its base is another one now; ModelError E324 if that is gone;
    ConfigError E116 if the run is finished; ConfigError for bad changes; E525 for a damaged run.
    """
    run.check()
    _check_resumable(run, run.state(), changes)
    with run.private(), run_dir.owning(run) as lock:  # to the start of the parent: nobody comes in between
        requeue(run, changes)
        start_parent(run, lock, device)
    return run


def requeue(run: RunDir, changes: Mapping[str, object]) -> None:
    """For the owner of a run that ended early: queue it again. Raises: as `resume`, before anything is changed."""
    _check_resumable(run, run.left_as(), changes)
    check_base(run)
    if changes:
        _change(run, changes)
    run.forget_requests()
    run.update_info(
        state="queued", queued=time.time(), parent=None, worker=None, problems=[], exit_code=None,
        seconds_before=run.seconds() or 0.0, ended=None, seconds=None,
    )  # fmt: skip


def _check_resumable(run: RunDir, state: str, changes: Mapping[str, object]) -> None:
    """Raises: TrainingError E505 if the state is a live one, E502 for what cannot be changed; ConfigError E116."""
    if state in LIVE:
        raise run_dir.owned(run)
    if (
        state == "finished" and not run.plan().run.launch.node_rank
    ):  # another machine goes along as often as the first one asks
        raise unfit(run, "resume", N_("stopped, failed or lost"))
    refused = [path for path in changes if path not in CHANGEABLE]
    if refused:
        old = run.plan().run
        raise TrainingError(
            Problem("E502", values={"key": path, "old": value_at(old, path), "new": changes[path]}) for path in refused
        )


def _change(run: RunDir, changes: Mapping[str, object]) -> None:
    """Config and plan with some settings changed; the plan is recomputed from its stored facts."""
    plan = run.plan()
    config = load_config.load(config=run.file(file_names.CONFIG)).run
    changed = load_config.patch(config, changes)
    origins = wishes(plan) | dict.fromkeys(changes, "--set")
    unchanged = {
        path: value_at(plan.run, path) for path in (*SEEN_IN_DATA, *AT_THE_START, *PLACE) if path not in changes
    }
    changed_run = load_config.patch(changed, unchanged)
    detected = tuple(choice for choice in plan.choices if choice.path in SEEN_IN_DATA)
    factor = read_factor(factor_key(changed_run, plan.facts))
    new = make_plan(changed_run, plan.facts, origins, detected, factor)
    for origin in REASONS:
        saved = remedies(plan, origin)
        if saved and not saved.keys() & changes.keys():  # unless the user changes one of them
            new = remedied(new, saved, origin)
    atomic_io.write_text(run.file(file_names.CONFIG), load_config.to_yaml(changed))
    atomic_io.write_text(run.file(file_names.PLAN), new.model_dump_json(indent=1) + "\n")
    listed = ", ".join(f"{path}={value}" for path, value in changes.items())
    run.events.note(Phrase(N_("changed: {settings}"), settings=listed))


def check_base(run: RunDir) -> None:
    """Raises: ModelError E324 if the base is gone; TrainingError E502 for each part of it that is another one now."""
    plan = run.plan()
    if plan.facts.model.contents.weights:
        refuse_without_base(plan)
    if problems := as_problems("E502", base_changes(plan)):
        raise TrainingError(problems)


def copy_adapter(run: RunDir, target: Path) -> Path:
    """The adapter as a folder of its own, with the files that PEFT needs alone.

    Raises: ConfigError E115, E116; ModelError E309, E315 for what is no file, or leads out.
    """
    if not run.adapter_dir.is_dir():
        raise unfit(run, "copy")
    place = output_targets.output_folder(target)
    with run.private(), atomic_io.staging(place.parent) as staged:
        for file in plain_files(run.adapter_dir):
            if file.name != MANIFEST:
                shutil.copyfile(file, staged / file.name)
        atomic_io.publish_folder(staged, place)
    return target
