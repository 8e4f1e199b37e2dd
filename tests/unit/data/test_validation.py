"""The gate for rows with labels: what is counted, what warns, what stops."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from tunewright.config.run_config import DataConfig
from tunewright.config.tasks import Task
from tunewright.data.load_examples import load_examples
from tunewright.data.row_tally import CommonPrefix
from tunewright.data.tokenized.tokenization import TokenizedExample
from tunewright.data.tokenized.tokenizer import TextTokenizer
from tunewright.data.validation import ValidatedData, judge, validate_data
from tunewright.launch.inspect_inputs import data_info

VOCABULARY = {"[UNK]": 0, "</s>": 1, "good": 2, "bad": 3, "so": 4, "very": 5}


@pytest.fixture
def tokenizer() -> TextTokenizer:
    backend = Tokenizer(models.WordLevel(VOCABULARY, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return TextTokenizer(backend, {"unk_token": "[UNK]"}, None, (1,), frozenset({"</s>"}), 0)


def look(
    folder: Path, tokenizer: TextTokenizer, task: Task, rows: Sequence[dict[str, Any]], *,
    held_out: Sequence[dict[str, Any]] = (), **options: Any,
) -> tuple[ValidatedData, list[str]]:  # fmt: skip
    """The gate's account of these rows, and the codes of what would stop a run."""
    for name, content in (("train", rows), ("held_out", held_out)):
        (folder / f"{name}.jsonl").write_text("\n".join(json.dumps(row) for row in content))
    holdout = str(folder / "held_out.jsonl") if held_out else 0
    config = DataConfig(**{"train": str(folder / "train.jsonl"), "holdout": holdout, "max_duplicates": 1, **options})
    validated = validate_data(
        load_examples(config, 0, task), config, tokenizer, task=task, max_length=options.get("max_length", 8)
    )
    return validated, [problem.code for problem in judge(validated, config)]


def labelled(*labels: Any, text: str = "good") -> list[dict[str, Any]]:
    return [{"text": f"{text} {'very ' * n}", "label": label} for n, label in enumerate(labels)]


def warnings_by_code(validated: ValidatedData) -> dict[str, str]:
    return {problem.code: problem.message() for problem in validated.warnings}


