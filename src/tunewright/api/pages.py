"""What pages show of runs: the values of the report's sections, answers to look through, runs side by side."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tunewright.diagnose import rules
from tunewright.errors import TunewrightError
from tunewright.extras.comparison import aligned_runs, comparison_page
from tunewright.extras.comparison.recommendation import recommend
from tunewright.extras.sweep import sweep_sections as sweeps_shown
from tunewright.extras.sweep.sweep_sections import SweepSections
from tunewright.report import answer_table, run_record, run_report
from tunewright.report.answer_table import AnswerFilter, AnswerPage, FileFormat
from tunewright.report.run_record import RunRecord
from tunewright.report.run_report import ReportSections
from tunewright.report.sample_pairs import SamplePair
from tunewright.rundir.run_dir import RunDir
from tunewright.rundir.run_history import RunHistory


def report_sections(run: RunDir, history: RunHistory | None = None) -> ReportSections:
    """The values of the report's templates in `sections/` for one run, in this process's language: the figures of its report.

    `history` is what its events told who followed them. Raises: TrainingError E525 for a run that is damaged.
    """
    return run_report.report_sections(run_record.read(run, history), rules.diagnose(run, history).findings)


def answer_page(run: RunDir, wanted: AnswerFilter, page: int = 1) -> AnswerPage:
    """Fifty of the run's held-out rows with the answers before and after, and how many rows each filter would find.

    Raises: TrainingError E525 for a run that is damaged.
    """
    return answer_table.page(answer_table.read_answers(run), wanted, page)


def answer_row(run: RunDir, row: int) -> tuple[SamplePair | None, list[int]]:
    """One held-out row by its number, None if there is no such row, and the numbers of all. Raises: TrainingError E525."""
    pairs = answer_table.read_answers(run).pairs
    return next((pair for pair in pairs if pair.row == row), None), [pair.row for pair in pairs]


def answer_file(run: RunDir, wanted: AnswerFilter, file_format: FileFormat) -> Iterator[str]:
    """The rows that a filter finds, as pieces of a CSV file or of JSON lines. Raises: TrainingError E525."""
    return answer_table.as_file(answer_table.read_answers(run), wanted, file_format)


def comparison_sections(records: Sequence[RunRecord]) -> dict[str, Any]:
    """The values of the report's templates in `comparison/` for chosen runs (`account`), in this process's language.

    Curves and settings are those of all of them, ended or not. Where some have ended and were measured on the same rows,
    `comparison` and its sections are there too; else `comparison` is None, and `problems` say why.
    """
    values = {**comparison_page.run_values(records), "comparison": None, "problems": []}
    if not records:
        return values
    try:
        comparison = aligned_runs.compare_records(records)
    except TunewrightError as fault:
        return {**values, "problems": list(fault.problems)}
    return {**values, **comparison_page.section_values(comparison, recommend(comparison))}


def sweep_sections(folder: Path) -> SweepSections | None:
    """How far the sweep of a folder is, the front of score and cost, what made a difference, in this process's language.

    It is what was written when its last trial ended, so a sweep that goes on shows the trials that have finished so far; Optuna
    is not needed. None for a folder that no sweep wrote. Raises: TrainingError E525.
    """
    return sweeps_shown.sweep_sections(folder)
