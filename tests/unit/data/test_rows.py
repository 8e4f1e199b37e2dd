"""No row is lost in silence: rows in = examples + rows with problems, and each problem has its line."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tunewright.data.examples.convert import to_examples
from tunewright.data.examples.formats import Example, sniff
from tunewright.data.files.readers import read_rows
from tunewright.errors import DataError, Problem

GOOD_ROWS = 170


def conversation(text: str, **changes: Any) -> dict[str, Any]:
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": f"{text} 你好 \U0001f600\u2028"},
        {"role": "assistant", "content": f"answer to {text}"},
    ]
    return {"messages": turns, **changes}


def with_turns(*turns: tuple[str, Any]) -> bytes:
    return as_line({"messages": [{"role": role, "content": content} for role, content in turns]})


def as_line(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


SOUND = as_line(conversation("x"))
DAMAGES: list[tuple[str, str, bytes]] = [
    ("two objects in a line", "E204", SOUND + SOUND),
    ("comma after the object", "E204", SOUND + b","),
    ("NaN", "E207", b'{"messages": NaN}'),
    ("key twice", "E204", SOUND[:-1] + b', "messages": []}'),
    ("single quotes", "E204", b"{'messages': []}"),
    ("raw tab in a text", "E204", SOUND.replace(b"answer", b"ans\twer")),
    ("quote not escaped", "E204", SOUND.replace(b"answer", b'ans"wer')),
    ("nested too deeply", "E204", b'{"messages": ' + b"[" * 50_000 + b"]" * 50_000 + b"}"),
    ("number of 5000 digits", "E204", b'{"id": ' + b"1" * 5000 + b", " + SOUND[1:]),
    ("bytes of another encoding", "E205", SOUND.replace(b"answer", "Größe".encode("latin-1"))),
    ("NUL byte", "E205", SOUND.replace(b"answer", b"ans\x00wer")),
    ("escaped NUL", "E205", SOUND.replace(b"answer", b"ans\\u0000wer")),
    ("lone surrogate", "E205", SOUND.replace(b"answer", b"ans\\ud83dwer")),
    ("terminal escape", "E244", SOUND.replace(b"answer", b"ans\\u001b[31mwer")),
    ("more than 1 MB", "E213", as_line(conversation("x" * 1_000_000))),
    ("list instead of object", "E206", b"[" + SOUND + b"]"),
    ("text instead of object", "E206", b'"messages"'),
    ("list as content", "E206", with_turns(("user", [["nested"]]), ("assistant", "a"))),
    ("number that is none as content", "E207", with_turns(("user", "q"), ("assistant", float("nan")))),
    ("image as content", "E206", with_turns(("user", [{"type": "image_url", "image_url": "u"}]), ("assistant", "a"))),
    ("text as messages", "E206", b'{"messages": "hello"}'),
    ("text as turn", "E206", b'{"messages": ["hello"]}'),
    ("no messages", "E207", b'{"message": []}'),
    ("no role", "E207", b'{"messages": [{"content": "q"}, {"role": "assistant", "content": "a"}]}'),
    ("no content", "E207", b'{"messages": [{"role": "user"}, {"role": "assistant", "content": "a"}]}'),
    ("empty answer", "E203", with_turns(("user", "q"), ("assistant", ""))),
    ("blank prompt", "E203", with_turns(("user", " \n\u3000"), ("assistant", "a"))),
    ("no turns", "E203", b'{"messages": []}'),
    ("unknown role", "E208", with_turns(("user", "q"), ("wizard", "a"))),
    ("only system", "E208", with_turns(("system", "s"), ("user", "q"), ("tool", "a"))),
    (
        "no turn to learn",
        "E232",
        b'{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "weight": 0}]}',
    ),
    (
        "half a weight",
        "E206",
        b'{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "weight": 0.5}]}',
    ),
    (
        "a call without a name",
        "E206",
        b'{"messages": [{"role": "user", "content": "q"},'
        b' {"role": "assistant", "content": "a", "tool_calls": [{"function": {"arguments": "{}"}}]}]}',
    ),
    ("no assistant", "E208", with_turns(("user", "q"))),
]
HALF_LINE = SOUND[: len(SOUND) // 2]


def examples_of(path: Path) -> tuple[list[Example], list[Problem], int]:
    """Examples, problems, and the count of rows the reader saw."""
    raw = read_rows(str(path))
    examples, problems = to_examples(raw.rows, sniff(raw.rows))
    return examples, [*raw.problems, *problems], len(raw.rows) + len(raw.problems)


def assert_every_row_is_accounted_for(examples: list[Example], problems: list[Problem], rows: int) -> None:
    good = [example.number for example in examples]
    bad = {problem.values["row"] for problem in problems}
    assert len(good) == len(set(good))
    assert sorted([*good, *bad]) == list(range(1, rows + 1))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_each_damage_is_told_with_its_line_and_costs_no_other_row(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    lines: list[tuple[str, bytes]] = [("", as_line(conversation(f"question {n}", id=n))) for n in range(GOOD_ROWS)]
    lines += [(code, line) for _name, code, line in DAMAGES]
    lines += [("blank", b"   ")] * 5
    rng.shuffle(lines)
    lines.append(("E204", HALF_LINE))
    ends = [rng.choice([b"\n", b"\r\n"]) for _line in lines[:-1]] + [b""]
    path = tmp_path / "damaged.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + b"".join(line + end for (_code, line), end in zip(lines, ends, strict=True)))

    examples, problems, rows = examples_of(path)

    places = sorted((problem.where.line, problem.code) for problem in problems)
    assert places == [(n, code) for n, (code, _line) in enumerate(lines, 1) if code not in ("", "blank")]
    assert [example.line for example in examples] == [n for n, (code, _line) in enumerate(lines, 1) if code == ""]
    questions = {example.messages[1].content for example in examples}
    assert questions == {conversation(f"question {n}")["messages"][1]["content"] for n in range(GOOD_ROWS)}
    assert rows == GOOD_ROWS + len(DAMAGES) + 1
    assert_every_row_is_accounted_for(examples, problems, rows)
    assert all(problem.message() and problem.where.file == str(path) for problem in problems)


def test_the_file_above_holds_at_least_25_kinds_of_damage() -> None:
    assert len({name for name, _code, _line in DAMAGES}) >= 25


def pretty(rows: list[dict[str, Any]]) -> str:
    return json.dumps(rows, indent=2)


def one_a_line(rows: list[dict[str, Any]]) -> str:
    return "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]"


def all_in_one_line(rows: list[dict[str, Any]]) -> str:
    return json.dumps(rows)


def in_a_wrapper(rows: list[dict[str, Any]]) -> str:
    return json.dumps({"version": 1, "data": rows}, indent=1).replace('"version": 1,', "", 1)


@pytest.mark.parametrize("layout", [pretty, one_a_line, all_in_one_line, in_a_wrapper])
def test_a_character_lost_inside_one_element_of_a_list_costs_that_element_at_most(
    tmp_path: Path, layout: Callable[[list[dict[str, Any]]], str]
) -> None:
    rows = [{"id": n, **conversation(f"question {n}")} for n in range(8)]
    text = layout(rows)
    path = tmp_path / "rows.json"
    start, end = text.index("question 3") - 60, text.index("answer to question 3") + 10
    for position in range(start, end, 3):
        path.write_text(text[:position] + text[position + 1 :])
        examples, problems, count = examples_of(path)
        survivors = {example.messages[1].content.split("你")[0].strip() for example in examples if example.messages}
        missing = {f"question {n}" for n in range(8)} - survivors
        assert missing <= {"question 3"}, (position, text[position])
        assert_every_row_is_accounted_for(examples, problems, count)
        assert count == 8, (position, text[position])


@pytest.mark.parametrize("extension", [".jsonl", ".json", ".csv", ".txt"])
def test_random_bytes_never_break_the_reader_or_its_account(tmp_path: Path, extension: str) -> None:
    rows = [{"question": f'what is "{n}"?\nplease', "answer": f"it is, of course, {n}"} for n in range(12)]
    text = {
        ".jsonl": "\n".join(json.dumps(row) for row in rows),
        ".json": json.dumps(rows, indent=1),
        ".csv": "question,answer\n"
        + "\n".join('"{}","{}"'.format(row["question"].replace('"', '""'), row["answer"]) for row in rows),
        ".txt": "\n\n".join(row["question"] for row in rows),
    }[extension].encode()
    rng = random.Random(extension)
    path = tmp_path / f"rows{extension}"
    for _round in range(50):
        data, marks = bytearray(text), [0, 10, 13, 34, 44, 91, 92, 93, 123, 125, 0xFF]
        for _flip in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.choice([*marks, rng.randrange(256)])
        path.write_bytes(data)
        try:
            examples, problems, count = examples_of(path)
        except DataError as fault:
            assert fault.problems[0].code in {"E202", "E205", "E211", "E217", "E220", "E221", "E239", "E241"}
            continue
        assert_every_row_is_accounted_for(examples, problems, count)
        assert all(problem.message() for problem in problems)
