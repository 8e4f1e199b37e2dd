"""Events of several sessions read as one run, and the answers side by side."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.records import as_event, samples
from tunewright.metrics.evaluated_rows import Sample
from tunewright.report import formatting, loss_charts, run_record, sample_pairs, sections
from tunewright.rundir.curves import curves
from tunewright.rundir.events import Event
from tunewright.rundir.run_dir import RunDir
from tunewright.rundir.run_history import PhaseClock


def log(step: int, loss: float) -> Event:
    return as_event({"kind": "log", "step": step, "loss": loss})


def held_out(step: int, loss: float) -> Event:
    return as_event({"kind": "eval", "step": step, "held_out_loss": loss})


def test_a_later_session_replaces_the_steps_it_did_again() -> None:
    first = [log(1, 3.0), log(2, 2.0), held_out(2, 2.2), log(3, 1.5), log(4, 1.4), held_out(4, 1.6)]
    second = [log(3, 1.51), log(4, 1.41), held_out(4, 1.61)]
    logs, evals = curves([*first, *second])
    assert [(e.step, e.loss) for e in logs] == [(1, 3.0), (2, 2.0), (3, 1.51), (4, 1.41)]
    assert [(e.step, e.held_out_loss) for e in evals] == [(2, 2.2), (4, 1.61)]


def test_a_later_session_that_ends_sooner_leaves_nothing_of_the_earlier_behind_it() -> None:
    logs, evals = curves([log(1, 3.0), log(2, 2.0), log(3, 1.0), held_out(3, 1.1), log(2, 2.5)])
    assert [(e.step, e.loss) for e in logs] == [(1, 3.0), (2, 2.5)]
    assert evals == []


def test_a_phase_that_was_cut_off_counts_to_the_last_sign_of_life() -> None:
    def phase(t: float, name: str, state: str, **more: float) -> Event:
        return as_event({"kind": "phase", "t": float(t), "phase": name, "state": state, **more})

    events = [
        phase(0, "train", "begin"), as_event({"kind": "log", "t": 40.0, "step": 9}),
        as_event({"kind": "note", "t": 900.0, "text": "changed: a setting"}),  # of a resume, long after the end
        phase(1000, "load", "begin"), phase(1003, "load", "end", seconds=3.0),
        phase(1003, "train", "begin"), phase(1013, "train", "end", seconds=10.0),
    ]  # fmt: skip
    clock = PhaseClock()
    for event in events:
        clock.take(event)
    assert clock.seconds == {"train": 50.0, "load": 3.0}


def test_the_kept_step_is_the_workers_and_else_the_lowest_loss_so_far(
    finished: RunDir, start: Callable[..., Any]
) -> None:
    assert run_record.read(finished).best_step == 108
    story = start("half-way", state="failed")
    story.train(1, 60)
    assert run_record.read(story.run).best_step == 54


def test_answers_that_are_equal_objects_are_right_whatever_their_order() -> None:
    reference = '{"a": 1, "b": [2]}'
    (pair,) = sample_pairs.pairs("text", *both(reference, '{"b":[2],"a":1}', "no"))
    assert (pair.outcome, pair.is_base_right, pair.is_tuned_right, pair.differences) == ("fixed", False, True, ())


def test_fields_that_differ_are_named() -> None:
    def hints(answer: str, reference: str) -> tuple[str, ...]:
        (sample,) = samples([{"reference": reference, "answer": answer}])
        return sample_pairs.differences("text", sample)

    told = hints('{"a": 2, "b": 1, "x": 0}', '{"a": 1, "b": 1, "c": "Wien"}')
    assert told == ("a should be 1", "c is missing", "x is not in the reference")
    assert hints("Sure!", '{"a": 1}') == ("not a JSON object",)
    assert hints("Sure!", "Well.") == ()


def test_free_text_is_not_marked() -> None:
    rows = both("A long answer.", "Another long answer.", "Hm.")
    assert [pair.outcome for pair in sample_pairs.pairs("text", *rows)] == ["unmarked"]


def both(reference: str, answer: str, base: str = "?") -> tuple[list[Sample], list[Sample]]:
    return samples([{"reference": reference, "answer": base}]), samples([{"reference": reference, "answer": answer}])


def answered(rows: list[Sample], answer: str) -> list[Sample]:
    """The same rows with this answer."""
    return [row.model_copy(update={"answer": answer}) for row in rows]


WORDS = ["to", "New", "York", "; two"]
CITY, COUNT, NOTHING = ["O", "B-city", "I-city", "O"], ["O", "O", "O", "B-count"], ["O"] * 4


@pytest.mark.parametrize(
    ("kind", "gold", "predicted", "outcome", "differences"),
    [
        ("labels", ["a", "b"], ["a", "b"], "fixed", ()),
        ("labels", ["a", "b"], ["b", "c"], "wrong", ("a is missing", "c is not in the reference")),
        ("labels", [], ["a"], "wrong", ("a is not in the reference",)),
        ("labels", ["Clothing, Shoes"], ["Clothing", "Shoes"], "wrong", ("Clothing, Shoes is missing",
         "Clothing is not in the reference", "Shoes is not in the reference")),
        ("entities", CITY, COUNT, "wrong", ("city: New York is missing", "count: ; two is not in the reference")),
        ("entities", NOTHING, NOTHING, "fixed", ()),
        ("tags", ["P", "N", "N", "NUM"], ["P", "V", "N", "NUM"], "wrong", ("New/V should be N",)),
    ],
)  # fmt: skip
def test_labels_are_compared_one_by_one(
    kind: Any, gold: list[str], predicted: list[str], outcome: str, differences: tuple[str, ...]
) -> None:
    names = ("gold_labels", "labels") if kind == "labels" else ("gold_tags", "tags")
    words = {} if kind == "labels" else {"words": WORDS}
    other = ["?"] * len(gold) if words else ["?"]
    before, after = (samples([{names[0]: gold, names[1]: answer, **words}]) for answer in (other, predicted))
    (pair,) = sample_pairs.pairs(kind, before, after)
    assert (pair.outcome, pair.differences) == (outcome, differences)


def test_a_single_label_is_right_or_wrong() -> None:
    (right,), (wrong,) = (sample_pairs.pairs("label", *both("track", answer)) for answer in ("track", "refund"))
    assert (right.outcome, wrong.outcome, wrong.differences) == ("fixed", "wrong", ())


def test_numbers_are_not_marked_but_their_distance_is_told() -> None:
    (pair,) = sample_pairs.pairs("number", *both("3.5", "3.1", "0"))
    assert (pair.outcome, pair.differences) == ("unmarked", ("off by 0.4",))


def test_numbers_are_kept_whole_and_shown_with_few_digits() -> None:
    (pair,) = sample_pairs.pairs("number", *both("123456", "123455.87", "0"))
    assert (pair.reference, pair.tuned) == ("123456", "123455.87")
    assert [part.text for side in pair.parts for part in side] == ["123,456", "123,456"]


def test_of_many_numbers_the_worst_and_the_best_are_shown() -> None:
    after = samples({"reference": "0", "row": n, "answer": str(n)} for n in range(50))
    shown = sample_pairs.shown(sample_pairs.pairs("number", answered(after, "9"), after))
    assert [pair.row for pair in shown] == [*range(49, 39, -1), *range(9, -1, -1)]


def test_the_best_and_the_worst_come_first_and_at_most_twenty(finished: RunDir) -> None:
    pairs = sample_pairs.pairs("text", finished.samples("before"), finished.samples("after"))
    chosen = sample_pairs.shown(pairs)
    assert len(chosen) == sample_pairs.MOST_SHOWN
    assert [pair.outcome for pair in chosen] == ["fixed"] * 6 + ["wrong"] * 14
    shares = [pair.closeness for pair in chosen[6:]]
    assert shares == [0.0] * 6 + [pytest.approx(2 * 3 / 9)] * 8


def grouped_rows(sample_pair_list: list[sample_pairs.SamplePair]) -> list[tuple[str, list[int]]]:
    return [
        (group.title, [pair.row for pair in group.pairs])
        for group in sample_pairs.groups(sample_pairs.shown(sample_pair_list))
    ]


def test_the_surest_right_labels_and_the_surest_wrong_ones_stand_first() -> None:
    answers = [("a", 0.6), ("a", 0.9), ("b", 0.7), ("b", 0.99)]
    after = samples({"row": n, "reference": "a", "answer": a, "probability": p} for n, (a, p) in enumerate(answers))
    pairs = sample_pairs.pairs("label", answered(after, "c"), after)
    assert grouped_rows(pairs) == [("now right", [1, 0]), ("wrong before and now", [3, 2])]
    assert pairs[3].hints == ("99.0\u00a0% sure",)
    assert sample_pairs.pairs("label", after, [after[0].model_copy(update={"probability": None})])[0].hints == ()


def test_free_text_is_ordered_by_the_words_it_shares_with_the_reference() -> None:
    answers = ["asks for a parcel back", "no", "asks about a parcel", "parcel parcel"]
    after = samples({"row": n, "reference": "asks for a parcel", "answer": a} for n, a in enumerate(answers))
    pairs = sample_pairs.pairs("text", answered(after, "hm"), after)
    assert grouped_rows(pairs) == [("Nearest to the reference", [0, 2]), ("Farthest from the reference", [1, 3])]


def test_a_wrong_answer_is_marked_where_it_differs_and_a_right_one_is_not() -> None:
    wrong, right = (
        sample_pairs.pairs("text", *both('{"a": 1, "b": 2}', answer))[0]
        for answer in ('{"b":3,"a":1}', '{"b":2,"a":1}')
    )
    assert [[part.text for part in side if part.is_only_here] for side in wrong.parts] == [["2"], ["3"]]
    assert [[part.is_only_here for part in side] for side in right.parts] == [[False], [False]]


def test_long_answers_are_marked_as_far_as_they_are_shown() -> None:
    (pair,) = sample_pairs.pairs("text", *both("word " * 2000, "word " * 1000 + "end"))
    for parts in pair.parts:
        assert "more characters]" in parts[-1].text
        assert len("".join(part.text for part in parts)) < sample_pairs.MOST_CHARACTERS + 40


def test_thinned_points_keep_the_last() -> None:
    assert loss_charts.thin(list(range(10)), 4) == [0, 3, 6, 9]
    assert loss_charts.thin(list(range(11)), 4)[-1] == 10
    assert loss_charts.thin([], 4) == []


def test_the_running_mean_keeps_its_ends_and_jumps_over_gaps() -> None:
    smoothed = loss_charts.smooth([4.0, None, 2.0, 1.0])
    assert smoothed == [4.0, 3.0, 1.5, 1.0]


@pytest.mark.parametrize("device_bytes", [None, 9_000_000_000])
def test_a_promise_is_compared_with_the_memory_that_it_was_made_for(
    device_bytes: int | None, start: Callable[..., Any]
) -> None:
    """A plan for a GPU promises the GPU's memory, not that of the process beside it."""
    story = start()
    story.done(4, 4, device_bytes=device_bytes)
    first, second, *_others = sections.estimates(run_record.read(story.run)).rows
    promised = formatting.size(story.plan.memory.peak_bytes)
    if device_bytes is None:
        assert first[:3] == ("Peak memory", promised, formatting.size(2_212_000_000))
        assert second[0] == "Time"
    else:
        assert first[:3] == ("Peak memory of the GPU", promised, formatting.size(device_bytes))
        assert second == ("Peak memory", formatting.DASH, formatting.size(2_212_000_000), "")
