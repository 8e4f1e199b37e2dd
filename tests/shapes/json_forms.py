"""JSON: lists, lines, objects one after another, tables by column, lists for splits, values that are no text."""

import json

from tests.shapes.shape import Content, Shape

GROUP = "JSON"
ROWS = [{"prompt": f"is it {name}", "completion": f"it is {name}"} for name in ("red", "blue", "green", "grey")]
LEARNED = tuple(row["completion"] for row in ROWS)
TURNS = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "good day"}]
MORE = [{"role": "user", "content": "bye"}, {"role": "assistant", "content": "so long"}]
COLUMNS = {key: [row[key] for row in ROWS] for key in ROWS[0]}


def lines(*values: object) -> str:
    return "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values)


def form(
    name: str, file: str, content: Content, what: str, learned: tuple[str, ...] = LEARNED, **more: object
) -> Shape:
    return Shape(name, GROUP, file, content, what, learned, **more)  # type: ignore[arg-type]


SHAPES = (
    form("jsonl", "a.jsonl", lines(*ROWS), "an object on each line"),
    form("json-list", "a.json", json.dumps(ROWS, indent=1), "a list of objects"),
    form("json-lines", "a.json", lines(*ROWS), "an object on each line of a .json"),
    form("jsonl-list-in-a-line", "a.jsonl", json.dumps(ROWS), "a list on one line"),
    form("jsonl-lists", "a.jsonl", lines(ROWS[:2], ROWS[2:]), "several lists, one a line"),
    form("json-lists", "a.json", json.dumps(ROWS[:2], indent=1) + "\n" + json.dumps(ROWS[2:], indent=1), "several lists, joined"),
    form("jsonl-pretty", "a.jsonl", "\n".join(json.dumps(row, indent=2) for row in ROWS), "objects over several lines"),
    form("json-pretty", "a.json", "\n".join(json.dumps(row, indent=2) for row in ROWS), "the same in a .json"),
    form("json-pretty-commas", "a.json", ",\n".join(json.dumps(row, indent=2) for row in ROWS), "the same with commas between"),
    form("jsonl-list-over-lines", "a.jsonl", json.dumps(ROWS, indent=1), "a list over several lines of a .jsonl"),
    form("jsonl-joined-bom", "a.jsonl", "\ufeff" + lines(*ROWS[:2]) + "\ufeff" + lines(*ROWS[2:]), "marks between joined files"),
    form("json-joined-bom", "a.json", "\ufeff" + json.dumps(ROWS[:2]) + "\ufeff" + json.dumps(ROWS[2:]), "the same in a .json"),
    form("jsonl-cr", "a.jsonl", lines(*ROWS).replace("\n", "\r"), "line ends of old Macs"),
    form("jsonl-as-txt", "a.txt", lines(*ROWS), "objects in a .txt are rows, not text"),
    form("json-wrapper", "a.json", json.dumps({"version": "1.0", "data": ROWS}), "an object around one list"),
    form("json-columns-of-lists", "a.json", json.dumps(COLUMNS), "a table by column, as a dict of lists"),
    form("json-pandas-default", "a.json", json.dumps({k: {str(n): v for n, v in enumerate(c)} for k, c in COLUMNS.items()}),
         "pandas' to_json()"),
    form("json-pandas-index", "a.json", json.dumps({str(n): row for n, row in enumerate(ROWS)}), "pandas' orient='index'"),
    form("json-pandas-split", "a.json",
         json.dumps({"columns": list(COLUMNS), "index": [0, 1, 2, 3], "data": [list(row.values()) for row in ROWS]}),
         "pandas' orient='split'"),
    form("json-pandas-table", "a.json",
         json.dumps({"schema": {"fields": [{"name": "prompt"}], "pandas_version": "1.4.0"}, "data": ROWS}), "pandas' orient='table'"),
    form("json-rows-by-id", "a.json", json.dumps({f"row-{n}": row for n, row in enumerate(ROWS)}), "rows under names of their own"),
    form("json-columns-of-turns", "a.json", json.dumps({"messages": [TURNS, MORE]}), "a column of conversations",
         ("good day", "so long")),
    form("json-one-conversation", "a.json", json.dumps({"messages": TURNS}), "one conversation is one row", ("good day",)),
    form("json-list-of-turns", "a.json", json.dumps(TURNS), "a list of turns is one conversation", ("good day",)),
    form("jsonl-lists-of-turns", "a.jsonl", lines(TURNS, MORE), "a conversation on each line", ("good day", "so long")),
    form("json-lists-of-turns", "a.json", json.dumps([TURNS, MORE]), "a list of conversations", ("good day", "so long")),
    form("json-one-row", "a.json", json.dumps(ROWS[0], indent=1), "one object is one row", LEARNED[:1]),
    form("json-splits", "a.json", json.dumps({"train": ROWS[:2], "validation": ROWS[2:3], "test": ROWS[3:]}),
         "lists under train, validation, test: the first is trained, the second held out", LEARNED[:2] + LEARNED[2:3],
         held_out=1, warns=("W231",)),
    form("json-splits-train-test", "a.json", json.dumps({"test": ROWS[:1], "train": ROWS[1:]}), "test is not used", LEARNED[1:],
         held_out=1, warns=("W231",)),
    form("json-splits-of-tables", "a.json", json.dumps({"train": COLUMNS, "dev": {k: ["x?" + k] for k in COLUMNS}}),
         "tables under train and dev", (*LEARNED, "x?completion"), held_out=1, warns=("W240",)),
    form("json-splits-named", "a.json", json.dumps({"train": ROWS[:2], "test": ROWS[2:]}), "a split that is set", LEARNED[2:],
         settings={"data.split": "test", "data.holdout": 0}, warns=("W231",)),
    form("json-splits-missing", "a.json", json.dumps({"dev": ROWS[:2], "test": ROWS[2:]}), "no list is called train", LEARNED[:2],
         code="E237", fix="--set data.split=dev", warns=("W231",)),
    form("json-several-lists", "a.json", json.dumps({"de": ROWS[:2], "fr": ROWS[2:]}), "lists whose names tell nothing", LEARNED[:2],
         code="E243", fix="--set data.split=de"),
    form("json-list-of-texts", "a.json", json.dumps(["one", "two"]), "only texts are plain text", ("one", "two")),
    form(
        "jsonl-lists-of-cells", "a.jsonl", lines(["q", "a"], ["r", "b"]), "cells without names have numbers", ("a", "b"),
        code="E211", fix="--map prompt=column_1 --map completion=column_2",
    ),
    form("json-lists-under-names", "a.json", json.dumps([["prompt", "completion"], ["q", "a"], ["r", "b"]]),
         "cells under a first list of names", ("a", "b")),
    form("jsonl-lists-under-names", "a.jsonl", lines(["question", "answer", "id"], ["q", "a", 1], ["r", "b", 2]), "the same in lines",
         ("a", "b")),
    form("json-table-inside", "a.json", json.dumps({"data": COLUMNS}), "a table inside an object"),
    form("json-table-with-version", "a.json", json.dumps({"version": "1.0", **COLUMNS}), "a table beside a version"),
    form("json-broken", "a.json", '{"prompt": "a", "completion": ', "a file that is cut", code="E217"),
    form("jsonl-nan-unused", "a.jsonl", '{"prompt": "q", "completion": "a", "score": NaN}\n{"prompt": "r", "completion": "b", '
         '"score": Infinity}\n', "NaN in an unused column", ("a", "b")),
    form("jsonl-nan-used", "a.jsonl", lines(*ROWS) + '{"prompt": "q", "completion": NaN}\n', "NaN as an answer is a missing one",
         LEARNED, left_out=1, code="E207", fix="--skip-bad"),
    form("jsonl-answers-numbers", "a.jsonl", lines({"question": "1+1", "answer": 2}, {"question": "1/2", "answer": 0.5}),
         "numbers as answers are their text", ("2", "0.5")),
    form("jsonl-answers-decimals", "a.jsonl", lines({"question": "1+1", "answer": 2.0}, {"question": "1/2", "answer": 0.5}),
         "whole numbers that a table made decimals: it is said", ("2.0", "0.5"), warns=("W251",)),
    form("jsonl-answers-booleans", "a.jsonl", lines({"question": "is it", "answer": True}, {"question": "or not", "answer": False}),
         "so are true and false", ("true", "false")),
    form("jsonl-prompts-numbers", "a.jsonl", lines({"prompt": 2, "completion": "two"}, {"prompt": 3, "completion": "three"}),
         "and numbers as prompts", ("two", "three")),
    form("jsonl-answers-objects", "a.jsonl", lines({"prompt": "p", "completion": {"ding": "Tür", "n": 1}}, {"prompt": "q", "completion": {}}),
         "objects as answers are their JSON, with a word", ('{"ding": "Tür", "n": 1}', "{}"), warns=("W238",)),
    form("jsonl-answers-lists", "a.jsonl", lines({"prompt": "p", "completion": ["a", "b"]}, {"prompt": "q", "completion": [1]}),
         "so are lists", ('["a", "b"]', "[1]"), warns=("W238",)),
    form("jsonl-turns-number", "a.jsonl", lines({"messages": [TURNS[0], {"role": "assistant", "content": 42}]}), "numbers as turns", ("42",)),
    form("jsonl-turns-elsewhere", "a.jsonl", lines({"id": 1, "items": TURNS}, {"id": 2, "items": MORE}),
         "turns in a column of another name", ("good day", "so long"), code="E211", fix="--map messages=items"),
    form("jsonl-key-twice", "a.jsonl", lines(*ROWS) + '{"prompt": "q", "prompt": "r", "completion": "b"}\n', "a key that appears twice",
         LEARNED, left_out=1, code="E204", fix="--skip-bad"),
    form("jsonl-empty", "a.jsonl", "\n\n", "nothing is there", code="E210"),
)  # fmt: skip