def test_labels_are_counted_in_training_rows_and_named_over_all(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    held_out = [{"text": "so good", "label": "c"}, {"text": "so bad", "label": "a"}]
    validated, stops = look(tmp_path, tokenizer, "seq_cls", labelled("a", "b", "b", "b", "a", "d"), held_out=held_out)
    assert stops == []
    assert validated.loaded.labels == ("a", "b", "c", "d")
    assert validated.summary.labels == {"a": 2, "b": 3, "c": 0, "d": 1}
    assert (validated.summary.task, validated.summary.problem_type) == ("seq_cls", "single_label_classification")
    assert validated.summary.label_tokens == validated.summary.used == 6
    assert [row.labels for row in validated.held_out] == [[2], [0]]
    assert warnings_by_code(validated) == {
        "W216": "1 label appears only in held-out rows: c",
        "W217": "1 label has one training example: d",
    }


def test_words_are_counted_for_tags(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    rows = [{"tokens": ["good", "bad"], "tags": ["O", tag]} for tag in ("B-A", "B-A", "B-B", "B-B")]
    validated, stops = look(tmp_path, tokenizer, "token_cls", rows)
    assert stops == []
    assert validated.summary.labels == {"B-A": 2, "B-B": 2, "O": 4}
    assert (validated.summary.problem_type, validated.summary.label_tokens) == (None, 8)
    assert validated.summary.counts["duplicate"] == 2
    assert validated.summary.counts["conflict"] == 2


def test_held_out_rows_must_have_labels_of_the_same_kind(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    held_out = [{"text": "bad", "label": 0.5}, {"text": "bad", "label": ["a"]}, {"text": "bad", "label": "a"}]
    validated, stops = look(tmp_path, tokenizer, "seq_cls", labelled("a", "b", "a", "b"), held_out=held_out)
    assert stops == ["E206", "E206", "E216"]
    assert validated.summary.held_out == 1


def test_held_out_rows_with_text_and_label_of_a_training_row_are_left_out(
    tmp_path: Path, tokenizer: TextTokenizer
) -> None:
    train = [{"text": "good", "label": "a"}, {"text": "bad", "label": "b"}] * 2
    held_out = [{"text": "good ", "label": "a"}, {"text": "good", "label": "b"}, {"text": "so", "label": "b"}]
    validated, _stops = look(tmp_path, tokenizer, "seq_cls", train, held_out=held_out)
    assert validated.summary.counts | {"leaked": 1, "conflict": 1} == validated.summary.counts
    assert [example.text for example in validated.loaded.held_out] == ["good", "so"]


@pytest.mark.parametrize(
    ("task", "rows"),
    [
        ("seq_cls", labelled("a", "a", "a")),
        ("seq_cls", labelled(["a"], ["a"])),
        ("seq_cls", labelled(0.5, 0.5)),
        ("token_cls", [{"tokens": ["good"], "tags": ["O"]}, {"tokens": ["bad"], "tags": ["O"]}]),
    ],
)
def test_rows_that_all_have_one_label_stop_the_run(
    tmp_path: Path, tokenizer: TextTokenizer, task: Task, rows: list[dict[str, Any]]
) -> None:
    assert look(tmp_path, tokenizer, task, rows)[1] == ["E226"]


def test_rows_that_have_a_label_or_none_may_be_learned(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    validated, stops = look(tmp_path, tokenizer, "seq_cls", labelled(["a"], [], ["a"]))
    assert (stops, validated.summary.labels) == ([], {"a": 2})
    assert [row.labels for row in validated.train] == [[1], [0], [1]]


def test_numbers_have_no_labels(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    validated, stops = look(tmp_path, tokenizer, "seq_cls", labelled(0.5, 1, 2))
    assert (stops, validated.warnings, validated.summary.labels) == ([], [], {})
    assert validated.summary.problem_type == "regression"
    assert [row.labels for row in validated.train] == [[0.5], [1.0], [2.0]]
    stars, _stops = look(tmp_path, tokenizer, "seq_cls", labelled(1, 2, 5), problem_type="regression")
    assert [row.labels for row in stars.train] == [[1.0], [2.0], [5.0]]


@pytest.mark.parametrize(("unknown", "warns", "stops"), [(1, [], []), (20, ["W214"], []), (21, [], ["E225"])])
def test_unknown_tokens_warn_and_then_stop(
    tmp_path: Path, tokenizer: TextTokenizer, unknown: int, warns: list[str], stops: list[str]
) -> None:
    words = ["好"] * unknown + ["good"] * (100 - unknown)
    rows = [{"text": f"{word} ", "label": "ab"[n % 2]} for n, word in enumerate(words)]
    validated, codes = look(tmp_path, tokenizer, "seq_cls", rows)
    assert validated.summary.unknown_tokens == unknown
    assert [problem.code for problem in validated.warnings if problem.code == "W214"] == warns
    assert codes == stops


def test_too_many_unknown_tokens_name_a_model_that_knows_them(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    validated, _stops = look(tmp_path, tokenizer, "seq_cls", labelled("a", "b", text="好"))
    (problem,) = judge(validated, DataConfig(train="my.csv"))
    assert problem.message() == "67% of the tokens are unknown to this tokenizer"
    assert problem.fixes() == ["tunewright train smollm2 my.csv --task seq_cls   has no unknown tokens in any language"]


def test_sources_and_targets_are_counted_together(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    rows = [{"source": "good " * n, "target": "bad " * 2} for n in (1, 5, 12)]
    validated, _stops = look(tmp_path, tokenizer, "seq2seq", rows)
    summary = validated.summary
    assert summary.tokens == 1 + 5 + 8 + 3 * 3
    assert summary.label_tokens == 9
    assert (summary.counts["truncated"], summary.longest_prompt, summary.lengths["longest"]) == (1, 12, 12)
    assert summary.lengths["median"] == 5
    assert [length for length, rows in enumerate(summary.histogram.rows) if rows] == [3, 5, 12]
    assert summary.histogram.cut == [0] * 12 + [1]


def test_a_special_token_in_a_text_or_word_is_named(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    validated, _stops = look(tmp_path, tokenizer, "seq_cls", labelled("a", "b", text="so </s> good"))
    assert validated.summary.counts["control_tokens"] == 2
    rows = [{"tokens": ["good", "</s>"], "tags": ["O", "X"]}]
    assert look(tmp_path, tokenizer, "token_cls", rows)[0].summary.counts["control_tokens"] == 1


def test_text_that_was_read_in_the_wrong_encoding_is_counted_and_warned_of(
    tmp_path: Path, tokenizer: TextTokenizer
) -> None:
    rows = [
        {"source": "good", "target": "cafÃ©"},
        {"source": "câ€™est bad", "target": "good"},
        {"source": "café", "target": "so"},
    ]
    validated, _stops = look(tmp_path, tokenizer, "seq2seq", rows)
    assert (validated.summary.counts["mojibake"], validated.summary.numbers["mojibake"]) == (2, [1, 2])
    assert "W247" in {problem.code for problem in validated.warnings}


def test_facts_name_the_labels_in_the_order_of_their_numbers(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    validated, _stops = look(tmp_path, tokenizer, "seq_cls", labelled(10, 9, 10, 9))
    facts = data_info("p", "f", validated.summary, answer_lengths={}, is_single_turn=True)
    assert (facts.num_train, facts.num_held_out) == (validated.summary.used, validated.summary.held_out)
    assert facts.labels == ("9", "10")
    assert facts.problem_type == "single_label_classification"
    assert type(facts).model_validate_json(facts.model_dump_json()) == facts


def test_a_split_keeps_every_label_in_training(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    for holdout in (0.2, 0.9):
        rows = labelled(*"aaaaaaaaaabbbc")
        validated, _stops = look(tmp_path, tokenizer, "seq_cls", rows, holdout=holdout, max_length=64)
        assert all(validated.summary.labels.values())
        assert validated.summary.held_out > 0


def test_what_all_prompts_begin_with_ends_before_what_is_learned() -> None:
    def row(*ids: int, prompt: int) -> TokenizedExample:
        return TokenizedExample(1, list(ids), list(ids), prompt, len(ids))

    def common_prefix(rows: Sequence[TokenizedExample]) -> int:
        prefix = CommonPrefix()
        for one in rows:
            prefix.add(one)
        return prefix.length()

    same = range(10)
    rows = [row(*same, 1, 2, prompt=11), row(*same, 3, 2, prompt=11)]
    assert common_prefix(rows) == 10
    assert common_prefix([*rows, row(*same, 1, prompt=10)]) == 9
    # Too few for a document of their own.
    assert common_prefix([*rows, row(*same, 1, prompt=6)]) == 0
    assert common_prefix([*rows, row(0, 1, 2, 5, *same, prompt=11)]) == 0
    assert common_prefix([]) == 0


def test_of_many_rows_the_first_are_looked_at_and_all_are_accounted_for(
    tmp_path: Path, tokenizer: TextTokenizer
) -> None:
    """The same account of rows as with all in memory: held-out rows, duplicates, conflicts and labels of the whole file."""
    rows = [{"text": f"good {'very ' * (n % 90)}so", "label": "abc"[n % 3 if n < 80 else 0]} for n in range(200)]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join([*(json.dumps(row) for row in rows), "{half"]))
    config = DataConfig(train=str(path), holdout=0.1, max_duplicates=1, skip_bad=True)
    complete, part = (
        validate_data(load_examples(config, 3, "seq_cls", keep=keep), config, tokenizer, task="seq_cls", max_length=200)
        for keep in (None, 20)
    )
    assert (len(part.train), part.summary.looked_at) == (20, 20)
    assert part.train == complete.train[:20]
    assert sorted(row.number for row in part.held_out) == sorted(row.number for row in complete.held_out)
    counted = ("rows", "used", "held_out", "dropped", "labels", "problem_type")
    assert {name: getattr(part.summary, name) for name in counted} == {
        name: getattr(complete.summary, name) for name in counted
    }
    for kind in ("duplicate", "conflict", "damaged"):
        assert part.summary.counts[kind] == complete.summary.counts[kind] > 0
    summary = part.summary
    assert summary.rows == summary.used + summary.held_out + summary.dropped == 201
