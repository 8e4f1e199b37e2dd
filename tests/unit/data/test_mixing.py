"""Rows of several sources: what is taken of each, what is counted, and that nothing is on both sides."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from tunewright.config.run_config import DataConfig
from tunewright.config.tasks import Task
from tunewright.data.files.readers import Reading
from tunewright.data.load_examples import data_fingerprint, load_examples
from tunewright.data.rejected_rows import left_out
from tunewright.data.row_shares import share_of
from tunewright.data.tokenized.tokenizer import TextTokenizer
from tunewright.data.train_eval_split import RowSource
from tunewright.data.validation import ValidatedData, judge, validate_data
from tunewright.errors import DataError

WORDS = [f"w{n}" for n in range(2000)]


@pytest.fixture
def tokenizer() -> TextTokenizer:
    backend = Tokenizer(models.WordLevel({"[UNK]": 0, "</s>": 1, **{w: n + 2 for n, w in enumerate(WORDS)}}, "[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    template = "{% for m in messages %}{{ m['content'] }} {% endfor %}</s>"
    return TextTokenizer(backend, {"unk_token": "[UNK]"}, template, (1,), frozenset({"</s>"}), 0)


def pairs(first: int, last: int) -> list[dict[str, Any]]:
    return [{"prompt": f"w{n} w{n + 1}", "completion": f"w{n}"} for n in range(first, last)]


def write(path: Path, rows: Sequence[Any]) -> str:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return str(path)


def validated(config: DataConfig, tokenizer: TextTokenizer, task: Task = "causal_lm", **options: Any) -> ValidatedData:
    length = options.pop("max_length", 64)
    return validate_data(load_examples(config, 7, task, **options), config, tokenizer, task=task, max_length=length)


def adds_up(result: ValidatedData) -> None:
    summary = result.summary
    assert summary.rows == summary.used + summary.held_out + summary.dropped + summary.not_drawn
    for source in summary.sources:
        assert source.rows == source.used + source.held_out + source.dropped + source.not_drawn
    for name in ("rows", "used", "held_out", "dropped", "not_drawn"):
        assert sum(getattr(source, name) for source in summary.sources) == getattr(summary, name), name


@pytest.mark.parametrize("weight", [0.01, 0.3, 0.5, 1.0, 1.25, 2.0, 2.5])
@pytest.mark.parametrize("num_rows", [0, 1, 7, 100])
def test_a_weight_is_how_often_each_row_counts(weight: float, num_rows: int) -> None:
    share = share_of(RowSource("a", Reading(), weight=weight), num_rows, 3)
    times = [share.times(place) for place in range(num_rows)]
    assert sum(times) == int(weight) * num_rows + round((weight - int(weight)) * num_rows)
    assert all(int(weight) <= count <= int(weight) + 1 for count in times)


def test_rows_are_drawn_by_the_seed_and_not_the_first() -> None:
    source = RowSource("a", Reading(), rows=20)
    drawn = [{p for p in range(100) if share_of(source, 100, seed).times(p)} for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(drawn[0]) == len(drawn[2]) == 20
    assert drawn[0] != set(range(20))
    wider = share_of(RowSource("a", Reading(), rows=50), 100, 1)
    assert all(wider.times(place) for place in drawn[0]), "fewer rows are some of the more"
    assert sum(share_of(source, 5, 1).times(place) for place in range(5)) == 5


def test_forms_and_columns_are_recognised_for_each_source(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    turns = [
        {"messages": [{"role": "user", "content": f"w{n}"}, {"role": "assistant", "content": "w1"}]} for n in range(9)
    ]
    alpaca = [{"instruction": f"w{n} w9", "input": "", "output": "w3"} for n in range(20, 31)]
    (tmp_path / "c.csv").write_text("question,answer\n" + "".join(f"w{n} w7,w5\n" for n in range(40, 53)))
    sources = [write(tmp_path / "a.jsonl", turns), write(tmp_path / "b.jsonl", alpaca), str(tmp_path / "c.csv")]
    config = DataConfig(train=sources)
    result = validated(config, tokenizer)
    assert [source.format for source in result.summary.sources] == ["messages", "alpaca", "question_answer"]
    assert result.summary.format == "mixed" and result.summary.columns == {}
    assert [source.rows for source in result.summary.sources] == [9, 11, 13]
    assert [(source.start, source.last) for source in result.summary.sources] == [(0, 9), (9, 11), (20, 13)]
    adds_up(result)
    numbers = [row.number for row in (*result.train, *result.held_out)]
    assert sorted(numbers) == list(range(1, 34))


def test_the_account_of_shares_adds_up_and_rows_are_repeated_in_training_alone(
    tmp_path: Path, tokenizer: TextTokenizer
) -> None:
    names = [write(tmp_path / f"{name}.jsonl", pairs(n, n + 40)) for name, n in (("a", 0), ("b", 100), ("c", 200))]
    train = [{"path": names[0], "weight": 0.3}, {"path": names[1], "rows": 15}, {"path": names[2], "weight": 2.5}]
    config = DataConfig(train=train, holdout=0.2)
    result = validated(config, tokenizer)
    adds_up(result)
    assert [source.not_drawn for source in result.summary.sources] == [28, 25, 0]
    times = Counter(row.number for row in result.train)
    assert {times[number] for number in times if number <= 80} == {1}
    of_c = Counter(count for number, count in times.items() if number > 80)
    assert set(of_c) == {2, 3} and of_c[2] + of_c[3] == result.summary.sources[2].used
    assert len({row.number for row in result.held_out}) == len(result.held_out) > 0
    assert not {row.number for row in result.held_out} & set(times)
    assert result.summary.blocks.train == sum(times.values()) == sum(s.sequences for s in result.summary.sources)
    assert result.summary.tokens == sum(source.tokens for source in result.summary.sources)


def test_duplicates_across_files_are_counted_and_stay_on_one_side(tmp_path: Path) -> None:
    names = [write(tmp_path / "a.jsonl", pairs(0, 60)), write(tmp_path / "b.jsonl", pairs(30, 90))]
    loaded = load_examples(DataConfig(train=names, holdout=0.3), 5)
    assert len(loaded.duplicates) == 30
    sides = [{str(example.messages) for example in side} for side in (loaded.train, loaded.held_out)]
    assert sides[0] and sides[1] and not sides[0] & sides[1]


@pytest.mark.parametrize("seed", range(8))
def test_no_source_is_held_out_entirely(tmp_path: Path, seed: int) -> None:
    names = [write(tmp_path / f"{n}.jsonl", pairs(100 * n, 100 * n + count)) for n, count in enumerate((1, 2, 1, 30))]
    loaded = load_examples(DataConfig(train=names, holdout=0.5), seed)
    assert all(any(source.holds(example.number) for example in loaded.train) for source in loaded.sources)
    assert loaded.held_out and loaded.num_train == len(loaded.train) == 34 - len(loaded.held_out)


def test_held_out_rows_of_a_file_that_any_source_has_are_set_aside(tmp_path: Path) -> None:
    names = [write(tmp_path / "a.jsonl", pairs(0, 20)), write(tmp_path / "b.jsonl", pairs(50, 70))]
    test = write(tmp_path / "test.jsonl", [*pairs(60, 62), *pairs(5, 6), *pairs(100, 104)])
    loaded = load_examples(DataConfig(train=names, holdout=test), 5)
    assert (len(loaded.leaked), len(loaded.held_out), len(loaded.train)) == (3, 4, 40)


@pytest.mark.parametrize("keep", [10, 30, 1000])
def test_rows_that_are_not_kept_make_the_same_split(tmp_path: Path, keep: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunewright.data.deduplication.MAX_HELD_OUT_ROWS", 12)
    names = [write(tmp_path / f"{name}.jsonl", pairs(n, n + 60)) for name, n in (("a", 0), ("b", 100), ("c", 200))]
    config = DataConfig(train=[names[0], {"path": names[1], "weight": 0.5}, names[2]], holdout=0.1)
    whole, part = load_examples(config, 3), load_examples(config, 3, keep=keep)
    assert part.held_out == whole.held_out
    assert (part.num_train, part.rows_in, part.not_drawn) == (whole.num_train, 180, 30)
    if keep < 100:
        of_each = [sum(source.holds(example.number) for example in part.train) for source in part.sources]
        assert len(part.train) <= keep + 3
        assert all(abs(count - keep * size / 150) <= 1 for count, size in zip(of_each, (60, 30, 60), strict=True))


def test_errors_name_the_own_file_and_row(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    damaged = [*pairs(0, 5), '{"prompt": ', {"prompt": "w1"}, {"prompt": "w2 " * 80, "completion": "w4"}]
    names = [write(tmp_path / "a.jsonl", pairs(100, 112)), write(tmp_path / "b.jsonl", damaged)]
    config = DataConfig(train=names, skip_bad=True, max_bad=1, holdout=0)
    result = validated(config, tokenizer)
    adds_up(result)
    places = [(p.where.file, p.where.line, p.values["row"]) for p in result.loaded.problems]
    assert places == [(names[1], line, line) for line in (6, 7, 8)]
    assert [source.dropped for source in result.summary.sources] == [0, 3]
    assert result.summary.numbers["damaged"] == [18] and result.summary.numbers["masked_out"] == [20]
    records = left_out(result.loaded, config)
    assert [(record.file, record.row) for record in records] == [(names[1], row) for row in (6, 7, 8)]
    assert records[0].text == '{"prompt": ' and "w2 w2" in records[2].text


def test_what_is_wrong_with_several_sources_is_said_at_once(tmp_path: Path) -> None:
    good = write(tmp_path / "good.jsonl", pairs(0, 9))
    odd = write(tmp_path / "odd.jsonl", [{"alpha": 1, "beta": 2}])
    empty = write(tmp_path / "empty.jsonl", [])
    with pytest.raises(DataError) as caught:
        load_examples(DataConfig(train=[good, odd, empty]), 0)
    assert [(p.code, p.where.file) for p in caught.value.problems] == [("E211", odd), ("E210", empty)]
    with pytest.raises(DataError) as caught:
        load_examples(DataConfig(train=[str(tmp_path / "x.jsonl"), good, str(tmp_path / "y.jsonl")]), 0)
    assert [problem.code for problem in caught.value.problems] == ["E201", "E201"]


def test_the_same_file_twice_is_refused_however_it_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    name = write(folder / "a.jsonl", pairs(0, 9))
    (tmp_path / "link.jsonl").symlink_to(name)
    monkeypatch.chdir(tmp_path)
    for other in (name, "folder/a.jsonl", "./folder/../folder/a.jsonl", "link.jsonl", str(folder)):
        with pytest.raises(DataError) as caught:
            load_examples(DataConfig(train=[name, other]), 0)
        assert [problem.code for problem in caught.value.problems] == ["E264"]


def test_labels_are_those_of_all_files(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    files = [
        write(tmp_path / f"{name}.jsonl", [{"text": f"w{start + n}", "label": labels[n % 2]} for n in range(20)])
        for name, start, labels in (("a", 0, "xy"), ("b", 50, "yz"))
    ]
    result = validated(DataConfig(train=files), tokenizer, "seq_cls")
    assert result.loaded.labels == ("x", "y", "z")
    adds_up(result)


def test_tagged_words_of_conll_and_of_lists_are_mixed(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    (tmp_path / "a.conll").write_text("".join(f"w{n} B-PER\nw1 O\n\n" for n in range(10)))
    lists = write(tmp_path / "b.jsonl", [{"tokens": [f"w{n}", "w2"], "tags": ["B-LOC", "O"]} for n in range(20, 30)])
    result = validated(DataConfig(train=[str(tmp_path / "a.conll"), lists]), tokenizer, "token_cls")
    assert result.loaded.labels == ("B-LOC", "B-PER", "O")
    adds_up(result)


def test_preferences_in_one_of_the_files_are_refused(tmp_path: Path) -> None:
    ranked = write(tmp_path / "r.jsonl", [{"prompt": "a", "chosen": "b", "rejected": "c"}] * 3)
    with pytest.raises(DataError) as caught:
        load_examples(DataConfig(train=[write(tmp_path / "a.jsonl", pairs(0, 9)), ranked]), 0)
    assert [(p.code, p.where.file) for p in caught.value.problems] == [("E233", ranked)]


def test_a_source_has_its_own_map_and_split(tmp_path: Path) -> None:
    odd = write(tmp_path / "odd.jsonl", [{"alpha": f"w{n}", "beta": "w1"} for n in range(9)])
    folder = tmp_path / "folder"
    folder.mkdir()
    write(folder / "train.jsonl", pairs(0, 9))
    write(folder / "extra_test.jsonl", pairs(20, 25))
    train = [{"path": odd, "map": {"prompt": "alpha", "completion": "beta"}}, {"path": str(folder), "split": "test"}]
    loaded = load_examples(DataConfig(train=train, holdout=0), 0)
    assert [source.rows_in for source in loaded.sources] == [9, 5]


def test_texts_go_on_in_blocks_beside_conversations_that_do_not(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    book = write(tmp_path / "book.jsonl", [{"text": " ".join(WORDS[:500])}, {"text": "w1 w2"}])
    asked = write(tmp_path / "a.jsonl", pairs(0, 20))
    result = validated(DataConfig(train=[asked, book], holdout=0), tokenizer, max_length=64)
    blocks = [row for row in result.train if row.number == 21]
    tokens = [token for i, block in enumerate(blocks) for token in block.input_ids[i > 0 :]]
    assert tokens == [tokenizer.backend.token_to_id(word) for word in WORDS[:500]] + [1]
    assert result.summary.lengths["longest"] == 64, "a text needs no more than a block"
    assert result.summary.counts["truncated"] == 0
    adds_up(result)


def test_repeated_lines_of_texts_do_not_stop_a_mix(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    texts = write(tmp_path / "t.jsonl", [{"text": "w1 w2 w3"}] * 40)
    asked = write(tmp_path / "a.jsonl", pairs(0, 10))
    config = DataConfig(train=[asked, texts], holdout=0)
    assert judge(validated(config, tokenizer), config) == []
    config = DataConfig(train=[texts, write(tmp_path / "b.jsonl", pairs(0, 1) * 80)], holdout=0)
    assert [problem.code for problem in judge(validated(config, tokenizer), config)] == ["E215"]


def test_fewer_rows_than_asked_for_are_told(tmp_path: Path) -> None:
    name = write(tmp_path / "a.jsonl", pairs(0, 9))
    loaded = load_examples(DataConfig(train=[{"path": name, "rows": 50}], holdout=0), 0)
    assert [note.code for note in loaded.notes] == ["W246"] and loaded.num_train == 9


def test_a_weight_that_draws_no_row_is_told(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    kept, lost = write(tmp_path / "a.jsonl", pairs(0, 20)), write(tmp_path / "b.jsonl", pairs(100, 120))
    config = DataConfig(train=[kept, {"path": lost, "weight": 0.02}])
    loaded = load_examples(config, 7, "causal_lm")
    assert [(note.code, note.values["path"]) for note in loaded.notes] == [("W252", lost)]
    alone = DataConfig(train=[{"path": lost, "weight": 0.02}])
    assert [problem.code for problem in judge(validated(alone, tokenizer), alone)] == ["E270"]


def test_the_fingerprint_notices_a_change_in_any_source(tmp_path: Path) -> None:
    names = [write(tmp_path / f"{name}.jsonl", pairs(n, n + 9)) for name, n in (("a", 0), ("b", 50))]
    before = data_fingerprint(DataConfig(train=names))
    assert before == data_fingerprint(DataConfig(train=[{"path": names[0], "weight": 1}, names[1]]))
    assert before != data_fingerprint(DataConfig(train=names[::-1]))
    write(tmp_path / "b.jsonl", pairs(50, 60))
    assert before != data_fingerprint(DataConfig(train=names))


@pytest.mark.parametrize(("row", "code"), [
    ({"prompt": "q", "chosen": "a", "rejected": "b"}, "E233"), ({"prompt": "q", "completion": "a", "label": False}, "E234"),
])  # fmt: skip
def test_preferences_as_held_out_rows_are_refused(tmp_path: Path, row: dict[str, Any], code: str) -> None:
    train = write(tmp_path / "a.jsonl", [{"prompt": f"q{n}", "completion": "a"} for n in range(4)])
    with pytest.raises(DataError) as caught:
        load_examples(DataConfig(train=train, holdout=write(tmp_path / "b.jsonl", [row])), 0)
    assert [problem.code for problem in caught.value.problems] == [code]


@pytest.mark.parametrize(("train_on", "codes"), [("answers", []), ("all", ["W249"])])
def test_answers_that_are_marked_and_learned_all_the_same_are_told(
    tmp_path: Path, tokenizer: TextTokenizer, train_on: str, codes: list[str]
) -> None:
    turns = [
        [{"role": "user", "content": f"w{n}"}, {"role": "assistant", "content": "w1", "weight": 0},
         {"role": "user", "content": "w2"}, {"role": "assistant", "content": "w3"}]
        for n in range(4)
    ]  # fmt: skip
    path = write(tmp_path / "a.jsonl", [{"messages": row} for row in turns])
    result = validated(DataConfig.model_validate({"train": path, "train_on": train_on}), tokenizer)
    assert [problem.code for problem in result.warnings] == codes
