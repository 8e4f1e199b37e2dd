"""The report of a run as one HTML file, and its numbers as JSON. Every figure comes from the run's own files."""

from pathlib import Path
from typing import Any

from tunewright.compare import benchmark, drawing, label_tables, page, record, sections, seen
from tunewright.compare import samples as answers
from tunewright.compare.record import Record
from tunewright.doctor.rules import diagnose
from tunewright.rundir import durable, layout, targets
from tunewright.rundir.store import RunDir


def write_report(run: RunDir, path: Path | None = None) -> Path:
    """The path of the report, written to the run's folder or to `path`, in this process's language.

    Raises: SpecError E115 where `path` is a file that is no page of ours; TrainingError E520, E524.
    """
    with run.private():
        target = targets.output_file(path, is_ours=page.is_ours) if path else run.file(layout.REPORT)
        durable.write_text(target, render(record.read(run)))
    return path or target


def summary(run: RunDir) -> dict[str, Any]:
    """The verdict and the numbers of a run for scripts: stable names, English, bytes and seconds."""
    found = record.read(run)
    plan, result = found.plan, found.result
    return {
        "schema": layout.SCHEMA,
        "run": run.name,
        "path": str(run.path),
        "state": found.state,
        "verdict": found.verdict.to_json(),
        "baseline": dict(found.baseline) if found.baseline else None,
        "scores": [score.to_json() for score in found.scores],
        "answers": answers.count(sections.pairs(found)),
        "held_out_rows": found.num_held_out,
        "generated_data": bool(found.info.get("generated_data")),
        "model": plan.facts.model.name,
        "data": plan.run.data.train,
        "task": found.task,
        "method": plan.run.method,
        "steps": {"planned": plan.num_steps, "done": found.last_step, "kept": found.best_step},
        "peak_bytes": {"planned": plan.memory.peak_bytes, "measured": found.peak_bytes},
        "trainable_parameters": {"planned": plan.trainable_parameters, "measured": result.get("trainable_parameters")},
        "adapter_bytes": {"planned": plan.adapter_bytes, "measured": result.get("adapter_bytes")},
        "seconds": {phase: round(seconds, 3) for phase, seconds in found.seconds.items()},
        "tokens": result.get("tokens", found.last_log("tokens")),
        "tokens_per_second": result.get("tokens_per_second", found.last_log("tokens_per_second")),
        "adapter": str(run.adapter_dir) if run.adapter_dir.is_dir() else None,
        "benchmarks": [line.to_json() for line in benchmark.lines(run.benchmark())],
        "findings": [finding.to_json() for finding in diagnose(run).findings],
        "alerts": [problem.to_json() for problem in sections.alerts(found)],
        "problems": [problem.to_json() for problem in found.failure],
    }


def render(found: Record) -> str:
    """The page as text."""
    return page.render(
        "report.html.j2",
        styles=("uPlot.min.css", "report.css", "chart.css"),
        scripts=("LICENSE.uPlot", "uPlot.iife.min.js", "report.js"),
        found=found,
        plan=found.plan,
        headline=sections.headline(found),
        findings=diagnose(found.run).findings,
        tiles=sections.tiles(found),
        costs=sections.costs(found),
        caveats=sections.caveats(found),
        curves=drawing.curves(found),
        loss_table=drawing.loss_table(found),
        rate_table=drawing.rate_table(found),
        samples=sections.samples(found),
        labels=label_tables.label_tables(found),
        benchmarks=[line.cells() for line in benchmark.lines(found.run.benchmark())],
        gate=sections.gate(found),
        seen=seen.rows(found),
        promise=sections.promise(found),
        alerts=sections.alerts(found),
        said=found.history,
        repeat=sections.repeat(found),
    )
