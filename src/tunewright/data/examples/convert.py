"""Rows to examples, by the form that was recognised: each row becomes an example or at least one problem, never both."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from tunewright.data.examples.formats import Example, Format, Message
from tunewright.data.examples.label_kind import LabelKind
from tunewright.data.examples.label_names import read_tags, read_target, read_words
from tunewright.data.examples.messages import read_turns, system_turn, to_the_last_answer, without_loss
from tunewright.data.examples.row_cells import RowReport, is_written_missing, unpacked
from tunewright.data.examples.tool_calls import read_tools
from tunewright.data.files.json_scanner import kind_of
from tunewright.data.files.readers import RawRow
from tunewright.data.tokenized.thinking import thinking_of
from tunewright.errors import Problem
from tunewright.i18n import N_


def to_examples(
    rows: Sequence[RawRow], fmt: Format, system: str | None = None, kind: LabelKind | None = None
) -> tuple[list[Example], list[Problem]]:
    """Examples of the sound rows, and the problems (E203, E206 to E208, E222 to E224, E232, E244) of the others.

    `system` is put in front of conversations that have no system turn; rows with a label need its `kind`.
    """
    examples: list[Example] = []
    problems: list[Problem] = []
    read = _reader(fmt, kind)
    for row in rows:
        report = RowReport(row, fmt.columns)
        example = read(report, Example(row.number, row.file, row.line))
        if report.problems:
            problems.extend(report.problems)
            continue
        if system and example.messages and example.messages[0].role != "system":
            example = replace(example, messages=(Message("system", system), *example.messages))
        examples.append(example)
    return examples, problems


_Reader = Callable[[RowReport, Example], Example]


def _reader(fmt: Format, kind: LabelKind | None) -> _Reader:
    if "label" in fmt.columns:
        assert kind is not None
        return lambda report, example: _labelled(report, example, kind)
    return next(read for role, read in _READERS.items() if role in fmt.columns)


def _labelled(report: RowReport, example: Example, kind: LabelKind) -> Example:
    pair = report.text_of("pair") if "pair" in report.columns else ""
    return replace(example, text=report.text_of("text"), pair=pair, target=read_target(report, kind))


def _tagged(report: RowReport, example: Example) -> Example:
    words, tags = read_words(report), read_tags(report)
    if len(words) != len(tags) and not report.problems:
        report.add("E222", words=len(words), tags=len(tags))
    return replace(example, words=words, tags=tags)


def _from_text(report: RowReport, example: Example) -> Example:
    return replace(example, text=report.text_of("text"))


def _from_turns(report: RowReport, example: Example) -> Example:
    turns = read_turns(report.cell("messages"), report.columns["messages"], report)
    return _conversation([*_system(report), *turns], report, example)


def _from_pair(report: RowReport, example: Example) -> Example:
    """Of a prompt that is a conversation only the completion is in the loss, whoever speaks in the prompt."""
    messages = [*_system(report), *_history(report)]
    addition = _optional_text("input", report)
    prompt = None if addition else _turns_in(report.cell("prompt"))
    if prompt is not None:
        messages += without_loss(list(read_turns(prompt, report.columns["prompt"], report)))
    else:
        request = report.text(report.cell("prompt"), report.columns["prompt"], may_be_empty=bool(addition))
        messages.append(
            Message("user", f"{request}\n{addition}" if addition and request.strip() else addition or request)
        )
    completion = _turns_in(report.cell("completion"))
    if completion is not None:
        messages += read_turns(completion, report.columns["completion"], report)
    else:
        messages.append(Message("assistant", report.text(report.cell("completion"), report.columns["completion"])))
    messages[-1:] = [_with_reasoning(message, report) for message in messages[-1:]]
    return _conversation(messages, report, example)


def _with_reasoning(answer: Message, report: RowReport) -> Message:
    """The answer after the thinking of a column of its own, unless it has some already."""
    if "reasoning" in report.columns and not isinstance(report.cell("reasoning"), str | None):
        report.unused_keys.append(report.columns["reasoning"])
        return answer
    reasoning = _optional_text("reasoning", report)
    if not reasoning or answer.role != "assistant" or thinking_of(answer)[0]:
        return answer
    return replace(answer, reasoning=reasoning)


def _turns_in(value: object) -> list[object] | None:
    """The conversation that a cell holds: a list of turns, an empty list, one turn, or the JSON text of turns."""
    turns = [value] if isinstance(value, dict) else unpacked(value)
    if not isinstance(turns, list) or not (turns or isinstance(value, list)):
        return None
    are_turns = all(isinstance(turn, dict) and ("role" in turn or "from" in turn) for turn in turns)
    return turns if are_turns else None


def _conversation(messages: Sequence[Message], report: RowReport, example: Example) -> Example:
    turns = to_the_last_answer(messages, report)
    tools = read_tools(report.cell("tools"), report.columns["tools"], report) if "tools" in report.columns else ()
    return replace(
        example,
        messages=turns,
        tools=tools or report.tools,
        cut_turns=len(messages) - len(turns),
        unused_keys=tuple(dict.fromkeys(report.unused_keys)),
    )


_READERS: Mapping[str, _Reader] = {
    "words": _tagged,
    "messages": _from_turns,
    "prompt": _from_pair,
    "text": _from_text,
}


def _system(report: RowReport) -> Iterator[Message]:
    value = unpacked(report.cell("system")) if "system" in report.columns else None
    if isinstance(value, dict | list):
        message = system_turn(value, report.columns["system"], report)
        if message and message.content.strip():
            yield message
    elif content := _optional_text("system", report):
        yield Message("system", content)


def _optional_text(role: str, report: RowReport) -> str:
    """The text of a column that a row may leave empty; blanks are empty, and so is what programs write for no value."""
    if role not in report.columns:
        return ""
    text = report.text(report.cell(role), report.columns[role], may_be_empty=True)
    return text if text.strip() and not is_written_missing(text) else ""


def _history(report: RowReport) -> Iterator[Message]:
    """Earlier turns as pairs of prompt and answer."""
    name = report.columns.get("history", "")
    value = unpacked(report.cell("history")) if name else None
    if value is None or value == "" or is_written_missing(value):
        return
    if not isinstance(value, list):
        report.add("E206", field=name, wanted=N_("a list of pairs"), got=kind_of(value))
        return
    if turns := _turns_in(value):
        yield from read_turns(turns, name, report)
        return
    for index, pair in enumerate(value):
        place = f"{name}[{index}]"
        if isinstance(pair, list) and len(pair) == 2:
            yield Message("user", report.text(pair[0], f"{place}[0]"))
            yield Message("assistant", report.text(pair[1], f"{place}[1]"))
        else:
            report.add("E206", field=place, wanted=N_("a pair of prompt and answer"), got=kind_of(pair))
