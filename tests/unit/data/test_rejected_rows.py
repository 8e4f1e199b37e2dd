"""Rows in = used + held out + dropped, and each dropped row stands in quarantine once: place, code, reason, its own text."""

import json
import random
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from tunewright.config.run_config import DataConfig
from tunewright.data.files.json_scanner import KEPT_CHARACTERS
from tunewright.data.load_examples import load_examples
from tunewright.data.rejected_rows import RejectedRow, left_out
from tunewright.data.tokenized.tokenizer import TextTokenizer
from tunewright.data.validation import ValidatedData, judge, validate_data

from .test_rows import DAMAGES, HALF_LINE, as_line, conversation

ROWS = 200
TEMPLATE = (
    "{% for m in messages %}{% if m['content'] == 'REFUSE' %}{{ raise_exception('no such turn') }}{% endif %}"
    "<s>{{ m['role'] }}: {{ m['content'] }}</s>{% endfor %}{% if add_generation_prompt %}<s>assistant: {% endif %}"
)
# Damage that shows only when the row is written for the model.
LATER = [
    ("refused by the template", "E219", as_line(conversation("x", messages=[
        {"role": "user", "content": "REFUSE"}, {"role": "assistant", "content": "a"}
    ]))),
    ("nothing of the answer fits", "E209", as_line(conversation("long " * 400))),
]  # fmt: skip
KINDS = [*DAMAGES, *LATER]


