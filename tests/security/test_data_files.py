"""Data files of strangers: what is not rows is refused by name, what is huge is not unpacked, nothing is obeyed."""

import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import random
import subprocess
import sys
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.hostile import TRIED, model_folder
from tunewright import api
from tunewright.cli.console import Channel
from tunewright.cli.problem_display import print_problems
from tunewright.data.examples.label_names import _read_name
from tunewright.data.examples.row_cells import RowReport
from tunewright.data.files.readers import EXTENSIONS, RawRow, read_rows
from tunewright.errors import Problem, TunewrightError, Where

BOMB = b"\0" * 10**7
NASTY = "\x1b[2J\x1b]0;owned\x07\x9b31m\x08\x7f\u202e\u2066\ud800"


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../rows.jsonl", BOMB)
    return buffer.getvalue()


PACKED = {"gzip": gzip.compress(BOMB), "bzip2": bz2.compress(BOMB), "xz": lzma.compress(BOMB), "zip": zipped()}


@pytest.mark.parametrize("extension", [".json", ".jsonl", ".csv", ".tsv", ".txt", ".conll"])
@pytest.mark.parametrize("kind", PACKED)
def test_an_archive_under_another_name_is_not_unpacked(tmp_path: Path, kind: str, extension: str) -> None:
    path = tmp_path / f"rows{extension}"
    path.write_bytes(PACKED[kind])
    with pytest.raises(TunewrightError, match="E202") as caught:
        read_rows(str(path))
    assert kind in caught.value.problems[0].message()
    TRIED["data files"] += 1


@pytest.mark.parametrize("name", ["rows.pkl", "rows.gz", "rows.zip", "rows.npy", "rows.py", "rows.jsonl.gz", "rows.pt"])
def test_other_files_are_not_read_at_all(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(TunewrightError, match="E202"):
        read_rows(str(tmp_path / name))
    with pytest.raises(TunewrightError, match="E201"):
        read_rows(str(tmp_path))
    TRIED["data files"] += 1


@pytest.mark.parametrize("extension", [e for e in EXTENSIONS if e not in (".txt", ".csv", ".tsv")])
def test_a_pickle_under_another_name_gives_no_row(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"rows{extension}"
    path.write_bytes(pickle.dumps([{"prompt": "a", "completion": "b"}] * 3))
    try:
        reading = read_rows(str(path))
    except TunewrightError as fault:
        assert fault.problems[0].code in ("E205", "E217", "E220")
    else:
        assert not reading.rows and reading.problems
    TRIED["data files"] += 1


def test_a_table_of_more_rows_than_bytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    rows = 3_000_000
    pq.write_table(pa.table({"text": pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int8()), ["x"])}), path)
    assert path.stat().st_size < rows / 10
    with pytest.raises(TunewrightError, match=r"E220.*unpacks"):
        read_rows(str(path))
    TRIED["data files"] += 1


def test_a_table_that_repeats_one_long_text_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 4000, pa.int16()), ["x" * 100_000])
    pq.write_table(pa.table({"text": column}), path, compression="zstd")
    assert path.stat().st_size < 100_000
    with pytest.raises(TunewrightError, match=r"E220.*unpacks"):
        read_rows(str(path))
    TRIED["data files"] += 1


@pytest.mark.parametrize(
    "meta", [b"{", b"[]", b'{"info": {"features": {"a": {"_type": "os.system"}}}}', b'{"info": 5}']
)
def test_names_of_classes_in_a_table_are_data(tmp_path: Path, meta: bytes) -> None:
    table = pa.table({"a": [1, 2]}).replace_schema_metadata({b"huggingface": meta})
    pq.write_table(table, tmp_path / "rows.parquet")
    try:
        read_rows(str(tmp_path / "rows.parquet"))
    except TunewrightError as fault:
        assert fault.problems[0].code == "E220"
    TRIED["data files"] += 1


MUTATE = """
import sys
from pathlib import Path
from tunewright.data.files.readers import read_rows
from tunewright.errors import TunewrightError
folder, refused = Path(sys.argv[1]), 0
for path in sorted(folder.iterdir()):
    try:
        read_rows(str(path))
    except TunewrightError as fault:
        assert fault.problems[0].code == "E220", fault
        refused += 1
print(refused)
"""


