"""Files to raw rows: values, lines, and what is told when a file cannot be read."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tunewright.data.files import hub_datasets
from tunewright.data.files.readers import Reading, RowStream, fingerprint, read_rows
from tunewright.errors import DataError

Write = Callable[[str, str | bytes], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_file(name: str, content: str | bytes) -> str:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return write_file


def lines_and_values(stream: RowStream) -> list[tuple[int, dict[str, Any]]]:
    return [(row.line, row.value) for row in stream.rows]


def problems_of(stream: RowStream) -> list[tuple[int, int, str, int]]:
    return [(p.where.line, p.where.column, p.code, p.values["row"]) for p in stream.problems]


def code_of(path: str) -> str:
    with pytest.raises(DataError) as caught:
        read_rows(path)
    return caught.value.problems[0].code


def test_jsonl_rows_keep_their_line_over_blank_lines_bom_and_crlf(write: Write) -> None:
    stream = read_rows(write("a.jsonl", '\ufeff{"a": 1}\r\n\r\n  \n{"a": 2}\r\n'))
    assert lines_and_values(stream) == [(1, {"a": 1}), (4, {"a": 2})]
    assert [row.number for row in stream.rows] == [1, 2]
    assert stream.problems == []


def test_a_line_separator_inside_a_text_does_not_end_a_jsonl_line(write: Write) -> None:
    stream = read_rows(write("a.jsonl", '{"a": "x\u2028y\u0085z"}\n{"a": "b"}\n'))
    assert lines_and_values(stream) == [(1, {"a": "x\u2028y\u0085z"}), (2, {"a": "b"})]


def test_jsonl_errors_have_line_and_column(write: Write) -> None:
    stream = read_rows(write("a.jsonl", '{"a": 1}\n{"a": 1 "b": 2}\n{"a": 1} x\n{"a": "\\ud800"}\n[]\n'))
    assert problems_of(stream) == [(2, 9, "E204", 2), (3, 10, "E204", 3), (4, 8, "E205", 4), (5, 0, "E206", 5)]


def test_an_escaped_pair_is_a_character_and_an_escaped_backslash_is_none(write: Write) -> None:
    stream = read_rows(write("a.jsonl", r'{"a": "\ud83d\ude00", "b": "\\ud800 \\u0000"}'))
    assert lines_and_values(stream) == [(1, {"a": "\U0001f600", "b": r"\ud800 \u0000"})]


def test_a_list_in_json_gives_the_line_of_each_element(write: Write) -> None:
    stream = read_rows(write("a.json", '[\n  {\n    "a": 1\n  },\n  {"a": 2}, {"a": 3},\n\n  {"a": 4}\n]\n'))
    assert lines_and_values(stream) == [(2, {"a": 1}), (5, {"a": 2}), (5, {"a": 3}), (7, {"a": 4})]


def test_one_damaged_element_of_a_list_does_not_lose_the_others(write: Write) -> None:
    stream = read_rows(write("a.json", '[\n{"a": 1},\n"x",\n{"a": "say "hi""},\n{"a": 4,,},\n{"a": 5}\n]'))
    assert lines_and_values(stream) == [(2, {"a": 1}), (6, {"a": 5})]
    assert problems_of(stream) == [(3, 0, "E206", 2), (4, 13, "E204", 3), (5, 9, "E204", 4)]


def test_a_list_that_is_cut_off_keeps_what_came_before(write: Write) -> None:
    stream = read_rows(write("a.json", '[\n{"a": 1},\n{"a": 2}'))
    assert lines_and_values(stream) == [(2, {"a": 1}), (3, {"a": 2})]
    assert problems_of(stream) == [(3, 9, "E204", 3)]


def test_objects_nested_in_a_damaged_element_are_not_taken_for_rows(write: Write) -> None:
    rows = [{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]} for _n in range(3)]
    broken = json.dumps(rows).replace('"q"', 'q"', 2).replace('q"', '"q"', 1)
    stream = read_rows(write("a.json", broken))
    assert [row.number for row in stream.rows] == [1, 3]
    assert [code for _line, _column, code, _row in problems_of(stream)] == ["E204"]


@pytest.mark.parametrize(
    "text", ['{"data": [\n{"a": 1},\n{"a": 2}]}', '{"version": [1], "meta": {"n": 2}, "rows":\n[{"a": 1},\n{"a": 2}]}']
)
def test_an_object_around_one_list_is_unwrapped(write: Write, text: str) -> None:
    assert lines_and_values(read_rows(write("a.json", text))) == [(2, {"a": 1}), (3, {"a": 2})]


@pytest.mark.parametrize(
    "document",
    [
        {"status": "ok", "result": {"rows": [{"prompt": "a"}, {"prompt": "b"}], "count": 2}},
        {
            "features": [],
            "rows": [{"row_idx": n, "row": {"prompt": p}, "truncated_cells": []} for n, p in enumerate("ab")],
        },
        {"took": 3, "hits": {"total": 2, "hits": [{"_id": p, "_source": {"prompt": p}} for p in "ab"]}},
    ],
)
def test_what_servers_put_around_rows_is_taken_off(write: Write, document: dict[str, Any]) -> None:
    stream = read_rows(write("a.json", json.dumps(document)))
    assert [row.value for row in stream.rows] == [{"prompt": "a"}, {"prompt": "b"}]


def test_conversations_under_names_of_their_own_are_rows(write: Write) -> None:
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    stream = read_rows(write("a.json", json.dumps({f"id-{n}": turns for n in range(3)})))
    assert [row.value for row in stream.rows] == [{"messages": turns}] * 3
    pair = {"prompt": turns, "completion": turns, "history": turns}
    assert [row.value for row in read_rows(write("b.json", json.dumps(pair))).rows] == [pair]


def test_a_list_inside_a_single_row_is_not_taken_for_the_rows(write: Write) -> None:
    row = {"prompt": "a", "completion": "b", "meta": {"sources": [{"url": "x"}, {"url": "y"}]}}
    assert [row.value for row in read_rows(write("a.json", json.dumps(row))).rows] == [row]


def test_a_single_conversation_is_a_row_and_not_a_wrapper(write: Write) -> None:
    row = {"messages": [{"role": "user", "content": "q"}]}
    assert lines_and_values(read_rows(write("a.json", json.dumps(row, indent=1)))) == [(1, row)]


def test_a_wrapper_that_holds_two_lists_is_not_guessed_at(write: Write) -> None:
    twice = read_rows(write("a.json", '{"data": [{"a": 1}], "data": [{"a": 2}]}'))
    assert (twice.rows, problems_of(twice)) == ([], [(1, 1, "E204", 1)])
    assert code_of(write("b.json", json.dumps({"de": [{"a": 1}], "en": [{"a": 2}]}))) == "E243"


def test_one_object_a_line_is_accepted_in_json_and_a_list_in_jsonl(write: Write) -> None:
    stream = read_rows(write("a.json", '{"a": 1}\n{"a" 2}\n{"a": 3}\n'))
    assert lines_and_values(stream) == [(1, {"a": 1}), (3, {"a": 3})]
    assert problems_of(stream) == [(2, 6, "E204", 2)]
    assert lines_and_values(read_rows(write("b.jsonl", '[\n{"a": 1},\n{"a": 2}\n]'))) == [(2, {"a": 1}), (3, {"a": 2})]


def test_a_json_document_beyond_repair_is_told_with_line_and_column(write: Write) -> None:
    with pytest.raises(DataError) as caught:
        read_rows(write("a.json", '[\n  {"a": "x'))
    (problem,) = caught.value.problems
    assert (problem.code, problem.where.line, problem.where.column) == ("E217", 2, 9)
    assert code_of(write("b.json", "hello")) == "E217"
    assert code_of(write("c.json", '{"a": [')) == "E217"


def test_csv_rows_keep_their_line_over_quoted_newlines(write: Write) -> None:
    text = '\ufeffquestion,answer\r\n"one\r\n\r\ntwo, ""quoted""",yes\r\n\r\nthree,no\r\n'
    stream = read_rows(write("a.csv", text))
    assert lines_and_values(stream) == [
        (2, {"question": 'one\r\n\r\ntwo, "quoted"', "answer": "yes"}),
        (6, {"question": "three", "answer": "no"}),
    ]


