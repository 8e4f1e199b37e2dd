"""Exports and downloads by processes of their own, which go on when whoever began them is gone."""

import secrets
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from tunewright.api.deployment import plan_export
from tunewright.api.run_handle import TrainedRun
from tunewright.errors import errors_of
from tunewright.inspection.builtin_models import builtin_model
from tunewright.launch import begin_work
from tunewright.rundir import background_work, file_names, output_targets
from tunewright.rundir.background_work import BackgroundWork
from tunewright.rundir.base_model import base_of
from tunewright.rundir.model_card import loading_code_elsewhere, merged_loading_code
from tunewright.rundir.run_dir import RunDir, unfit


def new_work_id() -> str:
    """An id for work that a form will begin: a form that is sent twice begins it once."""
    return secrets.token_hex(8)


def is_work_id(text: str) -> bool:
    """Whether a text is such an id."""
    return bool(background_work.ID.fullmatch(text))


def works(run: TrainedRun | None = None) -> Sequence[BackgroundWork]:
    """The work that is kept for a run, or that is for none, the newest first. Raises: TrainingError E525."""
    wanted = str(run.path.resolve()) if run else ""
    return [work for work in background_work.listed() if work.record().run == wanted]


def export_target(run: TrainedRun, to: str) -> Path:
    """A new folder here for an export: `NAME-FORMAT`, with a number where that is taken."""
    wanted = Path.cwd() / f"{run.name}-{to}"
    numbered = (wanted.with_name(f"{wanted.name}-{number}") for number in range(2, 10_000))
    return next(place for place in (wanted, *numbered) if not place.exists())


def begin_export(
    run: TrainedRun, to: str, work_id: str, *, as_: str | None = None, quant: str | None = None
) -> BackgroundWork:
    """Begin to write the run for another engine, into `export_target`.

    Raises: what `plan_export` finds; TrainingError E542 while other work is under way.
    """
    if known := background_work.find(work_id):
        return known
    plan = plan_export(run, to, export_target(run, to), as_=as_, quant=quant)
    if plan.problems:
        raise errors_of(plan.problems)
    options = {"to": to, "as": plan.way} | ({"quant": plan.quant} if quant else {})
    what = " ".join(filter(None, (plan.row.title, plan.way, quant)))
    return begin_work.begin("export", what, work_id, run=run.path.resolve(), target=plan.target, options=options)


def begin_merge(run: TrainedRun, work_id: str) -> BackgroundWork:
    """Begin to merge base and adapter into the run's own `merged`.

    Raises: ConfigError E115, E116; TrainingError E520, E524, E542.
    """
    if known := background_work.find(work_id):
        return known
    _refuse_unfinished(run, "merge")
    target = output_targets.output_folder(run.path.resolve() / file_names.MERGED)
    return begin_work.begin("merge", file_names.MERGED, work_id, run=run.path.resolve(), target=target)


def begin_eject(run: TrainedRun, work_id: str) -> BackgroundWork:
    """Begin to write the run as a plain script with its rows. Raises: TrainingError E542."""
    target = export_target(run, "script")
    return begin_work.begin("eject", "train.py", work_id, run=run.path.resolve(), target=target)


def begin_fetch(name: str, work_id: str) -> BackgroundWork:
    """Begin to download a built-in model, or join its download. Raises: ModelError E302 for any other; TrainingError E542."""
    return begin_work.begin("fetch", builtin_model(name).name, work_id)


def last_fetch(name: str) -> BackgroundWork | None:
    """The last download of a built-in model that is kept, under way or ended."""
    for work in background_work.listed():
        record = work.record()
        if (record.do, record.what) == ("fetch", name):
            return work
    return None


def run_after(work: BackgroundWork, begin: Callable[[], TrainedRun]) -> TrainedRun:
    """The run that follows a download: begun by the first who asks; everybody else gets that one.

    Raises: what `begin` raises, after which the next who asks begins it; TrainingError E525.
    """
    return TrainedRun(RunDir(work.follow_up(lambda: begin().path.resolve())))


def stop_work(work: BackgroundWork) -> None:
    """Ask work to end: nothing half done stays."""
    if work.state == "running":
        work.request_stop()


def usage(work: BackgroundWork) -> str:
    """What to paste to use what was made: a command, or lines of Python; empty for a download. Raises: TrainingError E525."""
    record = work.record()
    if record.command:
        return record.command
    if record.do == "merge":
        return merged_loading_code(RunDir(Path(record.run)).plan(), record.target)
    if record.do == "eject":
        return shlex.join(["python", str(Path(record.target) / "train.py")])
    if record.options.get("to") == "peft":
        plan = RunDir(Path(record.run)).plan()
        return loading_code_elsewhere(plan, base_of(plan).name, record.target)
    words = ["tunewright", "export", "check", record.target, "--run", Path(record.run).name]
    return shlex.join(words) if record.do == "export" else ""


def _refuse_unfinished(run: TrainedRun, verb: str) -> None:
    if not run.adapter.is_dir():
        raise unfit(run.dir, verb)
