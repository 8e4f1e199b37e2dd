"""Rows of two files that have one number are two rows."""

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from tunewright.config.run_config import DataConfig
from tunewright.data.load_examples import load_examples
from tunewright.data.tokenized.tokenizer import TextTokenizer
from tunewright.data.validation import judge, validate_data


@pytest.fixture
def tokenizer() -> TextTokenizer:
    words = {"[UNK]": 0, "</s>": 1, **{f"w{n}": n + 2 for n in range(60)}}
    backend = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return TextTokenizer(backend, {"unk_token": "[UNK]"}, None, (1,), frozenset({"</s>"}), 0)


def row(number: int, words: int = 2) -> str:
    return json.dumps({"text": " ".join(f"w{(number * 7 + i) % 60}" for i in range(words)), "label": "ab"[number % 2]})


def write(folder: Path, train: list[str], held_out: list[str]) -> DataConfig:
    for name, lines in (("train", train), ("held_out", held_out)):
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    paths = {"train": str(folder / "train.jsonl"), "holdout": str(folder / "held_out.jsonl")}
    return DataConfig(**paths, skip_bad=True, max_bad=1, max_truncated=0.5)


def test_a_damaged_row_in_each_file_is_counted_twice(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    train, held_out = [row(n) for n in range(12)], [row(n) for n in range(20, 26)]
    train[2] = held_out[2] = '{"text": '
    config = write(tmp_path, train, held_out)
    summary = validate_data(
        load_examples(config, 0, "seq_cls"), config, tokenizer, task="seq_cls", max_length=8
    ).summary
    assert (summary.dropped, summary.counts["damaged"]) == (2, 2)
    assert summary.numbers["damaged"] == [3, 3]
    assert summary.rows == summary.used + summary.held_out + summary.dropped == 18


def test_an_empty_row_and_a_damaged_row_of_one_number_stay_apart(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    train, held_out = [row(n) for n in range(12)], [row(n) for n in range(20, 26)]
    train[4], held_out[4] = json.dumps({"text": "", "label": "a"}), json.dumps({"text": "w1"})
    config = write(tmp_path, train, held_out)
    summary = validate_data(
        load_examples(config, 0, "seq_cls"), config, tokenizer, task="seq_cls", max_length=8
    ).summary
    assert summary.dropped == 2
    assert sum(summary.counts[kind] for kind in ("empty", "missing_field", "damaged")) == 2


def test_held_out_rows_that_are_cut_are_counted(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    config = write(tmp_path, [row(n) for n in range(10)], [row(n, 12) for n in range(20, 24)])
    validated = validate_data(load_examples(config, 0, "seq_cls"), config, tokenizer, task="seq_cls", max_length=8)
    assert validated.summary.counts["truncated"] == 4
    assert [problem.code for problem in validated.warnings if problem.code == "W201"] == ["W201"]
    assert judge(validated, config) == []  # 4 of the 14 rows that were looked at, not 4 of 10


def test_cut_rows_of_one_number_in_both_files_are_two(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    train, held_out = [row(n) for n in range(10)], [row(n) for n in range(20, 24)]
    train[1], held_out[1] = row(1, 12), row(21, 12)
    config = write(tmp_path, train, held_out)
    summary = validate_data(
        load_examples(config, 0, "seq_cls"), config, tokenizer, task="seq_cls", max_length=8
    ).summary
    assert (summary.counts["truncated"], summary.numbers["truncated"]) == (2, [2, 2])
