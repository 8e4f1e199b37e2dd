"""What pages of runs are made of: the report's templates and files, and the values of its sections."""

from pathlib import Path
from typing import Any

from jinja2 import Environment

from tunewright.diagnose import rules
from tunewright.report import html_page, run_record, run_report
from tunewright.rundir.run_dir import RunDir


def page_environment(folder: Path) -> Environment:
    """A folder's templates with the report's behind them: `sections/verdict.html.j2`, `comparison/table.html.j2`, ...

    Everything is escaped and undefined names are errors, as in the report. Kept for each folder.
    """
    return html_page.environment(folder)


def page_files() -> Path:
    """The folder of styles and scripts that the report's sections need: those of `run_report.STYLES` and uPlot."""
    return html_page.STATIC


def report_sections(run: RunDir) -> dict[str, Any]:
    """The values of the templates in `sections/` for one run, in this process's language: the figures of its report.

    Raises: TrainingError E525 for a run that is damaged.
    """
    return run_report.section_values(run_record.read(run), rules.diagnose(run).findings)
