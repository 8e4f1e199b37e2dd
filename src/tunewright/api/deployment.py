"""A run in the formats of other engines."""

from pathlib import Path

from tunewright.api.run_handle import TrainedRun
from tunewright.extras.export.export_plan import ExportPlan, make_export_plan
from tunewright.extras.export.formats import FORMATS, ExportFormat


def plan_export(
    run: TrainedRun, to: str, folder: str | Path, *, as_: str | None = None, quant: str | None = None
) -> ExportPlan:
    """What an export would write, and why it would be refused. Raises: ConfigError E116; ExportError E622."""
    return make_export_plan(run.dir, to, Path(folder), as_=as_, quant=quant)


def export_formats() -> tuple[ExportFormat, ...]:
    """The formats that a run can be exported to."""
    return tuple(FORMATS.values())
