"""llama.cpp's answers in OpenAI's form: under the asked name, without its own measurements."""

from collections.abc import Sequence
from typing import Any

JsonAnswer = dict[str, Any]


def chat_event(answer: JsonAnswer, name: str) -> JsonAnswer:
    """An answer of the chat, or a part of its stream."""
    return {key: value for key, value in answer.items() if key not in ("timings", "__verbose")} | {"model": name}


def completion_event(answer: JsonAnswer, name: str) -> JsonAnswer:
    """A completion, or a part of its stream, with the log-probabilities in the older form that completions have."""
    event = chat_event(answer, name)
    choices = [{**choice, "logprobs": _older_logprobs(choice.get("logprobs"))} for choice in event["choices"]]
    return event | {"choices": choices, "id": str(event["id"]).replace("chatcmpl-", "cmpl-", 1)}


def _older_logprobs(logprobs: JsonAnswer | None) -> JsonAnswer | None:
    if not logprobs:
        return None
    tokens = [entry["token"] for entry in logprobs["content"]]
    starts = [sum(map(len, tokens[:number])) for number in range(len(tokens))]
    return {
        "tokens": tokens,
        "token_logprobs": [entry["logprob"] for entry in logprobs["content"]],
        "top_logprobs": [
            {top["token"]: top["logprob"] for top in entry["top_logprobs"]} for entry in logprobs["content"]
        ],
        "text_offset": starts,
    }


def joined(answers: Sequence[JsonAnswer]) -> JsonAnswer:
    """Several answers as one: their choices numbered, their tokens summed (llama.cpp counts only the first of `n`)."""
    if len(answers) == 1:
        return answers[0]
    choices = [{**answer["choices"][0], "index": number} for number, answer in enumerate(answers)]
    counts = ("prompt_tokens", "completion_tokens", "total_tokens")
    usage = {name: sum(answer["usage"][name] for answer in answers) for name in counts}
    return answers[0] | {"choices": choices, "usage": usage}
