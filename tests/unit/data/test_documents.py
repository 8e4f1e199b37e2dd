"""Plain text: lines, paragraphs or whole documents, as `data.sample_by` says, and Markdown files."""

from pathlib import Path

import pytest

from tunewright.config.run_config import DataConfig
from tunewright.data.files import plain_text
from tunewright.data.files.readers import read_rows
from tunewright.data.load_examples import load_examples
from tunewright.data.train_eval_split import sides_of, train_sources
from tunewright.errors import DataError

TEXT = "\n\n# One\nA line of it.\n  An indented one.\n\nTwo\tand\tmore\nthe end\n\n"


def texts(path: Path, sample_by: str = "auto") -> list[str]:
    (source,) = train_sources(DataConfig(train=str(path), sample_by=sample_by))
    stream = read_rows(source.path, source.reading)
    assert stream.problems == []
    return [row.value["text"] for row in stream.rows]


@pytest.mark.parametrize("suffix", [".txt", ".md"])
def test_a_document_is_the_whole_text(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_text(TEXT)
    assert texts(path, "document") == [TEXT.strip("\n")]
    assert texts(path, "paragraph") == ["# One\nA line of it.\n  An indented one.", "Two\tand\tmore\nthe end"]
    assert texts(path, "line") == ["# One", "A line of it.", "  An indented one.", "Two\tand\tmore", "the end"]


def test_a_markdown_file_is_one_document_and_a_text_file_as_before(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(TEXT)
    (tmp_path / "a.txt").write_text(TEXT)
    assert texts(tmp_path / "a.md") == [TEXT.strip("\n")]
    assert len(texts(tmp_path / "a.txt")) == 2
    notes = [note.message_in_english() for note in sides_of(DataConfig(train=str(tmp_path / "a.md"))).notes]
    assert len(notes) == 1 and notes[0].startswith("a whole file is a row in")


def test_what_looks_like_a_table_is_a_document_where_that_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("one\ttwo\nthree\tfour\nfive\tsix\n")
    assert texts(path, "document") == ["one\ttwo\nthree\tfour\nfive\tsix"]


def test_line_ends_and_marks_of_other_systems_are_no_part_of_a_document(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffone\r\ntwo\r\n\r\nthree".encode())
    assert texts(path, "document") == ["one\ntwo\n\nthree"]
    path.write_bytes(b"one\rtwo\rthree\r")
    assert texts(path, "document") == ["one\ntwo\nthree"]


def test_an_empty_document_is_no_row_and_a_damaged_one_has_its_place(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(" \n\n\t\n")
    assert texts(tmp_path / "a.md") == []
    (tmp_path / "a.md").write_bytes(b"fine\nno\x00t fine\n")
    (problem,) = read_rows(str(tmp_path / "a.md")).problems
    assert (problem.code, problem.where.line, problem.where.column) == ("E205", 2, 3)


def test_a_document_that_fills_the_memory_is_refused_with_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain_text, "MAX_DOCUMENT_BYTES", 1000)
    (tmp_path / "a.md").write_text("x" * 1001)
    (problem,) = read_rows(str(tmp_path / "a.md")).problems
    assert problem.code == "E213" and problem.values["size"] == 1001


def test_documents_of_a_folder_are_held_out_whole(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"{number:02}.md").write_text(f"# Title {number}\n\nText {number}.\n")
    loaded = load_examples(DataConfig(train=str(tmp_path), holdout=0.2), 0)
    assert (len(loaded.train), len(loaded.held_out)) == (16, 4)
    assert all(example.text.startswith("# Title") for example in (*loaded.train, *loaded.held_out))


def test_markdown_beside_other_data_is_a_note_about_it(tmp_path: Path) -> None:
    (tmp_path / "qa.jsonl").write_text('{"prompt": "a", "completion": "b"}\n' * 3)
    (tmp_path / "how-it-was-made.md").write_text(TEXT)
    loaded = load_examples(DataConfig(train=str(tmp_path), holdout=0), 0)
    assert loaded.rows_in == 3
    assert [note.code for note in loaded.notes] == ["W231"] and "how-it-was-made.md" in loaded.notes[0].message()


def test_a_folder_of_data_beside_markdown_is_still_found(tmp_path: Path) -> None:
    (tmp_path / "guide.md").write_text(TEXT)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "page.md").write_text(TEXT)
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "a.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    assert load_examples(DataConfig(train=str(tmp_path), holdout=0), 0).rows_in == 1


def test_a_readme_alone_is_no_data(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(TEXT)
    with pytest.raises(DataError) as caught:
        load_examples(DataConfig(train=str(tmp_path)), 0)
    assert [problem.code for problem in caught.value.problems] == ["E201"]
