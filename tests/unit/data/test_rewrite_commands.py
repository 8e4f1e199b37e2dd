"""Commands of fixes write the rows that they promise, whatever form the file has, or are not offered."""

import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tunewright.data.examples.rewrite_commands import rewriting
from tunewright.data.files.readers import read_rows

ROWS = [{"prompt": "q, é", "completion": "a", "label": "True"}, {"prompt": "r", "completion": "b", "label": "False"}]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)


def table(mark: str) -> str:
    cells: Sequence[dict[str, Any]] = [{name: name for name in ROWS[0]}, *ROWS]
    return "".join(mark.join(f'"{cell}"' for cell in row.values()) + "\n" for row in cells)


@pytest.mark.parametrize(
    ("name", "content", "encoding"),
    [
        ("a.jsonl", LINES, "utf-8"),
        ("it's {a}.jsonl", LINES, "utf-8-sig"),
        ("a.ndjson", LINES, "utf-16"),
        ("a.json", LINES, "utf-8"),
        ("a.json", json.dumps(ROWS), "utf-8-sig"),
        ("a.jsonl", json.dumps(ROWS), "utf-8"),
        ("a.csv", table(","), "utf-8-sig"),
        ("a.csv", table(";"), "utf-8"),
        ("a.csv", table("|"), "utf-16"),
        ("a.tsv", table("\t"), "utf-8"),
        ("a.txt", LINES, "utf-8"),
    ],
)
def test_the_command_writes_the_chosen_rows_as_we_read_them(
    tmp_path: Path, name: str, content: str, encoding: str
) -> None:
    (tmp_path / name).write_text(content, encoding=encoding)
    command = rewriting(str(tmp_path / name), "r", "kept.jsonl", only='r["label"] == "True"')
    assert command is not None
    python, flag, code, _mark, target = shlex.split(command)
    assert (python, flag, target) == ("python3", "-c", "kept.jsonl")
    done = subprocess.run([sys.executable, flag, code], capture_output=True, encoding="utf-8", check=True)
    assert [json.loads(line) for line in done.stdout.splitlines()] == ROWS[:1]
    assert [row.value for row in read_rows(str(tmp_path / name)).rows] == ROWS


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", json.dumps({name: [row[name] for row in ROWS] for name in ROWS[0]})),
        ("a.json", json.dumps({"data": ROWS})),
        ("a.csv", "sep=;\n" + table(";")),
        ("a.csv", table(",").replace('"label"', '" label "')),
        ("a.jsonl", json.dumps(ROWS[0], indent=1) + "\n" + json.dumps(ROWS[1], indent=1)),
        ("a.csv", ""),
    ],
)
def test_no_command_is_offered_that_would_read_something_else(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert rewriting(str(tmp_path / name), "r", "kept.jsonl") is None
