"""Columns to examples: which form is recognised, what becomes of its rows, what is told."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tunewright.data.examples.convert import to_examples
from tunewright.data.examples.formats import Example, Format, Message, looks_like, sniff
from tunewright.data.files.readers import RawRow
from tunewright.errors import ConfigError, DataError, Problem


def raw(*values: Mapping[str, Any]) -> list[RawRow]:
    return [RawRow(n, "f.jsonl", n, dict(value)) for n, value in enumerate(values, 1)]


def convert(*values: Mapping[str, Any], system: str | None = None) -> tuple[list[Example], list[Problem]]:
    rows = raw(*values)
    return to_examples(rows, sniff(rows), system)


def turns(example: Example) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in example.messages]


def only(*values: Mapping[str, Any], system: str | None = None) -> list[tuple[str, str]]:
    """Turns of the only row."""
    examples, problems = convert(*values, system=system)
    assert [problem.message() for problem in problems] == []
    return turns(examples[0])


def refusals(values: Mapping[str, Any], fmt: Format) -> list[tuple[str, str]]:
    """Codes and sentences of a row that must not become an example."""
    examples, problems = to_examples(raw(values), fmt)
    assert examples == []
    assert all(problem.values["row"] == 1 for problem in problems)
    return [(problem.code, problem.message()) for problem in problems]


PAIR = [("user", "q"), ("assistant", "a")]
MESSAGES = Format("messages", {"messages": "messages"})
COLUMNS = Format("prompt_completion", {"prompt": "prompt", "completion": "completion"})


@pytest.mark.parametrize(
    ("row", "name", "columns"),
    [
        ({"messages": [{"role": "user", "content": "q"}]}, "messages", {"messages": "messages"}),
        ({"id": 1, "conversations": []}, "conversations", {"messages": "conversations"}),
        ({"prompt": "q", "completion": "a"}, "prompt_completion", {"prompt": "prompt", "completion": "completion"}),
        ({"instruction": "q", "output": "a"}, "alpaca", {"prompt": "instruction", "completion": "output"}),
        ({"Question": "q", "Answer": "a"}, "question_answer", {"prompt": "Question", "completion": "Answer"}),
        ({"query": "q", "response": "a"}, "question_answer", {"prompt": "query", "completion": "response"}),
        ({"input": "q", "output": "a"}, "question_answer", {"prompt": "input", "completion": "output"}),
        ({"source": "q", "target": "a"}, "question_answer", {"prompt": "source", "completion": "target"}),
        ({"q": "q", "a": "a"}, "question_answer", {"prompt": "q", "completion": "a"}),
        ({"Input Text": "q", "a": "a"}, "question_answer", {"prompt": "Input Text", "completion": "a"}),
        ({"问题": "q", "回答": "a"}, "question_answer", {"prompt": "问题", "completion": "回答"}),
        ({"指令": "q", "输出": "a"}, "alpaca", {"prompt": "指令", "completion": "输出"}),
        ({"text": "q", "label": "a"}, "question_answer", {"prompt": "text", "completion": "label"}),
        ({"document": "q", "summary": "a"}, "question_answer", {"prompt": "document", "completion": "summary"}),
        ({"text": "t"}, "text", {"text": "text"}),
        ({"content": "t", "url": "u"}, "text", {"text": "content"}),
        ({"text": "t", "label": 1}, "text", {"text": "text"}),
    ],
)
def test_the_form_is_recognised_by_columns(row: dict[str, Any], name: str, columns: dict[str, str]) -> None:
    assert sniff(raw(row)) == Format(name, columns)


def test_alpaca_takes_all_columns_of_llama_factory() -> None:
    row = {"instruction": "q", "input": "i", "output": "a", "system": "s", "history": [["q0", "a0"], ["q1", "a1"]]}
    earlier = [("user", "q0"), ("assistant", "a0"), ("user", "q1"), ("assistant", "a1")]
    assert sniff(raw(row)).name == "alpaca"
    assert only(row) == [("system", "s"), *earlier, ("user", "q\ni"), ("assistant", "a")]
    assert only({**row, "input": "", "system": " ", "history": []}) == PAIR
    assert only({**row, "input": None, "system": None, "history": None}) == PAIR


def test_context_of_a_question_is_part_of_the_prompt() -> None:
    row = {"question": "who?", "context": "Ada wrote it.", "answer": "Ada"}
    assert only(row) == [("user", "who?\nAda wrote it."), ("assistant", "Ada")]


def test_the_form_that_fits_most_rows_wins() -> None:
    odd = {"prompt": None, "completion": None, "text": "t"}
    assert sniff(raw(*[{"prompt": "q", "completion": "a"}] * 3, odd)).name == "prompt_completion"
    assert sniff(raw({"prompt": "q", "completion": "a"}, *[odd] * 3)).name == "text"


def test_columns_that_play_no_role_are_named() -> None:
    fmt = sniff(raw({"question": "q", "answer": "a", "lang": "en", "id": 1}))
    assert fmt.unused == ("lang", "id")
    assert fmt.describe() == ("question and answer (question -> prompt, answer -> completion; not used: lang, id)")


def test_sharegpt_and_openai_turns_with_the_usual_names_of_speakers() -> None:
    names = ["system", "Human", "gpt", "user", "tool_call", "observation", "chatgpt"]
    row = {"conversations": [{"from": name, "value": name} for name in names]}
    roles = ["system", "user", "assistant", "user", "assistant", "tool", "assistant"]
    assert only(row) == list(zip(roles, names, strict=True))
    assert only({"conversations": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}) == PAIR


def test_content_may_be_a_list_of_text_parts() -> None:
    parts = [{"type": "text", "text": "q"}, {"type": "text", "text": "!"}]
    row = {"messages": [{"role": "user", "content": parts}, {"role": "assistant", "content": "a"}]}
    assert only(row) == [("user", "q!"), ("assistant", "a")]


def test_a_csv_cell_may_hold_a_conversation_as_json() -> None:
    cell = json.dumps([{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}])
    assert only({"messages": cell}) == PAIR
    assert only({"messages": cell, "text": "q a"}) == PAIR
    with_history = {"instruction": "q", "output": "a", "history": '[["x", "y"]]'}
    assert only(with_history) == [("user", "x"), ("assistant", "y"), *PAIR]


def test_prompt_and_completion_may_be_conversations() -> None:
    prompt = [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]
    assert only({"prompt": prompt, "completion": [{"role": "assistant", "content": "a"}]}) == [("system", "s"), *PAIR]
    assert only({"prompt": prompt, "completion": "a"}) == [("system", "s"), *PAIR]


def test_plain_text_and_numbers_of_csv_stay_as_they_are() -> None:
    examples, _problems = convert({"text": " a\n\tb\r\n "})
    assert (examples[0].text, examples[0].messages) == (" a\n\tb\r\n ", ())
    assert only({"question": "2 + 2", "answer": "4"}) == [("user", "2 + 2"), ("assistant", "4")]


def test_a_system_line_is_put_where_there_is_none() -> None:
    own = {"messages": [{"role": "system", "content": "own"}, *[{"role": r, "content": c} for r, c in PAIR]]}
    assert only(own, system="ours")[0] == ("system", "own")
    assert only({"prompt": "q", "completion": "a"}, system="ours") == [("system", "ours"), *PAIR]
    assert convert({"text": "t"}, system="ours")[0] == [Example(1, "f.jsonl", 1, (), "t")]


def test_an_example_keeps_number_file_and_line_of_its_row() -> None:
    rows = [RawRow(7, "b.csv", 12, {"q": "q", "a": "a"})]
    examples, _problems = to_examples(rows, sniff(rows))
    assert examples == [Example(7, "b.csv", 12, (Message("user", "q"), Message("assistant", "a")))]


def test_a_map_says_which_column_plays_a_role() -> None:
    rows = raw({"frage": "q", "antwort": "a", "answer": "other", "thema": "t"})
    fmt = sniff(rows, {"prompt": "frage", "completion": "antwort", "input": "thema"})
    assert fmt == Format("prompt_completion", {"prompt": "frage", "completion": "antwort", "input": "thema"})
    assert fmt.unused == ("answer",)
    assert sniff(rows, {"instruction": "frage"}).columns == {"prompt": "frage", "completion": "answer"}
    assert sniff(raw({"body": "t", "text": "u"}), {"text": "body"}) == Format("text", {"text": "body"})
    assert sniff(raw({"chat": [], "text": "u"}), {"messages": "chat"}) == Format("conversations", {"messages": "chat"})


def test_a_map_of_one_side_still_needs_the_other() -> None:
    with pytest.raises(DataError) as caught:
        sniff(raw({"frage": "q", "antwort": "a"}), {"prompt": "frage"})
    assert caught.value.problems[0].code == "E211"


def test_a_mapped_column_that_does_not_exist_is_told_with_a_suggestion() -> None:
    with pytest.raises(DataError) as caught:
        sniff(raw({"Frage": "q", "antwort": "a"}), {"prompt": "fragen", "completion": "antwort"})
    (problem,) = caught.value.problems
    assert problem.code == "E212"
    assert problem.message() == '--map names the column "fragen", which does not exist; columns: Frage, antwort'
    assert 'did you mean "Frage"?' in problem.fixes()


def test_a_map_of_an_unknown_role_or_of_two_forms_is_refused() -> None:
    rows = raw({"a": "q", "b": "a"})
    for mapping, code in [({"prompts": "a"}, "E103"), ({"prompt": "a", "text": "b"}, "E109")]:
        with pytest.raises(ConfigError) as caught:
            sniff(rows, mapping)
        assert caught.value.problems[0].code == code
        assert caught.value.problems[0].message()


@pytest.mark.parametrize("rows", [[], [{"tokens": [1], "tags": [2]}], [{"prompt": "q", "rejected": "b"}]])
def test_columns_of_no_known_form_are_told(rows: Sequence[dict[str, Any]]) -> None:
    with pytest.raises(DataError) as caught:
        sniff(raw(*rows))
    (problem,) = caught.value.problems
    assert (problem.code, problem.values["columns"]) == ("E211", ", ".join(rows[0]) if rows else "")


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"prompt": "q"}, [("E207", "completion is missing")]),
        ({"prompt": "q", "completion": None}, [("E207", "completion is missing")]),
        ({"prompt": "q", "completion": float("nan")}, [("E207", "completion is missing")]),
        ({"prompt": " \n", "completion": ""}, [("E203", "the prompt is empty"), ("E203", "the completion is empty")]),
        ({"prompt": "q", "completion": "a\x07"}, [("E244", "the control character U+0007 is in completion")]),
        ({"prompt": [], "completion": "a"}, [("E203", "the prompt is empty")]),
    ],
)
def test_a_bad_cell_is_told_by_its_column(row: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert refusals(row, COLUMNS) == expected


@pytest.mark.parametrize(
    ("roles", "reason"),
    [
        ("system user", "no turn is the assistant's"),
        ("user tool", "no turn is the assistant's"),
        ("user narrator", 'the role "narrator" of messages[1] is unknown'),
    ],
)
def test_turns_without_an_answer_or_a_known_speaker_are_told(roles: str, reason: str) -> None:
    row = {"messages": [{"role": role, "content": "x"} for role in roles.split()]}
    assert refusals(row, MESSAGES) == [("E208", f"the turns are out of order: {reason}")]


@pytest.mark.parametrize(
    ("roles", "cut"),
    [
        ("assistant user assistant", 0),
        ("system assistant", 0),
        ("user user assistant", 0),
        ("user assistant assistant", 0),
        ("user system assistant", 0),
        ("system system user assistant", 0),
        ("user assistant tool user assistant", 0),
        ("user assistant user", 1),
        ("user assistant tool user", 2),
    ],
)
def test_turns_stay_in_their_order_up_to_the_last_answer(roles: str, cut: int) -> None:
    row = {"messages": [{"role": role, "content": "x"} for role in roles.split()]}
    (example,), problems = convert(row)
    roles_left = roles.split()[: len(roles.split()) - cut]
    assert ([role for role, _content in turns(example)], example.cut_turns, problems) == (roles_left, cut, [])


@pytest.mark.parametrize("column", ["data", "turns", "chat", "contents", "dialogue"])
@pytest.mark.parametrize("value", [3, "hello", {"x": 1}, ["x", "y"]])
def test_a_vague_name_that_holds_no_conversation_is_counted_as_not_used(column: str, value: Any) -> None:
    form = sniff([RawRow(1, "a.jsonl", 1, {"prompt": "q", "completion": "a", column: value})])
    assert (form.columns, form.unused) == ({"prompt": "prompt", "completion": "completion"}, (column,))


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ("no list", [("E206", "messages must be a list of turns, got text")]),
        ([["q"]], [("E206", "messages[0] must be an object, got a list")]),
        ([{"content": "q"}], [("E207", "messages[0].role is missing")]),
        ([{"from": "human"}, {"from": "gpt", "value": ""}],
         [("E207", "messages[0].value is missing"), ("E203", "the messages[1].value is empty")]),
        ([{"role": "user", "content": [{"type": "image"}]}],
         [("E206", 'messages[0].content[0] must be text, got a part of type "image"')]),
    ],
)  # fmt: skip
def test_a_bad_turn_is_told_by_its_place(messages: Any, expected: list[tuple[str, str]]) -> None:
    assert refusals({"messages": messages}, MESSAGES) == expected


def test_an_empty_system_turn_or_tool_answer_is_kept() -> None:
    row = [("system", ""), ("user", "q"), ("assistant", "call"), ("tool", ""), ("assistant", "a")]
    assert only({"messages": [{"role": role, "content": content} for role, content in row]}) == row


@pytest.mark.parametrize("history", ["x", [["only"]], [["q", [3]]], {"q": "a"}])
def test_a_history_that_is_no_list_of_pairs_is_told(history: Any) -> None:
    fmt = Format("alpaca", {"prompt": "instruction", "completion": "output", "history": "history"})
    assert [code for code, _text in refusals({"instruction": "q", "output": "a", "history": history}, fmt)] == ["E206"]


@pytest.mark.parametrize(
    ("row", "name", "columns"),
    [
        ({"text": "t", "label": 1}, "labelled_text", {"text": "text", "label": "label"}),
        ({"id": 1, "Review": "t", "Sentiment": "pos"}, "labelled_text", {"text": "Review", "label": "Sentiment"}),
        ({"utterance": "t", "intent": "x", "label": 3}, "labelled_text", {"text": "utterance", "label": "label"}),
        ({"text": "t", "label": 3, "label_text": "x"}, "labelled_text", {"text": "text", "label": "label_text"}),
        ({"评论": "t", "情感": "好"}, "labelled_text", {"text": "评论", "label": "情感"}),
        ({"question": "q", "label": "x"}, "labelled_text", {"text": "question", "label": "label"}),
        ({"text": "t", "labels": ["a", "b"]}, "labelled_text", {"text": "text", "label": "labels"}),
        ({"title": "s", "body": "t", "tags": "x"}, "labelled_text", {"text": "body", "label": "tags"}),
        ({"sentence1": "s", "sentence2": "t", "score": 0.5}, "labelled_pair",
         {"text": "sentence1", "pair": "sentence2", "label": "score"}),
        ({"premise": "s", "hypothesis": "t", "label": 2}, "labelled_pair",
         {"text": "premise", "pair": "hypothesis", "label": "label"}),
        ({"question1": "s", "question2": "t", "is_duplicate": True}, "labelled_pair",
         {"text": "question1", "pair": "question2", "label": "is_duplicate"}),
        ({"text": "s", "text_pair": "t", "label": 2}, "labelled_pair",
         {"text": "text", "pair": "text_pair", "label": "label"}),
        ({"句子1": "s", "句子2": "t", "相似度": "1"}, "labelled_pair",
         {"text": "句子1", "pair": "句子2", "label": "相似度"}),
        ({"text": "t", "text_pair": None, "label": 2}, "labelled_text", {"text": "text", "label": "label"}),
    ],
)  # fmt: skip
def test_labelled_forms_are_recognised_by_columns(row: dict[str, Any], name: str, columns: dict[str, str]) -> None:
    assert sniff(raw(row), task="seq_cls") == Format(name, columns)


@pytest.mark.parametrize(
    ("row", "words", "tags"),
    [
        ({"tokens": ["a"], "ner_tags": [1], "pos_tags": ["X"]}, "tokens", "ner_tags"),
        ({"words": ["a"], "labels": ["X"]}, "words", "labels"),
        ({"tokens": '["a"]', "tags": '["X"]'}, "tokens", "tags"),
        ({"text": "a b", "tags": "X Y"}, "text", "tags"),
        ({"词": ["好"], "词性": ["a"]}, "词", "词性"),
    ],
)
def test_words_and_tags_are_recognised_by_columns(row: dict[str, Any], words: str, tags: str) -> None:
    assert sniff(raw(row), task="token_cls") == Format("tagged_words", {"words": words, "tags": tags})


@pytest.mark.parametrize(
    ("row", "source", "target"),
    [
        ({"source": "q", "target": "a"}, "source", "target"),
        ({"text": "q", "summary": "a"}, "text", "summary"),
        ({"id": "1", "article": "q", "highlights": "a"}, "article", "highlights"),
        ({"dialogue": "q", "summary": "a"}, "dialogue", "summary"),
        ({"原文": "q", "译文": "a"}, "原文", "译文"),
        ({"source": "q", "translation": "a"}, "source", "translation"),
        ({"id": "1", "translation": {"de": "q", "en": "a"}}, "translation.de", "translation.en"),
    ],
)
def test_sources_and_targets_are_recognised_by_columns(row: dict[str, Any], source: str, target: str) -> None:
    fmt = sniff(raw(row), task="seq2seq")
    assert fmt.columns == {"prompt": source, "completion": target}
    assert fmt.unused == tuple(column for column in row if column == "id")
    (example,), problems = to_examples(raw(row), fmt)
    assert (turns(example), problems) == (PAIR, [])


def test_a_map_turns_a_translation_around() -> None:
    row = {"translation": {"de": "a", "en": "q", "fr": "x"}}
    for mapping in ({"prompt": "translation.en"}, {"prompt": "translation.en", "completion": "translation.de"}):
        fmt = sniff(raw(row), mapping, "seq2seq")
        assert turns(to_examples(raw(row), fmt)[0][0]) == PAIR


def test_seq2seq_takes_conversations_and_instructions_as_they_are() -> None:
    assert sniff(raw({"messages": [{"role": "user", "content": "q"}]}), task="seq2seq").name == "messages"
    assert sniff(raw({"instruction": "q", "input": "i", "output": "a"}), task="seq2seq").name == "alpaca"


def test_a_translation_that_lacks_a_language_is_told_by_its_place() -> None:
    rows = raw({"translation": {"de": "q", "en": "a"}}, {"translation": {"de": "q"}}, {"translation": None})
    examples, problems = to_examples(rows, sniff(rows, task="seq2seq"))
    assert [example.number for example in examples] == [1]
    assert [(p.where.line, p.code, p.values["field"]) for p in problems] == [
        (2, "E207", "translation.en"), (3, "E207", "translation.de"), (3, "E207", "translation.en"),
    ]  # fmt: skip


def test_a_map_of_labelled_rows_says_which_column_plays_a_role() -> None:
    rows = raw({"a": "t", "b": "u", "c": "x", "text": "v", "label": "y"})
    assert sniff(rows, {"text": "a", "label": "c"}, "seq_cls") == Format("labelled_text", {"text": "a", "label": "c"})
    pair = {"text": "a", "pair": "b", "label": "label"}
    assert sniff(rows, {"text": "a", "pair": "b"}, "seq_cls") == Format("labelled_pair", pair)
    words = raw({"w": ["t"], "t": ["X"]})
    assert sniff(words, {"words": "w", "tags": "t"}, "token_cls").columns == {"words": "w", "tags": "t"}


def test_a_role_of_another_task_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        sniff(raw({"text": "t", "label": "x"}), {"prompt": "text"}, "seq_cls")
    assert caught.value.problems[0].code == "E103"
    assert "takes text, pair, label" in caught.value.problems[0].message()


def test_a_task_without_its_columns_says_what_it_needs() -> None:
    for task, needs in [("seq_cls", "text, label"), ("token_cls", "words, tags")]:
        with pytest.raises(DataError) as caught:
            sniff(raw({"prompt": "q", "completion": "a"}), task=task)  # type: ignore[arg-type]
        (problem,) = caught.value.problems
        assert problem.message() == f"{task} needs columns for {needs}; columns here: prompt, completion"
    assert problem.fixes() == ["--map words=COLUMN --map tags=COLUMN"]
    with pytest.raises(DataError) as caught:
        sniff(raw({"text": "only"}), task="seq2seq")
    assert caught.value.problems[0].code == "E211"


@pytest.mark.parametrize(
    ("row", "task"),
    [
        ({"tokens": ["a", "b"], "tags": ["O", "O"]}, "token_cls"),
        ({"tokens": '["a"]', "ner_tags": "[3]"}, "token_cls"),
        ({"tokens": "a b", "tags": "O O"}, None),
        ({"tokens": [1, 2], "labels": [0, 1]}, None),
        ({"tokens": ["a"], "entities": [{"start": 0}]}, None),
        ({"text": "a", "label": "b"}, "seq_cls"),
        ({"text": "a", "label": "b", "answer": "c"}, None),
        ({"text": "a", "score": 0.5}, None),
        ({"messages": []}, None),
    ],
)
def test_words_with_tags_and_texts_with_labels_name_their_task(row: dict[str, Any], task: str | None) -> None:
    assert looks_like(raw(row)) == task


def test_a_map_names_the_task_by_its_roles() -> None:
    assert looks_like([], {"label": "x"}) == "seq_cls"
    assert looks_like([], {"words": "x"}) == "token_cls"
    assert looks_like(raw({"tokens": ["a"], "tags": ["O"]}), {"prompt": "tokens"}) is None


def test_cells_that_are_nan_in_turns_say_nothing() -> None:
    nan = float("nan")
    turns_of_a_table = [
        {"role": "user", "content": "q", "weight": nan},
        {"role": "assistant", "content": "a", "tool_calls": nan},
    ]
    assert only({"messages": turns_of_a_table}) == PAIR


def test_thoughts_in_parts_of_their_own_are_joined() -> None:
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "I "}, {"type": "text", "text": "count."}]}
    turns_ = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": [thought, {"type": "text", "text": "a"}]},
    ]
    (example,), problems = convert({"messages": turns_})
    assert (example.messages[1].reasoning, example.messages[1].content, problems) == ("I count.", "a", [])


@pytest.mark.parametrize("nothing", ["\u200b", " \ufeff\n", "\u00ad\u2060"])
def test_characters_that_cannot_be_seen_are_no_answer(nothing: str) -> None:
    assert [code for code, _sentence in refusals({"prompt": "q", "completion": nothing}, COLUMNS)] == ["E203"]
    assert only({"prompt": "q", "completion": f"a{nothing}"})[1] == ("assistant", f"a{nothing}")


@pytest.mark.parametrize(
    ("key", "thought"),
    [
        ("thought", "I count."),
        ("reasoning_details", [{"type": "reasoning.text", "text": "I count."}]),
        ("thinking_blocks", [{"type": "thinking", "thinking": "I "}, {"type": "thinking", "thinking": "count."}]),
    ],
)
def test_thinking_is_found_under_the_keys_of_other_programs(key: str, thought: Any) -> None:
    rows = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", key: thought}]}
    (example,), problems = convert(rows)
    assert (example.messages[1].reasoning, example.unused_keys, problems) == ("I count.", (), [])


def test_thoughts_that_hold_no_text_are_counted_as_not_used() -> None:
    answer = {"role": "assistant", "content": "a", "reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]}
    (example,), problems = convert({"messages": [{"role": "user", "content": "q"}, answer]})
    assert (example.messages[1].reasoning, example.unused_keys, problems) == (None, ("reasoning_details",), [])


def test_labels_of_steps_are_no_classes_of_the_prompt() -> None:
    rows = raw(*({"prompt": f"q{n}", "completions": ["a", "b"], "labels": [True, False]} for n in range(4)))
    assert looks_like(rows) is None
    with pytest.raises(DataError) as caught:
        sniff(rows)
    assert caught.value.problems[0].code == "E211"
