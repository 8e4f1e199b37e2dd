"""Conversations in all their forms as lists of turns: by column, without speakers, in pairs, or with the speaker as the key."""

from collections.abc import Iterator, Mapping
from typing import Any

from tunewright.data.examples.row_cells import unpacked
from tunewright.data.files.column_names import normal
from tunewright.data.files.columnar_json import is_turn

CALLS = "function_call"
# Keys of the speaker and of what is said, as different programs write them.
SPEAKER_KEYS, CONTENT_KEYS = ("role", "from", "speaker", "author"), ("content", "value", "text", "parts")
SHAREGPT_KEYS = ("value", "content", "text", "parts")
SPEAKERS: Mapping[str, str] = {
    **dict.fromkeys(("user", "human", "prompter", "用户"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bot", "chatbot", "model", "ai", "助手"), "assistant"),
    **dict.fromkeys((CALLS, "function_calls", "tool_call", "tool_calls", "tool_use"), CALLS),
    **dict.fromkeys(("system", "developer", "系统"), "system"),
    **dict.fromkeys(
        (
            "tool",
            "function",
            "observation",
            "ipython",
            "tool_response",
            "tool_result",
            "tool_results",
            "tool_output",
            "function_response",
            "function_result",
            "工具",
        ),
        "tool",
    ),
}

_QUESTION_ANSWER = (
    ("question", "answer"),
    ("prompt", "response"),
    ("prompt", "completion"),
    ("instruction", "output"),
    ("input", "output"),
    ("q", "a"),
)


def turns_of(value: Any) -> Any:
    """The turns of a conversation, each with its speaker; anything else unchanged.

    Texts alone, and pairs of texts, are the user's and the assistant's in turn (UltraChat, Baize).
    """
    turns = _by_turn(unpacked(value))
    if not isinstance(turns, list):
        return turns
    if has_no_speakers(turns):
        texts = turns if isinstance(turns[0], str) else [text for pair in turns for text in pair]
        return [{"role": ("user", "assistant")[index % 2], "content": text} for index, text in enumerate(texts)]
    if turns and all(_is_pair(turn) for turn in turns):
        return [{"role": speaker, "content": text} for speaker, text in turns]
    return [part for turn in turns for part in _parted(turn)]


def has_no_speakers(turns: Any) -> bool:
    """Whether this is a list of texts, or of pairs of texts, that do not say who speaks."""
    if not isinstance(turns, list) or not turns:
        return False
    if len(turns) > 1 and all(isinstance(turn, str) for turn in turns):
        return True
    return all(map(_is_pair, turns)) and not all(normal(pair[0]) in SPEAKERS for pair in turns)


def holds_turns(value: Any) -> bool:
    """Whether this is a conversation in one of its forms."""
    turns = turns_of(value)
    return isinstance(turns, list) and bool(turns) and is_turn(turns[0])


def _is_pair(turn: Any) -> bool:
    return isinstance(turn, list) and len(turn) == 2 and all(isinstance(text, str) for text in turn)


def _parted(turn: Any) -> Iterator[Any]:
    """The turns of an object that holds a question and its answer (COIG), or whose keys are the speakers (Firefly, MOSS):
    `{"human": "...", "assistant": "..."}`.
    """
    if not isinstance(turn, dict) or any(str(key).casefold() in SPEAKER_KEYS for key in turn):
        yield turn
        return
    pair = next((keys for keys in _QUESTION_ANSWER if set(keys) <= turn.keys()), None)
    if pair:
        rest = {key: value for key, value in turn.items() if key not in pair}
        yield {"role": "user", "content": turn[pair[0]], **rest}
        yield {"role": "assistant", "content": turn[pair[1]]}
        return
    speakers = [key for key in turn if normal(str(key)) in SPEAKERS and turn[key] is not None]
    rest = {key: value for key, value in turn.items() if normal(str(key)) not in SPEAKERS}
    if not speakers or (rest and len(speakers) < 2):
        yield turn
        return
    for index, speaker in enumerate(speakers):
        yield {"role": speaker, "content": turn[speaker], **({} if index else rest)}


def _by_turn(turns: Any) -> Any:
    """A conversation that is held as a list of speakers and a list of what they say (older `datasets`), turn by turn."""
    if not isinstance(turns, dict) or not turns or not all(isinstance(column, list) for column in turns.values()):
        return turns
    rows = [dict(zip(turns, cells, strict=False)) for cells in zip(*turns.values(), strict=False)]
    is_even = len({len(column) for column in turns.values()}) == 1
    return rows if is_even and rows and is_turn(rows[0]) else turns
