"""Files that were read wrongly once, each with what is right: the rows, what is learned of them, or the refusal and its fix."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.shapes.looking import look, settings_of
from tests.shapes.shape import Reader

FOLDER = Path(__file__).parent / "reading"
TOOLS, THINKING = "template-with-tools-own.jinja", "template-thinking-own.jinja"
CALL = '\n<tool_call>\n{"name": "stock_of", "arguments": {"item": "teapot"}}\n</tool_call><|im_end|>There are 3 teapots left.'
YES = "Yes, 2 pieces."
EMPTY = "<think>\n\n</think>\n\n"


@dataclass(frozen=True)
class Right:
    """Rows that are used and held out, what is learned of the first one, warnings; or a code and the flag that leads on."""

    rows: int
    first: str
    warns: tuple[str, ...] = ()
    held_out: int = 1
    task: str = ""
    template: str = ""
    code: str = ""
    fix: str = ""
    settings: Mapping[str, object] = field(default_factory=dict)


def _classes(rows: int, first: str, *warns: str, held_out: int = 1, **more: str) -> Right:
    return Right(rows, first, warns, held_out, "seq_cls", **more)


def _words(rows: int, first: str, *warns: str, held_out: int = 4, **more: str) -> Right:
    return Right(rows, first, warns, held_out, "token_cls", **more)


RIGHT: Mapping[str, Right] = {
    "answers-are-numbers.jsonl": Right(12, "0"),
    "answers-are-objects.jsonl": Right(12, '{"item": "teapot", "count": 0}', ("W238",)),
    "book-one-paragraph.txt": Right(60, "The lamp is of brass", ("W237",), 0),
    "conll-as-txt.txt": _words(
        12, "/B-PER/O/O/B-LOC", "W211", held_out=3, code="E215", fix="--set data.max_duplicates=1"
    ),
    "csv-cr-line-ends.csv": Right(10, "有货", ("W217",)),
    "folder-licence-text-becomes-rows": Right(12, YES, ("W231",)),
    "folder-train-valid-test-are-pooled": Right(10, YES, ("W231",), 2),
    "json-dict-of-lists.json": Right(12, YES),
    "json-pandas-columns.json": Right(12, YES),
    "jsonl-nan-in-unused-column.jsonl": Right(12, YES),
    "jsonl-one-line-array.jsonl": Right(12, YES),
    "jsonl-pretty-printed-objects.jsonl": Right(12, YES),
    "kto-rejected-rows-are-trained.jsonl": Right(0, "", code="E234"),
    "labels-differ-in-case-only.csv": _classes(10, "Track", "W235", "W217"),
    "labels-float-text-train.csv": _classes(40, "0", held_out=4),
    "labels-int-text-holdout.csv": _classes(12, "0"),
    "labels-one-nan-makes-regression.parquet": _classes(23, "1", held_out=2, code="E207", fix="--skip-bad"),
    "labels-several-as-pandas-list-text.csv": _classes(40, "billing, urgent", held_out=4),
    "labels-several-in-one-cell-comma.csv": _classes(10, "a,b", "W233"),
    "ner-int-tags.jsonl": _words(36, "/1/2/0/0/3/0"),
    "ner-one-token-a-row.csv": _words(10, "/O/B-geo/O/I-geo", "W239", held_out=1),
    "ner-string-tags.conll": _words(36, "/B-PER/I-PER/O/O/B-LOC/O"),
    "prompt-with-example-turns.jsonl": Right(12, "Yes, 0."),
    "reviews-longer-than-the-model.csv": _classes(30, "neg", "W201", held_out=3),
    "rows-prompt-completion.jsonl": Right(12, YES),
    "text-form-feed.jsonl": Right(12, "", code="E244", fix="--set data.control_characters=remove"),
    "text-vertical-tab.jsonl": Right(12, "Yes 0"),
    "thinking-as-reasoning_content.jsonl": Right(
        12, "<think>\n1 times 2 is 2.\n</think>\n\nThey cost 2.", template=THINKING
    ),
    "thinking-in-content.jsonl": Right(12, "<think>\n1 times 2 is 2.\n</think>\n\nThey cost 2.", template=THINKING),
    "thinking-in-half-of-the-rows.jsonl": Right(24, f"{EMPTY}They cost 2.", ("W222",), 2, template=THINKING),
    "thinking-tag-in-plain-answer.jsonl": Right(12, f"{EMPTY}The tag </think> closes it, 0.", template=THINKING),
    "tokens-added-without-resizing.jsonl": Right(12, "<|item|> teapot"),
    "tool-calls-openai-content-null.jsonl": Right(12, CALL, template=TOOLS),
    "tool-calls-openai-dropped-silently.jsonl": Right(12, f"I will look that up.{CALL}", template=TOOLS),
    "tool-calls-sharegpt-tools-column-ignored.jsonl": Right(12, CALL, template=TOOLS),
    "turn-train-false-is-trained.jsonl": Right(12, "Sorry, yes, 2 pieces."),
    "turn-weight-zero-is-trained.jsonl": Right(12, "Sorry, yes, 2 pieces."),
    "turns-ends-with-user.jsonl": Right(12, YES),
    "turns-in-a-column-called-items.jsonl": Right(12, YES, code="E211", fix="--map messages=items"),
    "turns-system-in-the-middle.jsonl": Right(12, "Yes<|im_end|>2 o'clock."),
    "turns-two-assistants-in-a-row.jsonl": Right(12, f"Let me see.<|im_end|>{YES}"),
    "turns-two-users-in-a-row.jsonl": Right(12, YES),
    "txt-one-text-a-line.txt": Right(20, "The lamp number 0 is of brass and glass.", ("W237",), 2),
}


def test_every_file_has_its_right_value() -> None:
    assert {path.name for path in FOLDER.iterdir() if path.suffix != ".jinja"} == set(RIGHT)


@pytest.mark.parametrize("name", RIGHT)
def test_it_is_read_right(name: str, readers: Mapping[Reader, Path]) -> None:
    right = RIGHT[name]
    model = readers["encoder" if right.task else "decoder"]
    settings = {"task": right.task} if right.task else {}
    if right.template:
        settings["model.chat_template"] = str(FOLDER / right.template)
    seen = look(FOLDER / name, model, settings)
    assert seen.code == right.code, [problem.message() for problem in seen.problems]
    if right.fix:
        assert any(fix.endswith(right.fix) for fix in seen.fixes)
        seen = look(FOLDER / name, model, {**settings, **settings_of(right.fix)})
        assert seen.code == ""
    assert (len(seen.learned), seen.held_out) == (right.rows, right.held_out if right.rows else 0)
    assert not right.rows or seen.learned[0].startswith(right.first)
    assert tuple(warning.code for warning in seen.warnings) == right.warns


def test_a_class_of_two_files_is_one_class(readers: Mapping[Reader, Path]) -> None:
    """0.0 in the training file is 0 in the held-out file."""
    settings = {"task": "seq_cls", "data.holdout": str(FOLDER / "labels-int-text-holdout.csv")}
    seen = look(FOLDER / "labels-float-text-train.csv", readers["encoder"], settings)
    assert (seen.code, seen.warnings, set(seen.learned)) == ("", (), {"0", "1", "2"})


def test_templates_that_refuse_a_system_turn_or_cut_thinking(readers: Mapping[Reader, Path]) -> None:
    model = readers["decoder"]
    cut = {"model.chat_template": str(FOLDER / "template-drops-thinking-own.jinja")}
    seen = look(FOLDER / "thinking-in-content.jsonl", model, cut)
    assert seen.learned[0].startswith("1 times 2 is 2.\n</think>\n\nThey cost 2.")
    assert [warning.code for warning in seen.warnings] == ["W223"]
    strict = {"model.chat_template": str(FOLDER / "template-refuses-system-own.jinja")}
    seen = look(FOLDER / "turns-system-in-the-middle.jsonl", model, strict)
    assert seen.code == "E219"
    assert look(FOLDER / "turns-system-in-the-middle.jsonl", model, {**strict, "data.turns": "join"}).learned
