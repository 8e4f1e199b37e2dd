"""Folders: which files are taken for what, what is told of the rest, and that run, fingerprint and quarantine agree."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from tunewright.config.run_config import DataConfig
from tunewright.data.files.readers import read_rows
from tunewright.data.files.split_files import list_folder, split_of
from tunewright.data.load_examples import data_fingerprint, load_examples
from tunewright.data.rejected_rows import left_out
from tunewright.data.train_eval_split import sides_of
from tunewright.errors import DataError, ModelError


def rows(*names: str) -> str:
    return "".join(json.dumps({"prompt": name, "completion": f"answer {name}"}) + "\n" for name in names)


def make_folder(folder: Path, files: Mapping[str, str]) -> str:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return str(folder)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train", "train"), ("mydata_train", "train"), ("train-00000-of-00002", "train"), ("train2024", "train"),
        ("TrainData", "train"), ("TRAIN", "train"), ("训练数据", "train"), ("valid", "validation"), ("dev.v2", "validation"),
        ("data-eval", "validation"), ("heldout", ""), ("test_set", "test"), ("测试集", "test"), ("latest", ""),
        ("trainer", ""), ("contest", ""), ("train_test", ""), ("questions", ""), ("development", ""),
    ],
)  # fmt: skip
def test_names_tell_a_split_by_whole_words(name: str, split: str) -> None:
    assert split_of(name) == split


def test_what_is_trained_held_out_and_left_alone_is_said(tmp_path: Path) -> None:
    files = {
        "train.jsonl": rows("a", "b"),
        "valid.jsonl": rows("c"),
        "test.jsonl": rows("d"),
        "LICENSE.txt": "x",
        "q.xlsx": "x",
    }
    (note,) = sides_of(DataConfig(train=make_folder(tmp_path / "my data", files))).notes
    assert note.message() == "trained: train.jsonl; held out: valid.jsonl; not used: test.jsonl, LICENSE.txt, q.xlsx"
    place = tmp_path / "my data" / "test.jsonl"
    assert note.fixes() == [f"hold the test rows out instead: --set data.holdout='{place}'"]


def test_the_run_its_fingerprint_and_its_quarantine_follow_one_choice(tmp_path: Path) -> None:
    bad = '{"prompt": "x"}\n'
    files = {"train.jsonl": rows("a", "b") + bad, "valid.jsonl": rows("c", "a") + bad, "test.jsonl": rows("d")}
    config = DataConfig(train=make_folder(tmp_path, files), skip_bad=True)
    loaded = load_examples(config, 0)
    assert [example.messages[0].content for example in loaded.train] == ["a", "b"]
    assert [example.messages[0].content for example in loaded.held_out] == ["c"]
    records = left_out(loaded, config)
    assert [(Path(r.file).name, r.line, r.code) for r in records] == [
        ("train.jsonl", 3, "E207"), ("valid.jsonl", 2, "W213"), ("valid.jsonl", 3, "E207"),
    ]  # fmt: skip
    assert all(r.text for r in records)
    before = data_fingerprint(config)
    (tmp_path / "test.jsonl").write_text(rows("other"))
    assert data_fingerprint(config) == before
    (tmp_path / "valid.jsonl").write_text(rows("other"))
    assert data_fingerprint(config) != before
    share = DataConfig(train=config.train, holdout=0.5)
    assert [e.messages[0].content for e in [*load_examples(share, 0).train, *load_examples(share, 0).held_out]] in (
        ["a", "b"], ["b", "a"],
    )  # fmt: skip


def test_tables_about_a_word_of_notes_are_rows(tmp_path: Path) -> None:
    data = {"history_qa.jsonl": rows("a"), "sources.jsonl": rows("b")}
    notes = {"manifest.jsonl": "{}", "Terms of use.txt": "x", "history.md": "x"}
    folder = list_folder(Path(make_folder(tmp_path, {**data, **notes})))
    assert [file.name for file in folder.files[""]] == ["history_qa.jsonl", "sources.jsonl"]
    assert sorted(folder.others) == ["Terms of use.txt", "history.md", "manifest.jsonl"]


def test_a_folder_as_second_data_gives_its_test_rows(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, {"train.jsonl": rows("a", "b"), "test.jsonl": rows("c")})
    loaded = load_examples(DataConfig(train=folder, holdout=folder), 0)
    assert [example.messages[0].content for example in loaded.held_out] == ["c"]


def test_a_saved_dataset_dict_is_read_by_its_splits(tmp_path: Path) -> None:
    import pyarrow as pa

    for split, values in {"train": ["a", "b"], "validation": ["c"], "test": ["d"]}.items():
        folder = tmp_path / "saved" / split
        folder.mkdir(parents=True)
        table = pa.table({"prompt": values, "completion": values})
        with pa.ipc.new_stream(str(folder / "data-00000-of-00001.arrow"), table.schema) as stream:
            stream.write_table(table)
        (folder / "cache-0123456789abcdef.arrow").write_bytes(b"left by map()")
        (folder / "state.json").write_text('{"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}')
        (folder / "dataset_info.json").write_text("{}")
    (tmp_path / "saved" / "dataset_dict.json").write_text('{"splits": ["train", "validation", "test"]}')
    loaded = load_examples(DataConfig(train=str(tmp_path / "saved")), 0)
    assert [example.text or example.messages[0].content for example in loaded.train] == ["a", "b"]
    assert [example.messages[0].content for example in loaded.held_out] == ["c"]
    assert "not used: test/data-00000-of-00001.arrow" in loaded.notes[0].message()


@pytest.mark.parametrize("inside", ["train.jsonl", "notes.md", "train", "valid/link.jsonl"])
def test_a_link_that_leads_out_of_the_folder_is_refused(tmp_path: Path, inside: str) -> None:
    outside = tmp_path / "secret"
    outside.mkdir()
    (outside / "rows.jsonl").write_text(rows("secret"))
    folder = tmp_path / "data"
    make_folder(folder, {"a.jsonl": rows("a"), "valid/x.jsonl": rows("b")})
    (folder / inside).symlink_to(outside if inside == "train" else outside / "rows.jsonl")
    with pytest.raises(ModelError, match="E315"):
        list_folder(folder)


def test_a_link_that_a_person_names_is_followed_and_one_within_the_folder_too(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    make_folder(folder, {"store/x.jsonl": rows("a")})
    (folder / "train.jsonl").symlink_to(folder / "store" / "x.jsonl")
    assert [row.value["prompt"] for row in read_rows(str(folder)).rows] == ["a"]
    (tmp_path / "mine.jsonl").symlink_to(folder / "store" / "x.jsonl")
    assert [row.value["prompt"] for row in read_rows(str(tmp_path / "mine.jsonl")).rows] == ["a"]


def test_a_snapshot_of_the_hub_links_into_its_own_blobs(tmp_path: Path) -> None:
    repository = tmp_path / "datasets--me--rows"
    make_folder(repository, {"blobs/abc": rows("a")})
    (repository / "snapshots" / "1").mkdir(parents=True)
    (repository / "snapshots" / "1" / "train.jsonl").symlink_to(repository / "blobs" / "abc")
    assert len(read_rows(str(repository / "snapshots" / "1")).rows) == 1


@pytest.mark.parametrize("name", ["foo.jsonl", "test.jsonl", "notes.csv", "reviews.py"])
def test_a_far_name_or_a_file_that_is_no_data_is_not_offered(tmp_path: Path, name: str) -> None:
    """Names that share their ending alone are far."""
    make_folder(tmp_path, {"train.jsonl": rows("a"), "README.md": "x", "reviews.pyc": ""})
    with pytest.raises(DataError) as fault:
        read_rows(str(tmp_path / name))
    assert [fix for problem in fault.value.problems for fix in problem.fixes() if "did you mean" in fix] == []


@pytest.mark.parametrize("name", ["trian.jsonl", "Train.jsonl", "train.csv", "trains.json"])
def test_a_near_name_is_offered(tmp_path: Path, name: str) -> None:
    make_folder(tmp_path, {"train.jsonl": rows("a"), "other.jsonl": rows("b")})
    with pytest.raises(DataError) as fault:
        read_rows(str(tmp_path / name))
    assert fault.value.problems[0].fixes()[0] == f"did you mean {tmp_path}/train.jsonl?"


def test_what_is_not_there_is_told_with_the_nearest_name(tmp_path: Path) -> None:
    make_folder(tmp_path, {"my rows.jsonl": rows("a"), "inner/x.jsonl": rows("a"), "other/x.jsonl": rows("a")})
    with pytest.raises(DataError) as caught:
        read_rows(str(tmp_path / "my rows.jsnol"))
    (problem,) = caught.value.problems
    assert problem.message() == f'no data at "{tmp_path}/my rows.jsnol": nothing is there'
    assert problem.fixes() == [f"did you mean '{tmp_path}/my rows.jsonl'?"]
    (tmp_path / "my rows.jsonl").unlink()
    with pytest.raises(DataError) as caught:
        read_rows(str(tmp_path))
    (problem,) = caught.value.problems
    assert problem.message() == f'no data at "{tmp_path}": the folder holds no data file'
    assert problem.fixes()[0] == f"it has a folder of data: name {tmp_path}/inner"


def test_a_part_that_is_not_there_is_told(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, {"train.jsonl": rows("a"), "test.jsonl": rows("b")})
    with pytest.raises(DataError) as caught:
        load_examples(DataConfig(train=folder, split="dev"), 0)
    assert caught.value.problems[0].message() == f"{folder} has no part called validation; it has: test, train"
