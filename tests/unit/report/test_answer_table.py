"""Answers to look through: what each filter finds, what it counts, and what a file of them holds."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest

from tests.unit.report.conftest import Story, sample_rows
from tunewright.errors import TrainingError
from tunewright.i18n import speaking
from tunewright.report.answer_table import AnswerFilter, AnswerPage, as_file, find, page, read_answers
from tunewright.rundir import file_names
from tunewright.rundir.run_dir import RunDir

Start = Callable[..., Story]


def wanted(run: RunDir, number: int = 1, **filters: str) -> AnswerPage:
    return page(read_answers(run), AnswerFilter(**filters), number)


def counts(choices: Any) -> dict[str, int]:
    return {choice.value: choice.count for choice in choices}


def test_rows_are_counted_and_found_by_what_became_of_them(finished: RunDir) -> None:
    everything = wanted(finished)
    assert counts(everything.outcomes) == {"fixed": 64, "broken": 0, "wrong": 48, "right": 8}
    assert (everything.num_rows, everything.num_found, everything.num_pages) == (120, 120, 3)
    for outcome, count in counts(everything.outcomes).items():
        found = wanted(finished, outcome=outcome)
        assert found.num_found == count and all(pair.outcome == outcome for pair in found.pairs)
        assert counts(found.outcomes) == counts(everything.outcomes)  # what the others would find


def test_pages_hold_fifty_rows_and_a_number_beyond_them_is_the_last(finished: RunDir) -> None:
    assert [len(wanted(finished, number).pairs) for number in (-3, 1, 2, 3, 99)] == [50, 50, 50, 20, 20]
    assert wanted(finished, 99).number == 3
    rows = [pair.row for number in (1, 2, 3) for pair in wanted(finished, number).pairs]
    assert rows == sorted(rows) and len(set(rows)) == 120


def test_a_search_looks_into_every_text_of_a_row_in_any_case_and_at_its_number(finished: RunDir) -> None:
    assert wanted(finished, search="MUGS").num_found == 60
    assert wanted(finished, search="杯子").num_found == 60
    assert [pair.row for pair in wanted(finished, search="1104").pairs] == [1104]
    assert wanted(finished, search="nowhere to be found").num_found == 0
    both = wanted(finished, search="mugs", outcome="fixed")
    assert both.num_found == counts(both.outcomes)["fixed"] < counts(wanted(finished).outcomes)["fixed"]


def test_labels_are_those_of_the_references(classified: RunDir, tagged: RunDir, estimated: RunDir) -> None:
    assert counts(wanted(classified).labels) == dict.fromkeys(
        ("address", "cancel", "exchange", "order", "refund", "track"), 20
    )
    assert {pair.reference for pair in wanted(classified, label="refund").pairs} == {"refund"}
    assert counts(wanted(tagged).labels) == {"city": 45, "count": 30, "item": 45}
    assert wanted(estimated).labels == [] and not wanted(estimated).is_marked


def test_labels_with_commas_are_found_as_they_are_called(start: Start) -> None:
    story = start(held_out=1, task="seq_cls", data_facts={"problem_type": "multi_label_classification"})
    names = ["Clothing, Shoes", "Toys"]
    row = {
        "row": 1,
        "prompt": "?",
        "reference": ", ".join(names),
        "answer": "Toys",
        "gold_labels": names,
        "labels": ["Toys"],
    }
    story.score("after", 1.0, [row], 1, {"accuracy": 0.0, "micro_f1": 2 / 3})
    assert counts(wanted(story.run).labels) == {"Clothing, Shoes": 1, "Toys": 1}
    (pair,) = wanted(story.run, label="Clothing, Shoes").pairs
    assert pair.differences == ("Clothing, Shoes is missing",)


def test_rows_are_ordered_by_how_their_losses_changed(start: Start) -> None:
    story = start(held_out=3)
    rows = [{**row, "row": 2000 + i} for i, row in enumerate(sample_rows(3, right_from=0))]
    story.score("before", 2.0, rows, 3, losses=[2.0, 2.0, 2.0])
    story.score("after", 1.0, rows, 3, losses=[1.5, 3.0, 0.5])
    answers = read_answers(story.run)
    assert [pair.row for pair in find(answers, AnswerFilter(order="fell"))] == [2002, 2000, 2001]
    assert [pair.row for pair in find(answers, AnswerFilter(order="rose"))] == [2001, 2000, 2002]
    assert list(wanted(story.run).orders) == ["", "fell", "rose", "far"]


def test_orders_by_loss_are_offered_where_losses_are_known_alone(classified: RunDir) -> None:
    assert list(wanted(classified).orders) == ["", "far"]
    assert [pair.row for pair in wanted(classified, order="fell").pairs] == list(range(1, 51))


def test_lengths_are_thirds(start: Start) -> None:
    story = start(held_out=9)
    rows = [{"row": i, "prompt": "x" * (10 * i), "reference": "y", "answer": "y"} for i in range(1, 10)]
    story.score("after", 1.0, rows, 9)
    assert counts(wanted(story.run).lengths) == {"short": 4, "middle": 3, "long": 2}
    assert [pair.row for pair in wanted(story.run, length="long").pairs] == [8, 9]


def test_a_file_has_all_rows_that_are_wanted_whole(start: Start) -> None:
    story = start(held_out=2)
    texts = ["=1+1", 'a,"b"\nc 杯子 \u2028' + "x" * 5000]
    rows = [{"row": i, "prompt": text, "reference": "-1.5", "answer": "@cmd"} for i, text in enumerate(texts)]
    story.score("before", 2.0, rows, 2)
    story.score("after", 1.0, rows, 2)
    answers = read_answers(story.run)
    lines = "".join(as_file(answers, AnswerFilter(), "jsonl")).split("\n")
    assert [json.loads(line)["prompt"] for line in lines if line] == texts
    table = list(csv.DictReader(io.StringIO("".join(as_file(answers, AnswerFilter(), "csv")).removeprefix("\ufeff"))))
    assert [row["prompt"] for row in table] == ["'=1+1", texts[1]]
    assert (table[0]["reference"], table[0]["tuned"], table[0]["loss_after"]) == ("-1.5", "'@cmd", "")
    assert len(list(as_file(answers, AnswerFilter(search="杯子"), "jsonl"))) == 1


def test_words_are_those_of_each_reader_and_new_files_are_read(finished: RunDir) -> None:
    with speaking("zh"):
        assert wanted(finished).outcomes[0].title == "由错变对"
    assert wanted(finished).outcomes[0].title == "now right"
    path = finished.path / file_names.EVAL / "after.jsonl"
    path.write_text("\n".join(path.read_text().splitlines()[:7]) + "\n")
    assert sum(pair.tuned is not None for pair in read_answers(finished).pairs) == 7


def test_a_run_without_answers_has_none_and_a_damaged_one_says_so(start: Start, finished: RunDir) -> None:
    assert wanted(start("fresh").run).num_rows == 0
    (finished.path / file_names.EVAL / "after.jsonl").write_text('{"row": "x"}\n')
    with pytest.raises(TrainingError, match="E525"):
        wanted(finished)


def test_a_page_of_a_thousand_rows_takes_less_than_300_milliseconds(start: Start, tmp_path: Path) -> None:
    story = start(held_out=1000)
    story.score("before", 3.3, sample_rows(1000, right_from=900), 1000, losses=[3.3] * 1000)
    story.score("after", 0.4, sample_rows(1000, right_from=200), 1000, losses=[0.4] * 1000)
    begun = perf_counter()
    for pair in wanted(story.run, 3).pairs:
        assert pair.parts
    first = perf_counter() - begun
    begun = perf_counter()
    assert wanted(story.run, search="mugs").num_found == 500
    assert (first < 1.0, perf_counter() - begun < 0.3) == (True, True), first
