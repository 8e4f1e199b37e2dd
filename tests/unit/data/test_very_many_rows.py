"""Of very many rows a few are in memory; all others are read in their turn, and give what they would all at once."""

import json
from pathlib import Path

import pytest

from tunewright.config.run_config import DataConfig
from tunewright.data import deduplication, load_examples, stored_examples
from tunewright.data.examples.formats import Example, Message
from tunewright.data.load_examples import each_training_example
from tunewright.data.loaded_examples import LoadedExamples


class Kept(dict[str, bytes]):
    """A store in memory."""

    def read(self, key: str) -> bytes | None:
        return self.get(key)

    def write(self, key: str, content: bytes) -> None:
        self[key] = content


@pytest.fixture(autouse=True)
def _keeps_small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_examples, "KEPT_FROM_BYTES", 0)


def config(folder: Path, lines: list[str], name: str = "rows.jsonl", **more: object) -> DataConfig:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("\n".join(lines) + "\n")
    return DataConfig(train=str(folder / name), **more)  # type: ignore[arg-type]


def questions(count: int, *, damaged: int = -1) -> list[str]:
    rows = [
        json.dumps({"prompt": f"question {number % 90}", "completion": f"answer {number}"}) for number in range(count)
    ]
    return [row[:-3] if number == damaged else row for number, row in enumerate(rows)]


@pytest.mark.parametrize("holdout", [0, 0.2])
def test_rows_beyond_those_in_memory_come_in_the_same_order(tmp_path: Path, holdout: float) -> None:
    data = config(tmp_path, questions(2500, damaged=7), holdout=holdout, skip_bad=True)
    whole, some = (load_examples.load_examples(data, 3, keep=keep) for keep in (None, 30))
    assert (len(some.train), some.num_train) == (30, whole.num_train)
    assert list(each_training_example(some, data, 3)) == whole.train == list(each_training_example(whole, data, 3))
    assert some.held_out == whole.held_out and some.conflicts == whole.conflicts


@pytest.mark.parametrize("holdout", [0, 0.2])
def test_of_several_sources_each_gives_its_rows_in_their_order(tmp_path: Path, holdout: float) -> None:
    config(tmp_path, questions(1700, damaged=3), "a.jsonl")
    config(tmp_path, [json.dumps({"text": f"text {number}"}) for number in range(1300)], "b.jsonl")
    shares = [{"path": str(tmp_path / "a.jsonl"), "weight": 0.4}, {"path": str(tmp_path / "b.jsonl"), "weight": 1.5}]
    data = DataConfig(train=shares, holdout=holdout, skip_bad=True)  # type: ignore[arg-type]
    whole, some = (load_examples.load_examples(data, 3, keep=keep) for keep in (None, 50))
    assert len(some.train) < some.num_train == whole.num_train
    assert list(each_training_example(some, data, 3)) == whole.train
    assert [some.times(example.number) for example in whole.train] == [whole.times(e.number) for e in whole.train]


def test_labels_and_their_kind_are_read_alike(tmp_path: Path) -> None:
    rows = [json.dumps({"text": f"text {number}", "label": number / 4}) for number in range(300)]
    data = config(tmp_path, rows, holdout=0.1)
    whole, some = (load_examples.load_examples(data, 3, "seq_cls", keep=keep) for keep in (None, 20))
    assert list(each_training_example(some, data, 3)) == whole.train
    assert isinstance(whole.train[0].target, float)


def equal(one: LoadedExamples, other: LoadedExamples) -> bool:
    return {**vars(one), "notes": [note.message() for note in one.notes]} == {
        **vars(other), "notes": [note.message() for note in other.notes]
    }  # fmt: skip


@pytest.mark.parametrize("task", ["causal_lm", "seq_cls", "token_cls"])
def test_what_was_read_is_kept_by_content_wherever_it_lies(tmp_path: Path, task: str) -> None:
    rows = {
        "causal_lm": questions(200, damaged=5),
        "seq_cls": [json.dumps({"text": f"text {n}", "label": ["a", "b"][: n % 3]}) for n in range(200)],
        "token_cls": [json.dumps({"tokens": ["w", f"{n}"], "tags": ["O", "B-X"]}) for n in range(200)],
    }[task]
    store = Kept()
    here, there = (config(tmp_path / name, rows, skip_bad=True) for name in ("here", "there"))
    first = load_examples.load_examples(here, 3, task, keep=20, store=store)  # type: ignore[arg-type]
    assert len(store) == 1
    assert equal(load_examples.load_examples(here, 3, task, keep=20, store=store), first)  # type: ignore[arg-type]
    moved = load_examples.load_examples(there, 3, task, keep=20, store=store)  # type: ignore[arg-type]
    assert len(store) == 1
    assert equal(moved, load_examples.load_examples(there, 3, task, keep=20))  # type: ignore[arg-type]
    assert list(each_training_example(moved, there, 3)) == load_examples.load_examples(there, 3, task).train  # type: ignore[arg-type]
    (tmp_path / "here" / "rows.jsonl").write_text("\n".join(rows[1:]) + "\n")
    load_examples.load_examples(here, 3, task, keep=20, store=store)  # type: ignore[arg-type]
    assert len(store) == 2


def test_few_rows_are_not_kept(tmp_path: Path) -> None:
    store = Kept()
    load_examples.load_examples(config(tmp_path, questions(20)), 3, keep=100, store=store)
    assert not store


def test_what_was_kept_and_changed_is_read_anew(tmp_path: Path) -> None:
    store, data = Kept(), config(tmp_path, questions(200))
    first = load_examples.load_examples(data, 3, keep=20, store=store)
    (key,) = store
    for harm in (b"", store[key][:-1], store[key].replace(b"answer 3", b"answer 4")):
        store[key] = harm
        assert equal(load_examples.load_examples(data, 3, keep=20, store=store), first)


CALL = {"type": "function", "function": {"name": "n", "arguments": {"b": [1, 2.0]}}}
TURNS = (Message("user", "q"), Message("assistant", "a", "r", (CALL,), learn=False))
EXAMPLES = [
    Example(1, "f", 2, messages=TURNS),
    Example(1, "f", 2, text="\udc80 half", pair="p", target=("a", "b")),
    Example(1, "f", 2, text="t", target=()),
    Example(1, "f", 2, text="t", target=0.0),
    Example(1, "f", 2, text="t", target="x"),
    Example(1, "f", 2, words=("a", "b"), tags=("O", "B"), cut_turns=3, unused_keys=("k",)),
    Example(1, "f", 2, messages=(Message("user", "q"),), tools=({"name": "t", "parameters": {"type": "object"}},)),
]  # fmt: skip


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_comes_back_from_json_as_it_was(example: Example) -> None:
    back = stored_examples.from_json(json.loads(json.dumps(stored_examples.as_json(example))))
    assert back == example and repr(back) == repr(example)


def test_rows_are_compared_in_parts_with_the_same_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    def row(number: int) -> Example:
        turns = (Message("user", f"q{number % 40}"), Message("assistant", f"a{number % 60}"))
        return Example(number, "f", number, messages=turns)

    rows = deduplication.RowHashes(row(number) for number in range(500))
    whole = deduplication.duplicates(rows), deduplication.conflicts(rows)
    monkeypatch.setattr(deduplication, "PART_ROWS", 17)
    assert (deduplication.duplicates(rows), deduplication.conflicts(rows)) == whole
    assert all(whole)
