"""What pages show of runs: the values of the report's sections, answers to look through, runs side by side."""

from collections.abc import Iterator, Sequence
from typing import Any

from tunewright.api.run_handle import TrainedRun
from tunewright.diagnose import rules
from tunewright.errors import Problem, TunewrightError
from tunewright.extras.comparison import aligned_runs, comparison_page
from tunewright.extras.comparison.comparison_result import ComparisonResult
from tunewright.extras.comparison.recommendation import recommend
from tunewright.report import answer_table, run_record, run_report
from tunewright.report.answer_table import AnswerFilter, AnswerPage, FileFormat
from tunewright.report.run_record import RunRecord
from tunewright.report.sample_pairs import SamplePair
from tunewright.rundir.run_dir import RunDir
from tunewright.rundir.run_history import RunHistory


def report_sections(run: RunDir, history: RunHistory | None = None) -> dict[str, Any]:
    """The values of the report's templates in `sections/` for one run, in this process's language: the figures of its report.

    `history` is what its events told who followed them. Raises: TrainingError E525 for a run that is damaged.
    """
    return run_report.section_values(run_record.read(run, history), rules.diagnose(run).findings)


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


def comparison_sections(runs: Sequence[TrainedRun]) -> dict[str, Any]:
    """The values of the templates in `comparison/` for chosen runs, in this process's language.

    Curves and settings are those of all runs that can be read, ended or not. Where some have ended and were measured on the
    same rows, `comparison` and its sections are there too; else `comparison` is None, and `problems` say why, as they do of
    runs that cannot be read.
    """
    records, problems = _readable(runs)
    values = comparison_page.run_values(records)
    if not records:
        return {**values, "comparison": None, "problems": problems}
    try:
        comparison = aligned_runs.compare([record.run for record in records])
    except TunewrightError as fault:
        return {**values, "comparison": None, "problems": [*problems, *fault.problems]}
    sections = ComparisonResult(comparison, recommend(comparison)).sections
    return {**values, **sections, "problems": problems}


def _readable(runs: Sequence[TrainedRun]) -> tuple[list[RunRecord], list[Problem]]:
    """What the files of the runs tell, and what is wrong with those that cannot be read."""
    records: list[RunRecord] = []
    problems: list[Problem] = []
    for run in runs:
        try:
            records.append(run_record.read(run.dir))
        except TunewrightError as fault:
            problems.extend(fault.problems)
    return records, problems
