"""A look at rows that is held, and rows mended beside their file: planted faults are found at their rows, and gone afterwards."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tunewright import api
from tunewright.data.tokenized import known_rows
from tunewright.data.tokenized.tokenization import encode_chunk
from tunewright.errors import DataError, TunewrightError
from tunewright.launch import inspect_inputs
from tunewright.rundir import fixed_data
from tunewright.rundir.checkpoints import faults

EMPTY, LONG, TWICE, ASKED_TWICE, BROKEN = 3, 5, 9, 12, 14
Rows = list[dict[str, Any]]


def rows() -> Rows:
    """Sixteen rows, four of them with a fault at the places above; the fifth, which cannot be read, is put in by the format."""
    made = [
        {"question": f"What is {n} and {n}?", "answer": f'It is {2 * n}, "twice",\nand no more.'} for n in range(1, 17)
    ]
    made[EMPTY - 1]["answer"] = ""
    made[LONG - 1]["answer"] = "so " * 300
    made[TWICE - 1] = dict(made[0])
    made[ASKED_TWICE - 1] = {**made[1], "answer": "another"}
    return made


def as_jsonl(path: Path) -> None:
    lines = [json.dumps(row, ensure_ascii=False) for row in rows()]
    lines[BROKEN - 1] = lines[BROKEN - 1][:-3]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def as_json(path: Path) -> None:
    made: list[Any] = [*rows()]
    made[BROKEN - 1] = "no row"
    path.write_text(json.dumps(made, indent=1), encoding="utf-8")


def as_csv(path: Path) -> None:
    lines = ["question,answer"]
    for row in rows():
        lines.append(f'{row["question"]},"{row["answer"].replace(chr(34), chr(34) * 2)}"')
    lines[BROKEN] = "What is it?,a,b,c"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


FORMATS: dict[str, Callable[[Path], None]] = {".jsonl": as_jsonl, ".json": as_json, ".csv": as_csv}
SETTINGS: dict[str, Any] = {"task": "causal_lm", "data.max_length": 256, "data.holdout": 0.2}


@pytest.fixture(params=FORMATS)
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"faulty{request.param}"
    FORMATS[request.param](path)
    return path


def look(path: Path | str, model: Path, **settings: Any) -> api.DataLook:
    return api.look_at_rows(str(path), str(model), **SETTINGS, **settings)


def again(fixed: Any, model: Path) -> api.DataLook:
    return api.look_at_rows(api.load(named={
        "model.name": str(model), "task": "causal_lm", "data.max_length": 256, "data.holdout": 0.2, **fixed.settings,
    }))  # fmt: skip


def numbers(look: api.DataLook, kind: str) -> list[int]:
    return [row.number for row in look.of_kind(kind)]


def test_planted_faults_are_found_at_their_rows(file: Path, model: Path) -> None:
    seen = look(file, model)
    found = {kind: numbers(seen, kind) for kind in seen.counts}
    expected = {"damaged": [BROKEN], "truncated": [LONG], "duplicate": [TWICE], "conflict": [ASKED_TWICE]}
    missing = "missing_field" if file.suffix == ".csv" else "empty"
    assert {kind: found.get(kind, []) for kind in expected} == expected
    assert [*found.get("empty", []), *found.get("missing_field", [])] == [EMPTY], missing
    assert {row.code for row in seen.rows} - {""} >= {"W201", "W211", "W212"}
    assert [row.number for row in seen.rows] == list(range(1, 17))


def mended(seen: api.DataLook) -> list[api.RowFix]:
    return [
        api.SetCell(row=EMPTY, column="answer", value="It is 6.", code="E203"),
        api.Cut(row=LONG, column="answer", characters=20, code="W201"),
        api.LeaveOut(change="keep_first", rows=tuple(numbers(seen, "duplicate")), code="W211"),
        api.LeaveOut(rows=(ASKED_TWICE,), code="W212"),
        api.SetRow(row=BROKEN, text='{"question": "What is 14?",\n "answer": "A number."}', code="E204"),
    ]


def test_mended_rows_are_sound_and_the_file_is_as_it_was(file: Path, model: Path) -> None:
    before = hashlib.sha256(file.read_bytes()).hexdigest()
    seen = look(file, model)
    fixed = api.fix_rows(seen, mended(seen))
    after = again(fixed, model)
    assert after.counts == {}
    summary = after.check.validated.summary
    assert (summary.rows, summary.used + summary.held_out, summary.dropped) == (14, 14, 0)
    assert hashlib.sha256(file.read_bytes()).hexdigest() == before
    assert list(faults(fixed.folder)) == []
    changed = {row.number: row for row in map(after.row, (EMPTY, LONG, BROKEN))}
    texts = [changed_row.example.messages[-1].content for changed_row in changed.values() if changed_row.example]
    assert texts == ["It is 6.", ("so " * 300)[:20], "A number."]
    assert [after.original(row) for row in after.rows] == [n for n in range(1, 17) if n not in (TWICE, ASKED_TWICE)]
    assert after.cells(1) == seen.cells(1) == rows()[0]


def test_every_change_is_recorded_with_its_place(file: Path, model: Path) -> None:
    seen = look(file, model)
    fixed = api.fix_rows(seen, mended(seen))
    records = [json.loads(line) for line in (fixed.folder / "fixes.jsonl").read_text("utf-8").split("\n") if line]
    assert [(r["fix"], r["change"], r["row"], r["code"]) for r in records] == [
        (1, "set_cell", EMPTY, "E203"), (2, "cut", LONG, "W201"), (3, "keep_first", TWICE, "W211"),
        (4, "leave_out", ASKED_TWICE, "W212"), (5, "set_row", BROKEN, "E204"),
    ]  # fmt: skip
    assert all(r["file"] == str(file) and r["line"] > 0 for r in records)
    assert (records[0]["column"], records[0]["after"]) == ("answer", "It is 6.")
    assert records[1]["before"] == rows()[LONG - 1]["answer"]
    assert records[2]["before"] == rows()[0] and records[2]["after"] is None
    assert [change.row for change in fixed.changes] == [r["row"] for r in records]


def test_a_change_is_undone_by_leaving_it_out_of_the_list(file: Path, model: Path) -> None:
    seen = look(file, model)
    fixes = mended(seen)
    whole = api.fix_rows(seen, fixes)
    without = api.fix_rows(seen, [*fixes[:2], *fixes[3:]])
    assert whole.folder != without.folder
    assert numbers(again(without, model), "duplicate") and not numbers(again(whole, model), "duplicate")
    unread = api.fix_rows(seen, fixes[:4])
    (row,) = again(unread, model).of_kind("damaged")
    assert row.line == BROKEN
    assert api.fix_rows(seen, []).settings == {}


def test_the_same_changes_are_written_once_and_damage_is_mended(file: Path, model: Path) -> None:
    seen = look(file, model)
    first = api.fix_rows(seen, mended(seen))
    written = next(first.folder.glob("faulty.jsonl"))
    content, time = written.read_bytes(), written.stat().st_mtime_ns
    assert api.fix_rows(seen, mended(seen)).folder == first.folder
    assert written.stat().st_mtime_ns == time
    written.write_bytes(content[:-40])
    assert api.fix_rows(seen, mended(seen)).folder == first.folder
    assert written.read_bytes() == content


def test_pages_have_fifty_rows_of_a_kind_with_words(tmp_path: Path, model: Path) -> None:
    path = tmp_path / "many.jsonl"
    path.write_text(
        "".join(
            json.dumps({"question": f"Say {n}", "answer": f"<b>{n}</b>" if n % 3 else ""}) + "\n" for n in range(120)
        )
    )
    seen = look(path, model)
    page = seen.page()
    assert (len(page.rows), page.total, page.pages) == (50, 120, 3)
    assert len(seen.page(page=3).rows) == 20 and seen.page(page=99).page == 3
    empty = seen.page(kind="empty")
    assert empty.total == 40 and all(row.row.code == "E203" for row in empty.rows)
    assert json.loads(empty.rows[0].written) == {"question": "Say 0", "answer": ""}
    assert [row.row.number for row in seen.page(words="SAY 117").rows] == [118]
    assert seen.page(words="E203").total == 40
    (shown,) = seen.page(words="<b>1</b>").rows
    learned = "".join(piece.text for piece in shown.texts[0] if piece.is_learned)
    assert learned == "<|im_start|>assistant\n<b>1</b><|im_end|>\n".removeprefix(
        "<|im_start|>assistant\n"
    ).removesuffix("\n")


def test_a_look_is_held_by_data_model_and_settings(file: Path, model: Path) -> None:
    held = api.DataLooks(most=2)
    first = api.look_at_rows(str(file), str(model), held=held, **SETTINGS)
    assert api.look_at_rows(str(file), str(model), held=held, **SETTINGS) is first
    other = api.look_at_rows(str(file), str(model), held=held, **{**SETTINGS, "data.max_length": 128})
    assert other is not first and other.key != first.key
    file.write_bytes(file.read_bytes().replace(b"What is 1 and 1", b"What is 7 and 7"))
    assert api.look_at_rows(str(file), str(model), held=held, **SETTINGS) is not first


def test_of_changed_data_only_the_changed_rows_are_encoded(
    file: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[int] = []

    def counted(chunk: Any, *rest: Any) -> Any:
        encoded.extend(example.number for example in chunk)
        return encode_chunk(chunk, *rest)

    monkeypatch.setattr(known_rows, "encode_chunk", counted)
    held = api.DataLooks()
    seen = api.look_at_rows(str(file), str(model), held=held, **SETTINGS)
    del encoded[:]
    fixed = api.fix_rows(seen, [*mended(seen)[:2], api.LeaveOut(rows=(1, BROKEN))])
    settings = {"model.name": str(model), "task": "causal_lm", "data.max_length": 256, "data.holdout": 0.2}
    after = api.look_at_rows(api.load(named={**settings, **fixed.settings}), held=held)
    plain = api.look_at_rows(api.load(named={**settings, **fixed.settings}))
    assert sorted(encoded[: len(encoded) - len(plain.rows)]) == [EMPTY - 1, LONG - 1]
    assert after.check.validated == plain.check.validated


class Stopped(Exception):
    """A person changed their mind."""


class Stopping:
    """A reporter that ends the work at once."""

    def progress(self, done: int, total: int) -> None:
        raise Stopped(done, total)

    def note(self, text: str) -> None:
        pass


def test_a_look_is_stopped_by_its_reporter(file: Path, model: Path) -> None:
    held = api.DataLooks()
    with pytest.raises(Stopped):
        api.look_at_rows(str(file), str(model), held=held, reporter=Stopping(), **SETTINGS)
    assert api.look_at_rows(str(file), str(model), held=held, **SETTINGS).counts


def test_columns_are_mapped_without_a_new_file(tmp_path: Path, model: Path, home: Path) -> None:
    path = tmp_path / "odd.jsonl"
    path.write_text(
        "".join(json.dumps({"question": f"q{n}", "answer": f"a{n}", "better": f"b{n}"}) + "\n" for n in range(9))
    )
    seen = look(path, model)
    fixed = api.fix_rows(seen, [api.MapColumns(columns={"completion": "better"})])
    assert fixed.settings == {"data.map": {"completion": "better"}} and not (home / "fixed_data").exists()
    both = api.fix_rows(seen, [*fixed.fixes, api.LeaveOut(rows=(2,))])
    after = api.look_at_rows(api.load(named={"model.name": str(model), **both.settings}))
    assert after.row(1).example and after.row(1).example.messages[-1].content == "b0"
    assert [after.original(row) for row in after.rows] == [1, *range(3, 10)]


@pytest.mark.parametrize(
    ("fix", "code"),
    [
        (api.LeaveOut(rows=(4, 99)), "E265"),
        (api.Cut(row=4, column="nothing", characters=3), "E266"),
        (api.SetRow(row=4, text='{"question": '), "E267"),
        (api.SetRow(row=4, text="[1, 2"), "E267"),
        (api.SetCell(row=BROKEN, column="answer", value="x"), "E267"),
        (api.SetCell(row=4, column="answer", value="half \ud800"), "E267"),
        (api.SetCell(row=4, column="answer", value="long" * 2**18), "E267"),
    ],
)
def test_a_change_that_does_not_fit_is_refused_and_leaves_nothing(
    fix: api.RowFix, code: str, tmp_path: Path, model: Path, home: Path
) -> None:
    as_jsonl(tmp_path / "faulty.jsonl")
    with pytest.raises(DataError) as refused:
        api.fix_rows(look(tmp_path / "faulty.jsonl", model), [fix])
    assert [problem.code for problem in refused.value.problems] == [code]
    assert list((home / "fixed_data").iterdir()) == []


def test_held_out_files_are_mended_too(tmp_path: Path, model: Path) -> None:
    folder = tmp_path / "both"
    folder.mkdir()
    row = '{"question": "q%d", "answer": "%s"}\n'
    (folder / "train.jsonl").write_text("".join(row % (n, "a") for n in range(6)))
    (folder / "validation.jsonl").write_text("".join(row % (n, "" if n == 12 else "a") for n in range(10, 14)))
    seen = api.look_at_rows(str(folder), str(model), task="causal_lm")
    assert numbers(seen, "empty") == [6 + 3]
    fixed = api.fix_rows(seen, [api.SetCell(row=9, column="answer", value="b"), api.LeaveOut(rows=(1, 10))])
    after = api.look_at_rows(api.load(named={"model.name": str(model), "task": "causal_lm", **fixed.settings}))
    summary = after.check.validated.summary
    assert (after.counts, summary.used, summary.held_out) == ({}, 5, 3)
    assert after.row(9).example and after.row(9).example.messages[-1].content == "b"
    assert [after.original(row) for row in after.rows] == [2, 3, 4, 5, 6, 7, 8, 9]


def test_parquet_is_mended_like_any_other(tmp_path: Path, model: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    arrow = pytest.importorskip("pyarrow")
    path = tmp_path / "faulty.parquet"
    parquet.write_table(arrow.Table.from_pylist(rows()), path)
    before = path.read_bytes()
    seen = look(path, model)
    assert (numbers(seen, "empty"), numbers(seen, "duplicate")) == ([EMPTY], [TWICE])
    fixed = api.fix_rows(seen, [api.SetCell(row=EMPTY, column="answer", value="6"), api.LeaveOut(rows=(TWICE,))])
    after = again(fixed, model)
    assert set(after.counts) == {"truncated", "conflict"}
    assert path.read_bytes() == before


def test_plan_and_card_name_the_original_and_the_changes(file: Path, model: Path) -> None:
    from tunewright.rundir.model_card import _fixed

    seen = look(file, model)
    fixed = api.fix_rows(seen, mended(seen))
    plan = api.plan(
        api.load(named={"model.name": str(model), "task": "causal_lm", "data.max_length": 256, **fixed.settings})
    )
    info = plan.facts.data.fixed
    assert info and list(info.originals) == [str(file)]
    assert info.originals[str(file)] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert (info.num_fixes, info.num_changed, info.num_left_out) == (5, 3, 2)
    assert f"`{file.name}`" in _fixed(plan) and str(file.parent) not in _fixed(plan)


def test_bytes_that_are_no_text_stay_what_they_were(tmp_path: Path, model: Path) -> None:
    path = tmp_path / "bytes.jsonl"
    lines = [json.dumps(row).encode() for row in rows()]
    lines[7] = '{"question": "八加八是多少？", "answer": "十六。"}'.encode()
    lines[6] = b'{"question": "7?", "answer": "\x80\xfe"}'
    path.write_bytes(b"\n".join(lines) + b"\n")
    seen = look(path, model)
    assert numbers(seen, "damaged") == [7]
    fixed = api.fix_rows(seen, [api.LeaveOut(rows=(1,))])
    written = (fixed.folder / "bytes.jsonl").read_bytes().split(b"\n")
    assert written[6] == lines[6] and written[0] == b""
    after = again(fixed, model)
    assert [(after.original(row), row.code) for row in after.of_kind("damaged")] == [(7, "E205")]
    removed = api.fix_rows(seen, [api.LeaveOut(rows=(7,), code="E205")])
    assert "\\udc80\\udcfe" in str(removed.changes[0].before) and removed.changes[0].after is None


def test_a_typed_cell_is_text_where_text_was_and_json_elsewhere() -> None:
    assert api.typed_cell("[1]", "text", 1) == "[1]"
    assert api.typed_cell("1", None, 1) == "1"
    assert api.typed_cell("[1, 2]", [0], 1) == [1, 2]
    assert api.typed_cell("7", 3, 1) == 7
    with pytest.raises(TunewrightError):
        api.typed_cell("[1", [0], 1)


def test_a_foreign_folder_is_never_taken_for_mended_rows(tmp_path: Path, file: Path, model: Path) -> None:
    seen = look(file, model)
    fixed = api.fix_rows(seen, mended(seen))
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in fixed.folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    assert fixed_data.made_of(str(fixed.folder / "faulty.jsonl")) is not None
    assert fixed_data.made_of(str(copy / "faulty.jsonl")) is None


def test_a_copy_is_made_from_the_command_line(tw: Any, model: Path, tmp_path: Path) -> None:
    as_jsonl(tmp_path / "faulty.jsonl")
    words = ("data", "fix", "faulty.jsonl", "--model", str(model), "--task", "causal_lm", "--leave-out", "E203")
    ended = tw(*words, "--leave-out", "E204", "--keep-first", "--json")
    assert ended.code == 0, ended.err
    (path,) = ended.json["paths"]
    assert sorted(change["row"] for change in ended.json["changes"]) == [EMPTY, TWICE, BROKEN]
    checked = tw("data", "check", path, "--model", str(model), "--task", "causal_lm", "--json")
    assert checked.json["account"]["rows"] == 13 and checked.json["ok"]
    shown = tw(*words)
    assert "1 row left out of 16" in shown.out and "tunewright train" in shown.out + shown.err
    assert "nothing was written" in tw(*words[:-1], "E232").out


def test_repeats_among_rows_that_are_not_in_memory_are_left_out_too(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspect_inputs, "ROWS_IN_MEMORY", 20)
    path = tmp_path / "many.jsonl"
    questions = [*range(1, 50), 3, 48, 48]
    lines = [json.dumps({"question": f"What is {n}?", "answer": f"It is {n}."}) for n in questions]
    path.write_text("\n".join(lines) + "\n")
    seen = look(path, model)
    assert len(seen.rows) < len(lines)
    repeated = seen.numbers_of("duplicate")
    assert repeated == seen.numbers_with("W211") == seen.originals(repeated) == [50, 51, 52]
    fixed = api.fix_rows(seen, [api.LeaveOut(change="keep_first", rows=tuple(repeated), code="W211")])
    left = look(fixed.paths[0], model)
    assert not left.numbers_of("duplicate") and left.check.validated.summary.rows == 49
    mended = api.fix_rows(seen, [api.LeaveOut(rows=(2,), code="W212")])
    assert again(mended, model).originals([47, 49, 50, 51]) == [48, 50, 51, 52]
