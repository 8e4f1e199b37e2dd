"""Exports and downloads by processes of their own, which go on when whoever began them is gone."""

import secrets
from collections.abc import Sequence
from pathlib import Path

from tunewright.api.deployment import plan_export
from tunewright.api.run_handle import TrainedRun
from tunewright.errors import error, errors_of
from tunewright.i18n import N_, Phrase
from tunewright.inspection.builtin_models import BUNDLED, meant
from tunewright.launch import begin_work
from tunewright.rundir import background_work, file_names, output_targets
from tunewright.rundir.background_work import BackgroundWork


def new_work_id() -> str:
    """An id for work that a form will begin: a form that is sent twice begins it once."""
    return secrets.token_hex(8)


def is_work_id(text: str) -> bool:
    """Whether a text is such an id."""
    return bool(background_work.ID.fullmatch(text))


def works() -> Sequence[BackgroundWork]:
    """The work that is kept, the newest first. Raises: TrainingError E525."""
    return background_work.listed()


def find_work(work_id: str) -> BackgroundWork | None:
    """The work of this id, if there is any."""
    return background_work.find(work_id)


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
    return begin_work.begin("export", what, work_id, run=run.path, target=plan.target, options=options)


def begin_merge(run: TrainedRun, work_id: str) -> BackgroundWork:
    """Begin to merge base and adapter into the run's own `merged`.

    Raises: ConfigError E115, E116; TrainingError E520, E524, E542.
    """
    if known := background_work.find(work_id):
        return known
    _refuse_unfinished(run, "merge")
    target = output_targets.output_folder(run.path / file_names.MERGED)
    return begin_work.begin("merge", file_names.MERGED, work_id, run=run.path, target=target)


def begin_eject(run: TrainedRun, work_id: str) -> BackgroundWork:
    """Begin to write the run as a plain script with its rows. Raises: TrainingError E542."""
    target = export_target(run, "script")
    return begin_work.begin("eject", "train.py", work_id, run=run.path, target=target)


def begin_fetch(name: str, work_id: str) -> BackgroundWork:
    """Begin to download a built-in model. Raises: ModelError E302 for any other; TrainingError E542."""
    if name not in BUNDLED:
        reason = N_("it is not a built-in model")
        raise error("E302", name=name, reason=reason, builtin=", ".join(BUNDLED), **meant(name))
    return begin_work.begin("fetch", name, work_id)


def stop_work(work: BackgroundWork) -> None:
    """Ask work to end: nothing half done stays."""
    if work.state == "running":
        work.request_stop()


def _refuse_unfinished(run: TrainedRun, verb: str) -> None:
    if not run.adapter.is_dir():
        raise error("E116", state=Phrase(run.state), verb=verb, needed=N_("finished"), name=run.name)