@pytest.fixture
def tokenizer() -> TextTokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={char: i for i, char in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(["<s>", "</s>"])
    end = backend.token_to_id("</s>")
    return TextTokenizer(backend, {}, TEMPLATE, (end,), frozenset({"<s>", "</s>"}), end)


def validated(tokenizer: TextTokenizer, **options: Any) -> tuple[ValidatedData, DataConfig]:
    config = DataConfig(**{"skip_bad": True, "max_bad": 0.5, "max_duplicates": 1, "max_truncated": 1, **options})
    return validate_data(load_examples(config, 0), config, tokenizer, max_length=1000), config


def assert_nothing_is_lost(validated_data: ValidatedData, records: list[RejectedRow]) -> None:
    summary = validated_data.summary
    assert summary.rows == summary.used + summary.held_out + summary.dropped
    assert summary.dropped == len(records) == len({(r.file, r.row) for r in records})
    assert all(r.code and r.reason and len(r.text) <= 6 * KEPT_CHARACTERS for r in records)
    text = "".join(json.dumps(asdict(r), ensure_ascii=False, allow_nan=False) for r in records)
    assert text.encode("utf-8")


@pytest.mark.parametrize("seed", [1, 2])
def test_two_hundred_rows_of_which_each_damaged_one_is_kept_with_its_text(
    tmp_path: Path, tokenizer: TextTokenizer, seed: int
) -> None:
    good = ROWS - len(KINDS) - 1
    lines = [("", as_line(conversation(f"question {n}"))) for n in range(good)] + [
        (code, line) for _n, code, line in KINDS
    ]
    random.Random(seed).shuffle(lines)
    lines.append(("E204", HALF_LINE))
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\n".join(line for _code, line in lines))

    validated_data, config = validated(tokenizer, train=str(path))
    records = left_out(validated_data.loaded, config)

    assert validated_data.summary.rows == ROWS
    assert_nothing_is_lost(validated_data, records)
    places = [(r.file, r.line, r.row, r.code) for r in records]
    assert places == [(str(path), n, n, code) for n, (code, _line) in enumerate(lines, 1) if code]
    for record in records:
        raw = lines[record.line - 1][1].decode("utf-8", "backslashreplace")
        assert is_same_row(record.text, raw), record
    assert judge(validated_data, config) == []


def is_same_row(text: str, raw: str) -> bool:
    """The row as it stood, or the same values; of long rows the beginning, of bytes that are no text an escape."""
    try:
        return bool(json.loads(text) == json.loads(raw))
    except (ValueError, RecursionError):
        return text.split("\\")[0] == raw.split("\\")[0][: len(text.split("\\")[0])] and bool(text)


def test_there_are_at_least_25_kinds_of_damage() -> None:
    assert len({name for name, _code, _line in KINDS}) >= 25
    assert len(Counter(code for _name, code, _line in KINDS)) >= 8


def test_a_row_with_several_faults_stands_once_with_all_reasons(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    path = tmp_path / "rows.jsonl"
    turns = [{"role": "user", "content": ""}, {"role": "assistant", "content": [3]}]
    path.write_bytes(b"\n".join([as_line({"messages": turns}), *(as_line(conversation(f"q {n}")) for n in range(4))]))
    validated_data, config = validated(tokenizer, train=str(path))
    (record,) = left_out(validated_data.loaded, config)
    assert record.code == "E203"
    assert "is empty; " in record.reason and "must be text" in record.reason
    assert json.loads(record.text) == {"messages": turns}
    assert_nothing_is_lost(validated_data, [record])


def test_held_out_rows_are_kept_too_with_their_own_file(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    train, held_out = tmp_path / "train.jsonl", tmp_path / "held_out.jsonl"
    train.write_bytes(b"\n".join([as_line(conversation(f"q {n}")) for n in range(6)] + [b"{half"]))
    held_out.write_bytes(b"\n".join([as_line(conversation("q 3")), b"{half too", as_line(conversation("new"))]))
    validated_data, config = validated(tokenizer, train=str(train), holdout=str(held_out))
    records = left_out(validated_data.loaded, config)
    assert_nothing_is_lost(validated_data, records)
    assert [(Path(r.file).name, r.line, r.code) for r in records] == [
        ("held_out.jsonl", 1, "W213"), ("held_out.jsonl", 2, "E204"), ("train.jsonl", 7, "E204")
    ]  # fmt: skip
    assert [r.text.strip() for r in records[1:]] == ["{half too", "{half"]


@pytest.mark.parametrize(
    ("name", "content", "texts"),
    [
        ("rows.csv", 'question,answer\nwho,me\nwhat\nwhy,"so\nwhere,here\n', ["what", 'why,"so']),
        ("rows.json", '[\n {"text": "a"},\n {"text": NaN},\n {"text": "b"}\n]', ['{"text": NaN}']),
        ("rows.txt", "one\n\ntw\x00o\n\nthree\n", ["tw\x00o"]),
    ],
)
def test_the_text_is_kept_of_every_kind_of_file(
    tmp_path: Path, tokenizer: TextTokenizer, name: str, content: str, texts: list[str]
) -> None:
    path = tmp_path / name
    path.write_text(content)
    validated_data, config = validated(tokenizer, train=str(path), max_bad=1)
    records = left_out(validated_data.loaded, config)
    assert_nothing_is_lost(validated_data, records)
    assert [r.text for r in records] == texts


def test_long_rows_are_kept_in_part(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(
        b"\n".join([b'{"text": "' + b"x" * 2_000_000, *(as_line(conversation(f"q {n}")) for n in range(4))])
    )
    validated_data, config = validated(tokenizer, train=str(path))
    (record,) = left_out(validated_data.loaded, config)
    assert (record.code, len(record.text)) == ("E213", KEPT_CHARACTERS)


def test_more_damage_than_allowed_stops_the_run_although_it_may_be_left_out(
    tmp_path: Path, tokenizer: TextTokenizer
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\n".join([as_line(conversation(f"q {n}")) for n in range(7)] + [b"{half"] * 3))
    validated_data, config = validated(tokenizer, train=str(path), max_bad=0.25)
    (problem,) = judge(validated_data, config)
    assert problem.code == "E215"
    assert problem.message() == "3 of 10 rows (30%) are damaged; the limit is 25%"
    assert problem.fixes() == ["--set data.max_bad=1"]
    assert judge(*validated(tokenizer, train=str(path), max_bad=0.3)) == []
    stopped, strict = validated(tokenizer, train=str(path), skip_bad=False)
    assert [problem.code for problem in judge(stopped, strict)] == ["E204", "E204", "E204", "E216"]


def test_both_sides_of_one_document_have_rows_of_the_same_numbers(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    def rows(mark: str, count: int, *bad: int) -> list[dict[str, str]]:
        whole = [{"prompt": f"{mark}{n}", "completion": f"{mark}{n} it is"} for n in range(1, count + 1)]
        return [{"prompt": row["prompt"]} if n in bad else row for n, row in enumerate(whole, 1)]

    path = tmp_path / "both.json"
    path.write_text(json.dumps({"train": rows("t", 12, 3, 5), "validation": rows("v", 6, 3)}))
    validated_data, config = validated(tokenizer, train=str(path))
    records = left_out(validated_data.loaded, config)
    assert [(r.row, json.loads(r.text)) for r in records] == [
        (3, {"prompt": "t3"}), (3, {"prompt": "v3"}), (5, {"prompt": "t5"}),
    ]  # fmt: skip
    summary = validated_data.summary
    assert (summary.rows, summary.used, summary.held_out, summary.dropped) == (18, 10, 5, 3)
