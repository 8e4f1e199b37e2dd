"""A run that leaves rows out keeps them, with their text, whether its rows were encoded now or come from the cache."""

import json
from collections.abc import Callable
from pathlib import Path

from tunewright.rundir import file_names

from .test_causal_lm import run_for


def test_left_out_rows_are_kept_and_told_also_when_rows_come_from_the_cache(
    tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path
) -> None:
    path = tmp_path / "rows.jsonl"
    turns = [{"role": "user", "content": "word " * 300}, {"role": "assistant", "content": "late"}]
    too_long = json.dumps({"messages": turns})
    path.write_text("\n".join(["{half", *shop_rows.read_text().splitlines()[:24], too_long]))
    settings = {"data.skip_bad": True, "data.max_length": 400, "data.max_truncated": 1, "train.max_steps": 2}
    numbers = []
    for name in ("first", "second"):
        run = run_for(tiny_model(), path, tmp_path / name, **settings)
        prepared = json.loads(run.dir.file(file_names.PREPARED).read_text())
        assert prepared["from_cache"] == (name == "second")
        assert prepared["rows"] == prepared["used"] + prepared["held_out"] + prepared["dropped"] == 26
        rows = [json.loads(line) for line in run.dir.file(file_names.BAD_ROWS).read_text().splitlines()]
        assert [(row["line"], row["code"], row["text"]) for row in rows] == [
            (1, "E204", "{half"),
            (26, "E209", too_long),
        ]
        notes = [event.text for event in run.dir.read_events() if event.kind == "note"]
        assert f"2 of 26 rows are left out; they are in {file_names.BAD_ROWS}" in notes
        numbers.append(rows)
    assert numbers[0] == numbers[1]
