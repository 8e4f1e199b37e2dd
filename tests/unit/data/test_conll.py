"""CoNLL files: what stands in them, and that a damaged line costs its sentence and no other."""

from pathlib import Path
from typing import Any

import pytest

from tunewright.data.files.readers import RowStream, read_rows
from tunewright.errors import DataError

PLAIN = """-DOCSTART- -X- -X- O

EU NNP B-NP B-ORG
rejects VBZ B-VP O

Peter NNP B-NP B-PER

"""


def read(tmp_path: Path, text: str | bytes, name: str = "a.conll") -> RowStream:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_rows(str(path))


def values(rows: RowStream) -> list[tuple[int, list[str], list[str]]]:
    return [(row.line, row.value["tokens"], row.value["tags"]) for row in rows.rows]


def problems_of(rows: RowStream) -> list[tuple[int, str, Any]]:
    return [(p.where.line, p.code, p.values["row"]) for p in rows.problems]


@pytest.mark.parametrize("name", ["a.conll", "a.bio", "a.iob", "a.IOB2"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_sentence_is_its_first_and_last_columns(tmp_path: Path, name: str, end: str) -> None:
    rows = read(tmp_path, "\ufeff" + PLAIN.replace("\n", end), name)
    assert values(rows) == [(3, ["EU", "rejects"], ["B-ORG", "O"]), (6, ["Peter"], ["B-PER"])]
    assert problems_of(rows) == []


def test_tabs_part_columns_and_the_last_sentence_needs_no_blank_line(tmp_path: Path) -> None:
    rows = read(tmp_path, "New York\tU-LOC\nis\tO \n \n\n\n\u200bbig\tO")
    assert values(rows) == [(1, ["New York", "is"], ["U-LOC", "O"]), (6, ["\u200bbig"], ["O"])]


def test_comments_are_no_words_and_words_may_begin_with_their_sign(tmp_path: Path) -> None:
    text = "# id 7 domain=en\n# text = a b\na O\n# B-X\n\n#tag O\n# O\n\n#begin document x\nc O\n\n#\tPUNCT\n"
    rows = read(tmp_path, text)
    assert [tokens for _line, tokens, _tags in values(rows)] == [["a", "#"], ["#tag", "#"], ["c"], ["#"]]
    assert [line for line, _tokens, _tags in values(rows)] == [3, 6, 10, 12]


def test_universal_dependencies_give_forms_and_parts_of_speech(tmp_path: Path) -> None:
    def line(number: str, form: str, tag: str) -> str:
        return "\t".join([number, form, form.lower(), tag, "_", "_", "0", "root", "_", "_"])

    words = [line("1-2", "vámonos", "_"), line("1", "vamos", "VERB"), line("2", "nos", "PRON"), line("2.1", "x", "X")]
    text = "# sent_id = 1\n# text = Vámonos\n" + "\n".join(words) + "\n\n" + line("1", "No", "_") + "\n\n1\tA\tDET\n"
    rows = read(tmp_path, text, "a.conllu")
    assert values(rows) == [(3, ["vamos", "nos"], ["VERB", "PRON"])]
    assert problems_of(rows) == [(8, "E207", 2), (10, "E228", 3)]


def test_a_damaged_line_costs_its_sentence_and_is_told_with_its_own_line(tmp_path: Path) -> None:
    sentences = [b"a O\nb", b"a X O\nb O", b"a O\nb \xff", b"a O\nb\x00 O", b"\tO\na\tO", b"good O"]
    rows = read(tmp_path, b"\n\n".join(sentences) + b"\n")
    assert problems_of(rows) == [(2, "E228", 1), (5, "E228", 2), (8, "E205", 3), (11, "E205", 4), (13, "E203", 5)]
    assert values(rows) == [(16, ["good"], ["O"])]
    assert rows.problems[0].message() == "the line has 1 columns instead of 2"


def test_a_sentence_without_end_is_too_long_a_row(tmp_path: Path) -> None:
    rows = read(tmp_path, "word O\n" * 150_000 + "\ngood O\n")
    assert problems_of(rows) == [(1, "E213", 1)]
    assert values(rows) == [(150_002, ["good"], ["O"])]


def test_an_empty_file_has_no_rows_and_a_packed_one_is_refused(tmp_path: Path) -> None:
    assert values(read(tmp_path, "\n-DOCSTART- O\n\n")) == []
    with pytest.raises(DataError) as caught:
        read(tmp_path, b"\x1f\x8b\x08 packed")
    assert caught.value.problems[0].code == "E202"


@pytest.mark.parametrize("name", ["a.bio", "a.txt"])
def test_tags_may_come_before_their_words_in_files_of_any_size(tmp_path: Path, name: str) -> None:
    sentence = "O\tplay\nB-SONG\tyesterday\nI-SONG\tonce more\n\n"
    seen, tags = values(read(tmp_path, sentence * 2, name)), ["O", "B-SONG", "I-SONG"]
    assert seen == [(line, ["play", "yesterday", "once more"], tags) for line in (1, 5)]
    many = read(tmp_path, sentence * 30_000, name)  # only the first megabyte is looked at, and it ends anywhere
    assert {tuple(row.value["tags"]) for row in many.rows} == {("O", "B-SONG", "I-SONG")}