def test_csv_damage_costs_its_own_row_only(write: Write) -> None:
    text = 'a,b\n1,2\n3\n4,5,6\n7,"lost quote\n8,9\n"x"y,10\n11,"ok"\n12,bad\x00\n13,14\n'
    stream = read_rows(write("a.csv", text))
    assert [line for line, _value in lines_and_values(stream)] == [2, 6, 8, 10]
    assert [(line, code) for line, _column, code, _row in problems_of(stream)] == [
        (3, "E218"), (4, "E218"), (5, "E221"), (7, "E221"), (9, "E205"),
    ]  # fmt: skip
    assert stream.problems[0].values["got"] == 1
    assert stream.problems[0].values["wanted"] == 2


@pytest.mark.parametrize(
    ("name", "text"), [("a.csv", 'a;b\n1,5;"x;y"\n'), ("a.csv", "a\tb\n1,5\tx;y\n"), ("a.tsv", "a\tb\n1,5\tx;y\n")]
)
def test_the_separator_is_seen_in_the_header(write: Write, name: str, text: str) -> None:
    assert lines_and_values(read_rows(write(name, text))) == [(2, {"a": "1,5", "b": "x;y"})]


def test_a_csv_cell_may_be_larger_than_the_csv_module_allows_by_itself(write: Write) -> None:
    stream = read_rows(write("a.csv", f"text\n{'x' * 500_000}\n{'y' * 1_000_001}\nz\n"))
    assert [len(row.value["text"]) for row in stream.rows] == [500_000, 1]
    assert problems_of(stream) == [(3, 0, "E213", 2)]


