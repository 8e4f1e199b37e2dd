"""Files that ask without an answer: for every task, with and without what training rows have beside the question."""

from pathlib import Path

import pytest

from tunewright.config.run_config import DataConfig
from tunewright.config.tasks import Task
from tunewright.data.prompts import Prompt, common_system, read_prompts
from tunewright.data.word_text import join_words, split_words


def ask(folder: Path, name: str, content: str, task: Task, **mapping: str) -> list[Prompt]:
    path = folder / name
    path.write_text(content)
    prompts, problems = read_prompts(str(path), mapping, task)
    assert problems == []
    return prompts


def test_texts_and_pairs_are_asked_with_or_without_a_label(tmp_path: Path) -> None:
    (first, second) = ask(tmp_path, "a.csv", "id,text,label\n1,hello,\n2,you,x\n", "seq_cls")
    assert (first.text, first.pair, first.row) == ("hello", "", {"id": "1", "text": "hello", "label": ""})
    assert second.text == "you"
    (pair,) = ask(tmp_path, "b.jsonl", '{"premise": "a", "hypothesis": "b"}', "seq_cls")
    assert (pair.text, pair.pair) == ("a", "b")
    (mapped,) = ask(tmp_path, "c.jsonl", '{"x": "a", "y": "b"}', "seq_cls", text="x", label="gone")
    assert mapped.text == "a"


def test_words_are_asked_with_or_without_tags(tmp_path: Path) -> None:
    (row,) = ask(tmp_path, "a.jsonl", '{"tokens": ["New", "York"], "ner_tags": [1, 2]}', "token_cls")
    assert (row.words, row.row["ner_tags"]) == (("New", "York"), [1, 2])
    assert ask(tmp_path, "b.conll", "New B-LOC\nYork I-LOC\n", "token_cls")[0].words == ("New", "York")
    assert ask(tmp_path, "c.csv", "w\nNew York\n", "token_cls", words="w", tags="t")[0].words == ("New", "York")


def test_a_text_file_asks_line_by_line(tmp_path: Path) -> None:
    assert [p.text for p in ask(tmp_path, "a.txt", "one\n\ntwo two\n", "seq_cls")] == ["one", "two two"]
    assert ask(tmp_path, "a.txt", "To Rome, 我去。", "token_cls")[0].words == ("To", "Rome", ",", "我", "去", "。")
    (source,) = ask(tmp_path, "a.txt", "one", "seq2seq")
    assert [turn.content for turn in source.turns] == ["one"]


def test_sources_are_asked_with_or_without_a_target(tmp_path: Path) -> None:
    rows = '{"source": "a", "target": "b"}\n{"source": "c"}\n'
    assert [p.turns[-1].content for p in ask(tmp_path, "a.jsonl", rows, "seq2seq")] == ["a", "c"]
    (row,) = ask(tmp_path, "b.jsonl", '{"translation": {"de": "a", "en": "b"}}', "seq2seq")
    assert row.turns[-1].content == "a"


def test_a_damaged_row_is_told_and_costs_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"tokens": ["a", ""]}\n{"tokens": ["a"]}\n{"tokens": 3}\n{"tokens"\n')
    prompts, problems = read_prompts(str(path), None, "token_cls")
    assert [p.words for p in prompts] == [("a",)]
    assert sorted({(p.where.line, p.code) for p in problems}) == [(1, "E203"), (3, "E206"), (4, "E204")]


def test_labelled_rows_have_no_system_turn(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a", "label": "b"}')
    assert common_system(DataConfig(train=str(path)), "seq_cls") is None
    path.write_text('{"system": "s", "source": "a", "target": "b"}')
    assert common_system(DataConfig(train=str(path)), "seq2seq") == "s"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It's 3.5 kg, isn't it?", ["It's", "3.5", "kg", ",", "isn't", "it", "?"]),
        ("一共3,000元(well-known)", ["一", "共", "3,000", "元", "(", "well-known", ")"]),
        ("서울에서 a_b 🙂", ["서울에서", "a_b", "🙂"]),
    ],
)
def test_a_text_is_split_into_words_and_marks(text: str, words: list[str]) -> None:
    assert split_words(text) == words


def test_words_are_joined_with_their_places() -> None:
    words = ["Wir", "sind", "北", "京", "人", "!"]
    text, spans = join_words(words)
    assert text == "Wir sind 北京人 !"
    assert [text[start:end] for start, end in spans] == words
    assert join_words(words, is_spaced=True)[0] == "Wir sind 北 京 人 !"


def test_objects_in_a_text_file_are_rows_and_lines_with_tabs_are_lines(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text('{"prompt": "one"}\n{"prompt": "two"}\n')
    assert [prompt.turns[-1].content for prompt in read_prompts(str(tmp_path / "a.txt"))[0]] == ["one", "two"]
    (tmp_path / "b.txt").write_text("one\ttwo\n\nthree\tfour\nAnna B-PER\n")
    assert [prompt.turns[-1].content for prompt in read_prompts(str(tmp_path / "b.txt"))[0]] == [
        "one\ttwo", "three\tfour", "Anna B-PER",
    ]  # fmt: skip
