"""The report of a run as one HTML file, and its figures as JSON. Every figure comes from the run's own files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from tunewright.data.tokenized.tokenized_preview import PreviewRow
from tunewright.errors import Problem
from tunewright.planning.run_plan import Plan
from tunewright.report import (
    benchmark_table,
    confusion_tables,
    html_page,
    loss_charts,
    preview_table,
    proof_table,
    run_record,
    sections,
    source_table,
)
from tunewright.report import sample_pairs as answers
from tunewright.report.confusion_tables import LabelTables
from tunewright.report.run_record import RunRecord
from tunewright.report.sections import DataAccount, Estimates, Headline, Repetition, SampleSection, ScoreTile
from tunewright.rundir import atomic_io, file_names, output_targets
from tunewright.rundir.finding import Finding
from tunewright.rundir.run_dir import RunDir
from tunewright.rundir.run_history import RunHistory

STYLES = ("uPlot.min.css", "report.css", "chart.css")
SCRIPTS = ("LICENSE.uPlot", "uPlot.iife.min.js", "report.js")


def write_report(run: RunDir, findings: Sequence[Finding], path: Path | None = None) -> Path:
    """The path of the report, written to the run's folder or to `path`, in this process's language.

    `findings` are what a diagnosis of the run found.

    Raises: ConfigError E115 where `path` is a file that is not a page of ours; TrainingError E520, E524.
    """
    with run.private():
        target = output_targets.output_file(path, is_ours=html_page.is_ours) if path else run.file(file_names.REPORT)
        atomic_io.write_text(target, render(run_record.read(run), findings))
    return path or target


def summary(run: RunDir, findings: Sequence[Finding]) -> dict[str, object]:
    """The verdict and the figures of a run for scripts: stable names, English, bytes and seconds."""
    record = run_record.read(run)
    plan, result, proofs = record.plan, record.result, run.proofs()
    return {
        "schema": file_names.SCHEMA,
        "run": run.name,
        "path": str(run.path),
        "state": record.state,
        "verdict": record.verdict.to_json(),
        "baseline": record.baseline.model_dump(mode="json") if record.baseline else None,
        "scores": [score.to_json() for score in record.scores],
        "answers": answers.count(sections.pairs(record)),
        "held_out_rows": record.num_held_out,
        "generated_data": record.info.generated_data,
        "model": plan.facts.model.name,
        "data": plan.run.data.name,
        "sources": [vars(row) for row in source_table.rows(record)],
        "task": record.task,
        "method": plan.run.method,
        "steps": {"planned": plan.num_steps, "done": record.last_step, "kept": record.best_step},
        "peak_bytes": {"planned": plan.memory.peak_bytes, "measured": record.peak_bytes},
        "trainable_parameters": {"planned": plan.trainable_parameters, "measured": result.trainable_parameters},
        "adapter_bytes": {"planned": plan.adapter_bytes, "measured": result.adapter_bytes},
        "seconds": {phase: round(seconds, 3) for phase, seconds in record.seconds.items()},
        "tokens": record.tokens,
        "tokens_per_second": record.tokens_per_second,
        "adapter": str(run.adapter_dir) if run.adapter_dir.is_dir() else None,
        "benchmarks": [line.to_json() for line in benchmark_table.lines(run.benchmark())],
        "proofs": [proof.model_dump(mode="json") for proof in (proofs.proofs.values() if proofs else ())],
        "findings": [finding.to_json() for finding in findings],
        "alerts": [problem.to_json() for problem in sections.alerts(record)],
        "problems": [problem.to_json() for problem in record.failure],
    }


def render(record: RunRecord, findings: Sequence[Finding]) -> str:
    """The page as text."""
    return html_page.render("report.html.j2", styles=STYLES, scripts=SCRIPTS, **report_sections(record, findings))


class ReportSections(TypedDict):
    """What the templates of `templates/sections` need to show a run, in words of the reader's language."""

    record: RunRecord
    plan: Plan
    headline: Headline
    findings: Sequence[Finding]
    tiles: Sequence[ScoreTile]
    costs: Sequence[tuple[str, str]]
    caveats: Sequence[str]
    curves: Mapping[str, object]
    """Plain JSON, for the page's script."""
    loss_table: Sequence[tuple[str, str, str]]
    rate_table: Sequence[tuple[str, str]]
    samples: SampleSection
    labels: LabelTables | None
    benchmarks: Sequence[tuple[str, str, str, str, str]]
    proofs: Sequence[tuple[str, Sequence[tuple[str, str, str, str]]]]
    data_checks: DataAccount | None
    seen: Sequence[PreviewRow]
    estimates: Estimates
    alerts: Sequence[Problem]
    history: RunHistory
    repeat: Repetition


def report_sections(record: RunRecord, findings: Sequence[Finding]) -> ReportSections:
    """The values of all sections, in words of this process's language."""
    return {
        "record": record,
        "plan": record.plan,
        "headline": sections.headline(record),
        "findings": findings,
        "tiles": sections.tiles(record),
        "costs": sections.costs(record),
        "caveats": sections.caveats(record),
        "curves": loss_charts.curves(record),
        "loss_table": loss_charts.loss_table(record),
        "rate_table": loss_charts.rate_table(record),
        "samples": sections.samples(record),
        "labels": confusion_tables.label_tables(record),
        "benchmarks": [line.cells() for line in benchmark_table.lines(record.run.benchmark())],
        "proofs": proof_table.tables(record.run.proofs()),
        "data_checks": sections.data_checks(record),
        "seen": preview_table.rows(record),
        "estimates": sections.estimates(record),
        "alerts": sections.alerts(record),
        "history": record.history,
        "repeat": sections.repeat(record),
    }
