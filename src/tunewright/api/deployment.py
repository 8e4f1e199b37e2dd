"""A run in the formats of other engines."""

from dataclasses import replace
from pathlib import Path

from tunewright.api.run_handle import TrainedRun
from tunewright.errors import TunewrightError
from tunewright.extras.export import export_plan
from tunewright.extras.export.export_plan import ExportPlan, make_export_plan
from tunewright.extras.export.export_run import check_target
from tunewright.extras.export.formats import FORMATS, ExportFormat


def plan_export(
    run: TrainedRun, to: str, folder: str | Path, *, as_: str | None = None, quant: str | None = None
) -> ExportPlan:
    """What an export would write, and why it would be refused. Raises: ConfigError E116; ExportError E622."""
    plan = make_export_plan(run.dir, to, Path(folder), as_=as_, quant=quant)
    try:
        check_target(plan, str(folder))
    except TunewrightError as refused:
        return replace(plan, problems=(*plan.problems, *refused.problems))
    return plan


def merged_bytes(run: TrainedRun) -> int | None:
    """About how large base and adapter are as one model; None for a method that cannot be merged. Raises: TrainingError E525."""
    return export_plan.merged_bytes(run.plan)


def export_formats() -> tuple[ExportFormat, ...]:
    """The formats that a run can be exported to."""
    return tuple(FORMATS.values())
