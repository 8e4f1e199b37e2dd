"""`tunewright eval --benchmark`: what is asked, and how it is shown."""

from collections.abc import Callable
from typing import Any

import pytest

from tunewright import api
from tunewright.errors.exit_codes import EXIT_USAGE

MakeRun = Callable[..., api.TrainedRun]
FOUND = {
    "harness": "0.4.13",
    "tasks": {
        "arc\x1b[31m": {
            "version": 1.0, "num_fewshot": 0, "rows": 100,
            "metrics": [{
                "metric": "acc", "filter": "none", "is_higher_better": True,
                "before": {"value": 0.7, "stderr": 0.05}, "after": {"value": 0.4, "stderr": 0.05},
            }],
        },
    },
}  # fmt: skip


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What a run was asked, instead of the harness."""
    seen: list[Any] = []

    def benchmark(self: api.TrainedRun, tasks: list[str], **options: Any) -> dict[str, Any]:
        seen.append((tasks, {name: value for name, value in options.items() if name != "reporter"}))
        return FOUND

    monkeypatch.setattr(api.TrainedRun, "benchmark", benchmark)
    return seen


def test_base_and_tuned_stand_side_by_side(tw, make_run: MakeRun, requests: list[Any]) -> None:
    run = make_run()
    words = ("--benchmark", "arc_easy, shop", "--include-path", "tasks", "--rows", "50")
    shown = tw("eval", run.name, *words)
    assert shown.code == 0
    assert requests == [(["arc_easy", "shop"], {"rows": 50, "include_path": "tasks", "online": False})]
    assert "0.700 ± 0.050" in shown.out and "0.400 ± 0.050" in shown.out and "worse than the base" in shown.out
    assert "standard error" in shown.out and "\x1b" not in shown.out
    assert "benchmark.json" in shown.err


def test_programs_get_everything(tw, make_run: MakeRun, requests: list[Any]) -> None:
    run = make_run()
    record = tw("eval", "last", "--benchmark", "arc", "--online", "--json").json
    assert requests == [(["arc"], {"rows": None, "include_path": None, "online": True})]
    assert (record["schema"], record["name"], record["tasks"]) == (1, run.name, FOUND["tasks"])
    assert record["lines"][0]["outcome"] == "worse"


def test_a_least_score_is_not_for_benchmarks(tw, make_run: MakeRun, requests: list[Any]) -> None:
    make_run()
    shown = tw("eval", "last", "--benchmark", "arc", "--min-score", "accuracy=0.5")
    assert shown.code == EXIT_USAGE and "E133" in shown.err
    assert requests == []
