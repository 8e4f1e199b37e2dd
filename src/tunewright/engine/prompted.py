"""The base model with training rows in its prompt, on the run's own test: what it reaches without any training."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median

from tunewright.data.encode import IGNORED, Encoded, encode
from tunewright.data.formats import Example, Message
from tunewright.data.gate import load_examples
from tunewright.data.tokenizer import TextTokenizer
from tunewright.engine.evaluate import Examiner
from tunewright.engine.prepare import Prepared
from tunewright.errors import error
from tunewright.i18n import N_
from tunewright.plan.plan import Plan


def with_examples(
    test: Examiner, plan: Plan, data: Prepared, tokenizer: TextTokenizer, shots: int
) -> tuple[Examiner, int]:
    """The same test with up to `shots` training rows shown before each question, and how many fit.

    The rows are drawn with the run's seed from the shorter half, and are the same for all questions. Only the last answer
    of a row is measured, as in a test without them.
    Raises: DataError E230 where rows cannot be shown.
    """
    assert plan.run.task == "causal_lm" and plan.run.data.max_length != "auto"
    loaded = load_examples(plan.run.data, plan.run.train.data_seed, plan.run.task)
    shown = _drawn(data.train, {one.number: one for one in loaded.train}, shots, plan.run.train.seed)
    room = plan.facts.model.max_position_embeddings - test.max_new_tokens
    while shown:
        rows = _encoded(test, [message for example in shown for message in _turns(example)], tokenizer)
        if rows and max(len(row.ids) for row in rows) <= room:
            return replace(test, rows=rows), len(shown)
        shown = shown[:-1]
    raise error("E230", reason=N_("no row of questions and answers is short enough"))


def _drawn(rows: Sequence[Encoded], examples: Mapping[int, Example], shots: int, seed: int) -> list[Example]:
    """Rows of one question and one answer, from the shorter half of them."""
    asked = [row for row in rows if row.prompt_length and _is_pair(examples.get(row.number))]
    if not asked:
        return []
    half = median(len(row.ids) for row in asked)
    short = [examples[row.number] for row in asked if len(row.ids) <= half]
    return random.Random(seed).sample(short, min(shots, len(short)))


def _is_pair(example: Example | None) -> bool:
    return example is not None and [turn.role for turn in _turns(example)] == ["user", "assistant"]


def _turns(example: Example) -> list[Message]:
    return [message for message in example.messages if message.role != "system"]


def _encoded(test: Examiner, shown: Sequence[Message], tokenizer: TextTokenizer) -> list[Encoded]:
    """The test's rows with the examples behind their system turn; none if the template refuses one."""
    examples = []
    for row in test.rows:
        example = test.examples[row.number]
        system = [message for message in example.messages if message.role == "system"]
        examples.append(replace(example, messages=(*system, *shown, *_turns(example))))
    rows, problems = encode(examples, tokenizer, max_length=None)
    if problems:
        return []
    return [replace(row, labels=_last_answer(row)) for row in rows]


def _last_answer(row: Encoded) -> list[int]:
    return [IGNORED if i < row.prompt_length else int(label) for i, label in enumerate(row.labels)]
