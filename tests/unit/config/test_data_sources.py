"""Several sources of rows in a config: how they are written, read back, and what is said of each mistake."""

from pathlib import Path
from typing import Any

import pytest

from tunewright.config.load_config import load, patch, to_yaml
from tunewright.config.run_config import DataSource
from tunewright.errors import ConfigError, Problem

MODEL = {"model.name": "m"}


def sources(value: str) -> tuple[DataSource, ...]:
    return load(named=MODEL, sets=[f"data.train={value}"]).run.data.sources


def problems(value: str) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        sources(value)
    return list(caught.value.problems)


def test_paths_and_mappings_stand_beside_each_other() -> None:
    named = sources("[{path: a.jsonl, weight: 0.3}, {path: b.json, rows: 5000}, c.csv]")
    assert named == (
        DataSource(path="a.jsonl", weight=0.3),
        DataSource(path="b.json", rows=5000),
        DataSource(path="c.csv"),
    )


def test_one_path_is_one_source_and_stays_text() -> None:
    run = load(named={**MODEL, "data.train": "a.jsonl"}).run
    assert run.data.train == "a.jsonl"
    assert (run.data.sources, run.data.paths, run.data.name) == ((DataSource(path="a.jsonl"),), ("a.jsonl",), "a.jsonl")


def test_a_config_that_was_written_is_read_back_equal(tmp_path: Path) -> None:
    text = "[{path: a.jsonl, weight: 2.5, map: {prompt: q, completion: a}}, {path: 'org/set', split: train_sft}, c.csv]"
    run = load(named=MODEL, sets=[f"data.train={text}"]).run
    path = tmp_path / "again.yaml"
    path.write_text(to_yaml(run))
    assert load(config=path).run == run == patch(run, {})


def test_every_mistake_of_a_list_has_its_place_and_its_sentence(tmp_path: Path) -> None:
    path = tmp_path / "mix.yaml"
    path.write_text(
        "model: m\n"
        "data:\n"
        "  train:\n"
        "  - {path: a.jsonl, weight: 0}\n"
        "  - {path: b.jsonl, rows: -5}\n"
        "  - {path: c.jsonl, wieght: 2}\n"
        "  - {path: d.jsonl, rows: 5, weight: 2}\n"
        "  - {rows: 5}\n"
        "  - 7\n"
        "  - {path: e.jsonl, weight: .nan}\n"
        "  - {path: ''}\n"
    )
    with pytest.raises(ConfigError) as caught:
        load(config=path)
    said = [(problem.code, problem.where.line, problem.message_in_english()) for problem in caught.value.problems]
    assert [(code, line) for code, line, _message in said] == [
        ("E103", 4), ("E103", 5), ("E102", 6), ("E103", 7), ("E108", 8), ("E103", 9), ("E103", 10), ("E103", 11),
    ]  # fmt: skip
    assert "data.train[0].weight" in said[0][2] and "above 0" in said[0][2]
    assert "data.train[1].rows" in said[1][2] and "at least 1" in said[1][2]
    assert "wieght" in said[2][2]
    assert any("weight" in fix for fix in caught.value.problems[2].fixes())
    assert "not with both" in said[3][2]
    assert "data.train[4].path" in said[4][2]


@pytest.mark.parametrize(
    "value",
    ["[]", "{}", "7", "null", "true", "''", "[[a.jsonl]]", "[null]", "[{}]", "[{path: a, weight: 101}]", "[{path: a, rows: 0}]",
     "[{path: a, rows: 1.5}]", "[{path: a, weight: -1}]", "[{path: a, weight: .inf}]", "[{path: a, weight: abc}]",
     "[{path: a, split: ''}]", "[{path: a, map: 3}]", "[{path: {a: b}}]", "[{path: [a]}]"],
)  # fmt: skip
def test_what_is_no_source_is_one_problem(value: str) -> None:
    (problem,) = problems(value)
    assert problem.code in ("E103", "E105", "E108")


def test_no_combination_of_values_ends_in_a_traceback() -> None:
    values: list[Any] = ["a.jsonl", "", 0, -1, 0.3, 2, 10**400, float("nan"), None, True, [], {}, {"a": "b"}, "\ud800"]
    for path in values:
        for rows in values:
            for weight in values:
                named = {**MODEL, "data.train": [{"path": path, "rows": rows, "weight": weight}, path]}
                try:
                    load(named=named)
                except ConfigError as fault:
                    assert all(problem.message_in_english() for problem in fault.problems)
