"""Benchmarks side by side: what counts as a difference, and how the report shows it."""

import json
from typing import Any

import pytest

from tunewright.diagnose.rules import diagnose
from tunewright.report import run_record, run_report
from tunewright.report.benchmark_table import judge, lines
from tunewright.rundir import atomic_io
from tunewright.rundir.records import BenchmarkRecord, BenchmarkValue
from tunewright.rundir.run_dir import RunDir


def side(value: float | None, stderr: float | None = 0.05) -> BenchmarkValue:
    return BenchmarkValue(value=value, stderr=stderr)


def metric(before: BenchmarkValue, after: BenchmarkValue, **more: Any) -> dict[str, Any]:
    return {
        "metric": "acc",
        "filter": "none",
        "is_higher_better": True,
        "before": before.model_dump(),
        "after": after.model_dump(),
        **more,
    }


FOUND = {
    "harness": "0.4.13",
    "tasks": {
        "arc_easy": {
            "version": 1.0, "num_fewshot": 0, "rows": 100,
            "metrics": [metric(side(0.7), side(0.4)), metric(side(0.7), side(0.69), filter="strict")],
        },
        "<b>wiki</b>": {
            "version": None, "num_fewshot": 0, "rows": 20,
            "metrics": [metric(side(21.25, None), side(20.5, None), metric="word_perplexity", is_higher_better=False)],
        },
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after", "is_higher_better", "outcome"),
    [
        (side(0.7), side(0.4), True, "worse"),
        (side(0.4), side(0.7), True, "better"),
        (side(0.7), side(0.4), False, "better"),
        (side(0.70), side(0.57), True, "level"),  # 0.13 < 1.96 * hypot(0.05, 0.05) = 0.1386
        (side(0.70), side(0.56), True, "worse"),
        (side(0.5, 0.0), side(0.5, 0.0), True, "level"),
        (side(0.5, None), side(0.1), True, "unknown"),
        (side(None), side(0.1), True, "unknown"),
        (side(0.7), side(0.4), None, "unknown"),
    ],
)
def test_a_difference_is_named_only_beyond_chance(
    before: BenchmarkValue, after: BenchmarkValue, is_higher_better: bool | None, outcome: str
) -> None:
    assert judge(before, after, is_higher_better) == outcome


def test_lines_are_those_of_all_tasks() -> None:
    assert [line.cells() for line in lines(BenchmarkRecord.model_validate(FOUND))] == [
        ("arc_easy", "acc", "0.700 ± 0.050", "0.400 ± 0.050", "worse than the base"),
        ("arc_easy", "acc (strict)", "0.700 ± 0.050", "0.690 ± 0.050", "no difference shown"),
        ("<b>wiki</b>", "word_perplexity", "21.25", "20.5", "not evaluated"),
    ]
    assert lines(None) == []
    json.dumps([line.to_json() for line in lines(BenchmarkRecord.model_validate(FOUND))], allow_nan=False)


def test_the_report_shows_what_was_asked(finished: RunDir) -> None:
    assert 'id="benchmarks"' not in run_report.render(run_record.read(finished), diagnose(finished).findings)
    assert run_report.summary(finished, diagnose(finished).findings)["benchmarks"] == []
    atomic_io.write_json(finished.benchmark_path, FOUND)
    page = run_report.render(run_record.read(finished), diagnose(finished).findings)
    assert '<section id="benchmarks">' in page and '<a href="#benchmarks">' in page
    assert "worse than the base" in page and "0.400 ± 0.050" in page
    assert "&lt;b&gt;wiki&lt;/b&gt;" in page and "<b>wiki</b>" not in page
    assert [line["outcome"] for line in run_report.summary(finished, diagnose(finished).findings)["benchmarks"]] == [
        "worse",
        "level",
        "unknown",
    ]
