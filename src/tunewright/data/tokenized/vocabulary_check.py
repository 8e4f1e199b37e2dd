"""Tokens that a model has no row for in its embedding, and tokens that it reads as the end of something."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tunewright.config.tasks import TASKS, Task
from tunewright.data.examples.formats import Example
from tunewright.data.tokenized.tokenizer import TextTokenizer
from tunewright.errors import Problem
from tunewright.security import python_line

NAMED = 5
LARGEST_ID = 2**31  # configs may name any number as an end


@dataclass(frozen=True)
class EmbeddingRows:
    """How many ids a model has a row for, and the folder it is read from."""

    rows: int
    folder: str


def beyond_problem(ids: Sequence[int], tokenizer: TextTokenizer, task: Task, embedding: EmbeddingRows) -> Problem:
    """E250 with the tokens by name and the lines that make a row for each."""
    token_list = ", ".join(f"{tokenizer.backend.id_to_token(number)} ({number})" for number in ids[:NAMED])
    values = {
        "count": len(ids),
        "rows": embedding.rows,
        "names": token_list + (", ..." if len(ids) > NAMED else ""),
        "command": _resize(embedding.folder, task),
        "ids": "[" + ",".join(map(str, ids)) + "]",
    }
    return Problem("E250", values=values)


def _resize(folder: str, task: Task) -> str:
    """A command that writes the model with a row for every token of its tokenizer to the folder `resized`."""
    loader = TASKS[task].auto_class if TASKS[task].writes else "AutoModel"
    return python_line(
        f"from transformers import {loader}, AutoTokenizer",
        f"t = AutoTokenizer.from_pretrained({folder!r})",
        f"m = {loader}.from_pretrained({folder!r})",
        "m.resize_token_embeddings(max(t.get_vocab().values()) + 1)",
        "m.save_pretrained('resized')",
        "t.save_pretrained('resized')",
    )


def all_texts(example: Example) -> list[str]:
    """Every text of an example: of its turns, its words, itself."""
    return [*(message.content for message in example.messages), *example.words, example.text, example.pair]


def has_token(example: Example, tokens: Iterable[str]) -> bool:
    """Whether a text that should not have any holds one of these `control_tokens`; plain text may."""
    texts = [message.content for message in example.messages] + list(example.words)
    texts += [example.text, example.pair] if example.target is not None else []
    return any(token in text for text in texts for token in tokens)


def control_tokens(tokenizer: TextTokenizer) -> frozenset[str]:
    """The tokens that end a turn or a text.

    Tokens that were added for the task are intended: only those count that the model's configs name or its template writes.
    """
    template, named = tokenizer.chat_template or "", set(tokenizer.special_tokens.values())
    ends = {tokenizer.backend.id_to_token(number) for number in tokenizer.end_ids if 0 <= number < LARGEST_ID}
    return frozenset(token for token in tokenizer.added_tokens if token in named or token in ends or token in template)
