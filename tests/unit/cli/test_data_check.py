"""What `data check` says of few rows, of parts that are all used, and of one row."""

from pathlib import Path
from typing import Any

ROW = '{"prompt": "q", "completion": "a"}\n'
OTHER = '{"prompt": "r", "completion": "b"}\n'


def test_one_row_is_one_row_and_nothing_can_be_held_out(tw: Any, model: Path, tmp_path: Path) -> None:
    Path("a.jsonl").write_text(ROW)
    shown = " ".join(tw("data", "check", "a.jsonl", "-m", str(model)).out.split())
    assert "1 row · 1 to train, 0 held out, 0 left out" in shown
    assert "Held out nothing: too few rows, or none to spare; name rows of their own: --set data.holdout=FILE" in shown
    plan = tw("plan", str(model), "a.jsonl")
    assert "1 row to train, 0 held out" in plan.out + plan.err


def test_nothing_is_said_where_rows_are_held_out_or_none_are_wanted(tw: Any, model: Path, tmp_path: Path) -> None:
    Path("a.jsonl").write_text(ROW + OTHER)
    for flags in ((), ("--set", "data.holdout=0")):
        assert "Held out" not in tw("data", "check", "a.jsonl", "-m", str(model), *flags).out


def test_parts_that_are_all_used_are_a_note_and_what_is_left_alone_a_warning(
    tw: Any, model: Path, tmp_path: Path
) -> None:
    Path("d").mkdir()
    Path("d/train.jsonl").write_text(ROW)
    Path("d/valid.jsonl").write_text(OTHER)
    shown = tw("data", "check", "d", "-m", str(model))
    assert "note W240" in shown.out and "warning" not in shown.out
    Path("d/test.jsonl").write_text(ROW)
    assert "warning W231" in tw("data", "check", "d", "-m", str(model)).out