def test_a_header_that_names_a_column_twice_or_is_damaged_is_refused(write: Write) -> None:
    assert code_of(write("a.csv", "a,a\n1,2\n")) == "E241"
    assert code_of(write("b.csv", 'a,"b"c\n1,2\n')) == "E221"


def test_a_column_without_a_name_gets_one(write: Write) -> None:
    assert lines_and_values(read_rows(write("a.csv", ",text\n0,hello\n"))) == [(2, {"column_1": "0", "text": "hello"})]


def test_txt_gives_a_row_for_each_paragraph(write: Write) -> None:
    stream = read_rows(write("a.txt", b"\n one\r\ntwo\r\n \t\r\n\r\nthree\n\nb\xffd\nfour\n\nfive"))
    assert lines_and_values(stream) == [(2, {"text": " one\ntwo"}), (6, {"text": "three"}), (11, {"text": "five"})]
    assert problems_of(stream) == [(8, 2, "E205", 3)]


@pytest.mark.parametrize("mark", [",", ";", "|", "\t"])
def test_a_table_in_a_text_file_is_known_by_the_names_of_its_columns(write: Write, mark: str) -> None:
    stream = read_rows(write("a.txt", f"Question{mark}Answer\nq{mark}a\nr{mark}b\n"))
    assert lines_and_values(stream) == [(2, {"Question": "q", "Answer": "a"}), (3, {"Question": "r", "Answer": "b"})]
    assert read_rows(write("b.txt", "Question, answer\nthat is all\nof it there is\n")).rows[0].value["text"]


def test_long_lines_are_paragraphs_of_one_text_and_short_ones_texts_of_their_own(write: Write) -> None:
    book = "\n".join("The lamp is of brass. " * 20 + f"Chapter {number} ends." for number in range(4))
    assert [row.value for row in read_rows(write("book.txt", book)).rows] == [{"text": book}]
    assert len(read_rows(write("lines.txt", "\n".join(f"Text {number}." for number in range(4)))).rows) == 4


def test_rows_above_1_mb_are_refused_in_each_form(write: Write) -> None:
    big = "x" * 1_000_000
    for name, text in [
        ("a.jsonl", f'{{"a": "{big}"}}\n{{"a": "b"}}\n'),
        ("a.json", f'[{{"a": "{big}"}},\n{{"a": "b"}}]'),
        ("a.csv", f"a\n{big}x\nb\n"),
        ("a.txt", f"{big}\n\nb\n"),
    ]:
        stream = read_rows(write(name, text))
        assert [problem.code for problem in stream.problems] == ["E213"], name
        assert len(stream.rows) == 1, name


