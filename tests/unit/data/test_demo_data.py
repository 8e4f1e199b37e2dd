"""The demo data: nothing held out is seen in training, rows are the same everywhere, and tags agree with answers."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import subprocess
import sys

import pytest

from tunewright.data import demo_data
from tunewright.data.demo_tables import Phrasebook, Vocabulary, load_demo_tables

TABLES = load_demo_tables()
TRAIN = demo_data.generate("train", 2000)
HELD_OUT = demo_data.generate("held_out", 600)
SPLITS = pytest.mark.parametrize("rows", [TRAIN, HELD_OUT], ids=["train", "held_out"])


def frames(book: Phrasebook) -> set[str]:
    """All frames of a split, without case and punctuation, so that a full stop does not make a new one."""
    texts: list[str] = []
    for field in Phrasebook.model_fields:
        value = getattr(book, field)
        texts.extend(itertools.chain(*value.values()) if isinstance(value, dict) else value)
    return {" ".join(re.findall(r"[{\w}'#]+", frame.casefold())) for frame in texts}


@pytest.mark.parametrize("field", Vocabulary.model_fields)
def test_splits_share_no_value(field: str) -> None:
    train, held_out = getattr(TABLES.words["train"], field), getattr(TABLES.words["held_out"], field)
    assert len(set(train)) == len(train)
    assert len(set(held_out)) == len(held_out)
    assert not {value.casefold() for value in train} & {value.casefold() for value in held_out}


def test_values_of_one_key_are_disjoint_over_all_tables() -> None:
    for fields in (("wearables", "goods"), ("faults", "misfits", "regrets"), ("first_names", "last_names")):
        train = {value.casefold() for field in fields for value in getattr(TABLES.words["train"], field)}
        held_out = {value.casefold() for field in fields for value in getattr(TABLES.words["held_out"], field)}
        assert not train & held_out


def test_items_share_no_word() -> None:
    train, held_out = (
        {word for item in words.wearables + words.goods for word in item.casefold().split()}
        for words in TABLES.words.values()
    )
    assert not train & held_out


def test_splits_share_no_frame() -> None:
    assert not frames(TABLES.frames["train"]) & frames(TABLES.frames["held_out"])


def test_answers_of_the_splits_share_no_open_value() -> None:
    for key in ("order_id", "item", "color", "reason", "city", "name"):
        train = {str(row.answer[key]).casefold() for row in TRAIN if key in row.answer}
        held_out = {str(row.answer[key]).casefold() for row in HELD_OUT if key in row.answer}
        assert len(held_out) >= 8, key
        assert not train & held_out, key


def test_held_out_messages_are_not_in_training() -> None:
    assert not {row.message.casefold() for row in TRAIN} & {row.message.casefold() for row in HELD_OUT}


@SPLITS
def test_no_message_stands_twice(rows: list[demo_data.DemoRow]) -> None:
    assert len({row.message for row in rows}) == len(rows)


@SPLITS
def test_intents_come_in_equal_numbers(rows: list[demo_data.DemoRow]) -> None:
    counts = [sum(row.intent == intent for row in rows) for intent in demo_data.INTENTS]
    assert max(counts) - min(counts) <= 1, counts


@SPLITS
def test_every_key_occurs_and_keys_keep_their_order(rows: list[demo_data.DemoRow]) -> None:
    assert {key for row in rows for key in row.answer} == set(demo_data.KEYS)
    for row in rows:
        assert list(row.answer) == [key for key in demo_data.KEYS if key in row.answer]
        assert row.answer["intent"] == row.intent
        assert len(row.answer) >= 2


def test_rows_are_the_same_everywhere() -> None:
    text = "\n".join(f"{row.message}\t{demo_data.target(row)}" for rows in (TRAIN, HELD_OUT) for row in rows[:60])
    assert (
        hashlib.sha256(text.encode()).hexdigest() == "d49989ea8ecdd0ce6d8e0b620e189c6379bcaf5e40ee6d6303790ea078a9522a"
    )


def test_rows_do_not_depend_on_the_hash_seed() -> None:
    code = "from tunewright.data import demo_data; print(hash('a'), demo_data.generate('held_out', 12, 3))"
    outputs = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split(" ", 1)
        for seed in ("1", "2")
    ]
    assert outputs[0][0] != outputs[1][0]
    assert outputs[0][1] == outputs[1][1]


def test_seeds_give_other_rows_and_fewer_rows_are_a_prefix() -> None:
    assert demo_data.generate("train", 40) == TRAIN[:40]
    other_messages = {row.message for row in demo_data.generate("train", 300, seed=1)}
    assert len(other_messages & {row.message for row in TRAIN[:300]}) < 10


def test_no_rows_are_an_empty_list() -> None:
    assert demo_data.generate("train", 0) == []


@SPLITS
def test_tags_are_well_formed(rows: list[demo_data.DemoRow]) -> None:
    for row in rows:
        assert list(row.words) == demo_data.split_words(row.message), row.message
        assert len(row.words) == len(row.tags)
        for before, tag in zip(("O", *row.tags), row.tags, strict=False):
            assert tag == "O" or tag[:2] in ("B-", "I-")
            assert not tag.startswith("I-") or before[2:] == tag[2:], row


@SPLITS
def test_tagged_spans_equal_the_answer(rows: list[demo_data.DemoRow]) -> None:
    for row in rows:
        spans: dict[str, list[str]] = {}
        for word, tag in zip(row.words, row.tags, strict=True):
            if tag.startswith("B-"):
                assert tag[2:] not in spans, f"two spans of one key: {row}"
                spans[tag[2:]] = [word]
            elif tag != "O":
                spans[tag[2:]].append(word)
        answer: dict[str, str | int] = {"intent": row.intent}
        for key, words in spans.items():
            text = " ".join(words)
            if key == "count":
                answer[key] = TABLES.counts.get(text.lower()) or int(text)
            elif key == "size":
                answer[key] = TABLES.sizes.get(text.upper()) or TABLES.sizes[text.lower()]
            elif key == "item" and demo_data.plural(str(row.answer["item"])) == text:
                answer[key] = row.answer["item"]
            else:
                answer[key] = text
        assert answer == row.answer, row


@SPLITS
def test_slots_and_articles_are_resolved(rows: list[demo_data.DemoRow]) -> None:
    for row in rows:
        assert not re.search(r"[{}]|  | [.,?!]|\ba [aeio]\w*[^aeiou\W]", row.message.replace("a one", "")), row.message
        assert row.message == row.message.strip()


@pytest.mark.parametrize(
    ("item", "expected"),
    [("mug", "mugs"), ("battery", "batteries"), ("cutting board", "cutting boards"), ("dress", "dresses"),
     ("wrench", "wrenches"), ("toy", "toys")],
)  # fmt: skip
def test_plural(item: str, expected: str) -> None:
    assert demo_data.plural(item) == expected


def test_plurals_number_words_and_sizes_are_normalised() -> None:
    for words in (TRAIN, HELD_OUT):
        plurals = [row for row in words if "count" in row.answer and str(row.answer["item"]) + "s" in row.message]
        spoken = [
            row for row in words if any(f" {word} " in row.message for word in TABLES.counts) and "count" in row.answer
        ]
        sizes = [row for row in words if "extra large" in row.message]
        assert plurals
        assert spoken
        assert sizes
        assert {row.answer["size"] for row in sizes} == {"XL"}


def test_four_views_show_the_same_row() -> None:
    row = TRAIN[0]
    messages = demo_data.as_messages(row)["messages"]
    assert [message["role"] for message in messages] == ["system", "user", "assistant"]
    assert messages[0]["content"] == demo_data.SYSTEM
    assert messages[1]["content"] == row.message
    assert json.loads(messages[2]["content"]) == row.answer
    assert '": ' not in messages[2]["content"]
    pair = demo_data.as_pair(row)
    assert pair["source"] == row.message
    assert pair["target"] == pair["target"].lower()
    assert [part.rpartition(" ")[2] for part in pair["target"].split(", ")] == [
        str(value).lower().rpartition(" ")[2] for value in row.answer.values()
    ]
    assert demo_data.as_label(row) == {"text": row.message, "label": row.intent}
    assert demo_data.as_tags(row) == {"tokens": list(row.words), "tags": list(row.tags)}