@pytest.mark.parametrize("extension", ["parquet", "arrow"])
def test_a_hundred_damaged_tables_end_no_process(tmp_path: Path, extension: str) -> None:
    table = pa.table({"prompt": [f"question {i}" for i in range(50)], "completion": [[str(i)] * 3 for i in range(50)]})
    sound = tmp_path / "sound"
    if extension == "parquet":
        pq.write_table(table, sound)
    else:
        with pa.OSFile(str(sound), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
    draw, folder = random.Random(0), tmp_path / "mutants"
    folder.mkdir()
    for number in range(100):
        content = bytearray(sound.read_bytes())
        for _ in range(draw.choice((1, 2, 8))):
            content[draw.randrange(len(content))] = draw.choice((0, 255, draw.randrange(256)))
        (folder / f"{number:03}.{extension}").write_bytes(content)
        TRIED["data files"] += 1
    ended = subprocess.run([sys.executable, "-c", MUTATE, str(folder)], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert int(ended.stdout) > 10


def test_texts_of_rows_are_shown_and_not_obeyed(tmp_path: Path) -> None:
    row = json.dumps({NASTY: NASTY, "prompt": NASTY})
    (tmp_path / "rows.jsonl").write_text(f'{row}\n{{"a": "{NASTY[0]}"}}\n{NASTY[:8]}\n', errors="surrogatepass")
    reading = read_rows(str(tmp_path / "rows.jsonl"))
    problems = [
        *reading.problems,
        Problem("E207", Where(NASTY, 1, 1, NASTY, 1), {"field": NASTY, "row": 1, "found": NASTY}),
    ]
    assert len(reading.problems) >= 2
    stream = io.StringIO()
    print_problems(problems, Channel(stream, is_tty=False, has_color=False, width=100))
    assert stream.getvalue()
    odd = {char for char in stream.getvalue() if not char.isprintable() and char not in "\n\xa0"}
    assert odd == set()
    TRIED["data files"] += 1


@pytest.mark.parametrize("folder", ["", "train", "deep/deeper"])
def test_a_name_that_is_no_text_is_refused_in_a_folder(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    name = os.fsencode(tmp_path / folder) + b"/rows\xff.jsonl"
    with open(name, "w") as file:  # noqa: PTH123 - a path of bytes
        file.write('{"prompt": "a", "completion": "b"}\n')
    with pytest.raises(TunewrightError, match="E261"):
        read_rows(str(tmp_path))
    TRIED["data files"] += 1


def test_such_a_name_of_a_file_is_told_as_that() -> None:
    with pytest.raises(TunewrightError, match=r"E103.*text in UTF-8.*rename"):
        api.load(named={"model.name": "smollm2", "data.train": os.fsdecode(b"rows\xff.jsonl")})
    TRIED["data files"] += 1


def test_a_text_that_is_no_name_is_no_label(tmp_path: Path) -> None:
    labels = [1e300, -1e300, 2**53 + 0.0, 7.0, "9" * 300, "9" * 301, 10**400, "a b " * 99]
    row = RawRow(1, "a.jsonl", 1, {})
    report = RowReport(row, {})
    names = [_read_name(label, "label", report) for label in labels]
    assert names == ["1e+300", "-1e+300", "9007199254740992.0", "7", "9" * 300, None, None, None]
    assert [problem.code for problem in report.problems] == ["E260"] * 3


def test_damaged_rows_of_two_files_are_counted_each(tmp_path: Path, home: Path) -> None:
    for name in ("train", "held-out"):
        rows = [json.dumps({"prompt": f"{name} {i}", "completion": "b"}) for i in range(9)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join([*rows[:2], "{bad", *rows[3:]]) + "\n")
    model = str(model_folder(tmp_path / "model"))
    sets = [f"data.holdout={tmp_path / 'held-out.jsonl'}", "data.skip_bad=true"]
    summary = api.data_check(str(tmp_path / "train.jsonl"), model, sets=sets).validated.summary
    assert summary.dropped == summary.counts["damaged"] == 2
    assert summary.numbers["damaged"] == [3, 3]