def test_a_folder_gives_the_rows_of_its_files_in_the_order_of_names(tmp_path: Path, write: Write) -> None:
    write("b.jsonl", '{"a": 2}\n{"a"\n')
    write("a.csv", "a\n1\n")
    for name in ("README.md", ".c.jsonl", "dataset_info.json"):
        write(name, "no rows")
    stream = read_rows(str(tmp_path))
    assert [(row.number, Path(row.file).name, row.line) for row in stream.rows] == [(1, "a.csv", 2), (2, "b.jsonl", 1)]
    assert problems_of(stream) == [(2, 5, "E204", 3)]


def test_all_unreadable_files_of_a_folder_are_told_together(tmp_path: Path, write: Write) -> None:
    write("a.json", "hello")
    write("b.jsonl", '{"a": 1}')
    write("c.jsonl", b"\x1f\x8b\x08")
    with pytest.raises(DataError) as caught:
        read_rows(str(tmp_path))
    assert [problem.code for problem in caught.value.problems] == ["E217", "E202"]


def test_what_is_not_there_or_not_data_is_told(tmp_path: Path, write: Write) -> None:
    assert code_of(str(tmp_path)) == "E201"
    assert code_of("missing/rows.jsonl") == "E201"
    assert code_of(write("a.pkl", "x")) == "E202"
    assert code_of(write("a.jsonl", b"PK\x03\x04")) == "E202"
    assert read_rows(write("empty.json", "")) == RowStream([], [])


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.txt", "a.md", "a.conll", "a.parquet"])
def test_what_git_lfs_leaves_in_the_place_of_a_file_is_named(write: Write, name: str) -> None:
    path = write(name, "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")
    with pytest.raises(DataError) as caught:
        read_rows(path)
    assert [problem.code for problem in caught.value.problems] == ["E220"]
    assert caught.value.problems[0].message().endswith("git lfs pull")


def test_limit_counts_damaged_rows_too(write: Write) -> None:
    stream = read_rows(write("a.jsonl", '{"a": 1}\n{\n{"a": 3}\n{"a": 4}\n'), limit=3)
    assert ([row.number for row in stream.rows], problems_of(stream)) == ([1, 3], [(2, 2, "E204", 2)])


@pytest.mark.parametrize("extension", [".parquet", ".arrow"])
def test_tables_of_arrow_are_read_and_damaged_ones_told(tmp_path: Path, extension: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / f"rows{extension}"
    table = pa.table({"q": ["a", "b\0", None], "turns": [[{"role": "user"}], [], None]})
    if extension == ".parquet":
        pq.write_table(table, path)
    else:
        with pa.ipc.new_stream(str(path), table.schema) as stream:
            stream.write_table(table)
    stream = read_rows(str(path))
    assert lines_and_values(stream) == [(0, {"q": "a", "turns": [{"role": "user"}]}), (0, {"q": None, "turns": None})]
    assert problems_of(stream) == [(0, 0, "E205", 2)]
    path.write_bytes(path.read_bytes()[:50])
    assert code_of(str(path)) == "E220"


def test_numbers_of_classes_that_a_table_names_become_names(tmp_path: Path) -> None:
    import datasets

    kinds = datasets.ClassLabel(names=["track", "refund"])
    features = datasets.Features({"text": datasets.Value("string"), "label": kinds, "tags": datasets.List(kinds)})
    rows = {"text": ["a", "b"], "label": [1, -1], "tags": [[0, 1], []]}
    datasets.Dataset.from_dict(rows, features=features).to_parquet(str(tmp_path / "rows.parquet"))
    stream = read_rows(str(tmp_path / "rows.parquet"))
    assert [row.value for row in stream.rows] == [
        {"text": "a", "label": "refund", "tags": ["track", "refund"]},
        {"text": "b", "label": None, "tags": []},
    ]


def test_owner_and_name_are_read_from_the_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def rows_of(name: str, split: str) -> Iterator[dict[str, Any]]:
        yield from ({"name": name, "split": split, "n": n} for n in range(3))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hub_datasets, "hub_rows", rows_of)
    stream = read_rows("owner/name", Reading("test"), limit=2)
    assert [(row.file, row.line, row.value["n"]) for row in stream.rows] == [("owner/name", 0, 0), ("owner/name", 0, 1)]
    assert read_rows("hf://datasets/owner/name").rows[0].value == {"name": "owner/name", "split": "train", "n": 0}
    assert fingerprint("owner/name") != fingerprint("owner/name", Reading("test"))


def _reading_from_hub(statements: str, **environment: str) -> str:
    """What a process of its own says that reads from a Hub nobody answers for: its setting is fixed at import."""
    imports = (
        "from tunewright.data.files import hub_datasets as hub\nfrom tunewright.data.files.readers import read_rows"
    )
    script = f"{imports}\n{statements}"
    settings = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", **environment}
    command = [sys.executable, "-c", script]
    return subprocess.run(command, env=settings, capture_output=True, text=True, check=False).stderr


def test_offline_the_hub_is_not_asked_for_data() -> None:
    """Imports datasets, which takes seconds."""
    connected = "import socket\nsocket.socket.connect = lambda *_: print('connected', file=__import__('sys').stderr)\n"
    words = _reading_from_hub(connected + "with hub.offline(True): read_rows('owner/name')")
    assert "HubError: E701" in words and "owner/name is not on this machine" in words and "--offline" in words
    assert "connected" not in words


@pytest.mark.slow
def test_a_hub_that_is_switched_off_or_cannot_be_reached_is_told() -> None:
    assert "HubError: E701" in _reading_from_hub("read_rows('owner/name')", HF_HUB_OFFLINE="1")
    assert "HubError: E702" in _reading_from_hub("with hub.offline(False): read_rows('owner/name')")


def test_the_fingerprint_is_that_of_the_bytes(tmp_path: Path, write: Write) -> None:
    first = write("a.jsonl", '{"a": 1}')
    assert fingerprint(first) == hashlib.sha256(b'{"a": 1}').hexdigest() == fingerprint(str(tmp_path))
    write("b.jsonl", '{"a": 2}')
    both = fingerprint(str(tmp_path))
    write("b.jsonl", '{"a": 3}')
    assert fingerprint(str(tmp_path)) != both


@pytest.mark.parametrize(
    ("name", "content", "rows"),
    [
        ("a.txt", "one\n" + "word " * 40_000 + "\nthree\n", 1),
        ("a.txt", "one\n\n" + "a, b " * 40_000 + "\n\nthree\n", 3),
        ("a.txt", b"first\rline here\nsecond line\nthird line\n", 1),
        ("a.csv", "q,a\n1,2\n\n3," + "x" * 200_000 + "\n", 2),
        ("a.csv", 'q,a\n"' + "x" * 1_200_000 + '",1\n' + "y" * 60_000 + ",2\n3,4\n", 2),
        ("a.csv", "q,a\r1,2\r" + "x" * 1_100_000 + ',3\r4,"5\n6"\r', 2),
    ],
)
def test_long_lines_and_a_lone_cr_are_read(write: Write, name: str, content: str | bytes, rows: int) -> None:
    """csv, which also looks for tables in texts, has a limit of its own, and a CR in a line ends one for it."""
    script = (
        "import sys; from tunewright.data.files.readers import read_rows; print(len(list(read_rows(sys.argv[1]).rows)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", script, write(name, content)], capture_output=True, text=True, check=True
    )
    assert int(found.stdout) == rows


@pytest.mark.parametrize("place", [2, 30])
def test_a_cell_above_the_limit_is_e213_wherever_it_stands(write: Write, place: int) -> None:
    lines = ["q,a", *("1,2" for _ in range(40))]
    lines[place] = "3," + "x" * 1_200_000
    stream = read_rows(write("a.csv", "\n".join(lines) + "\n"))
    assert [(line, code) for line, _column, code, _row in problems_of(stream)] == [(place + 1, "E213")]
    assert len(list(stream.rows)) == 39
