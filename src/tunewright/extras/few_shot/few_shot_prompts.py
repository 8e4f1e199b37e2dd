"""Few-shot prompts: the base model with training rows in its prompt, evaluated as in the run, without any training."""

import random
from collections.abc import Sequence
from dataclasses import replace
from statistics import median

from tunewright.data.examples.formats import Example, Message
from tunewright.data.load_examples import load_examples
from tunewright.data.tokenized.tokenization import IGNORED, TokenizedExample, encode
from tunewright.data.tokenized.tokenizer import TextTokenizer
from tunewright.engine.training.dataset import TokenizedDataset
from tunewright.errors import error
from tunewright.i18n import N_
from tunewright.planning.run_plan import Plan

MOST_ROWS = 200_000  # that examples are drawn from; their texts are in memory


def with_examples(
    plan: Plan, data: TokenizedDataset, tokenizer: TextTokenizer, shots: int
) -> tuple[list[TokenizedExample], int]:
    """The held-out rows with up to `shots` training rows shown before each, and how many fit.

    The examples are sampled with the run's seed from the shorter half, and are the same for all rows. The same tokens of a
    row are measured as in the run's own evaluation, so that losses can be compared.
    Raises: DataError E230 where there can be no examples.
    """
    assert plan.run.task == "causal_lm"
    if plan.run.data.train_on != "answers":
        raise error("E230", reason=N_("the loss is on whole texts, not on answers"))
    examples = _drawn(plan, data.train, shots)
    if not examples:
        raise error("E230", reason=N_("no row is one question and one answer"))
    room = plan.facts.model.max_position_embeddings - plan.run.eval.max_new_tokens
    while examples:
        rows = _with_turns_before([message for example in examples for message in _turns(example)], data, tokenizer)
        if max(len(row.input_ids) for row in rows) <= room:
            return rows, len(examples)
        examples = examples[:-1]
    raise error("E230", reason=N_("with an example before it a row is longer than the model reads"))


def _drawn(plan: Plan, rows: Sequence[TokenizedExample], shots: int) -> list[Example]:
    """Rows of one question and one answer, from the shorter half of them; of very many rows, of the first."""
    loaded = load_examples(plan.run.data, plan.run.train.data_seed, "causal_lm", keep=MOST_ROWS)
    pairs = {
        example.number: example
        for example in loaded.train
        if [turn.role for turn in _turns(example)] == ["user", "assistant"]
    }
    candidates = [row for row in rows if row.number in pairs]
    if not candidates:
        return []
    half = median(len(row.input_ids) for row in candidates)
    short = [pairs[row.number] for row in candidates if len(row.input_ids) <= half]
    return random.Random(plan.run.train.seed).sample(short, min(shots, len(short)))


def _turns(example: Example) -> list[Message]:
    return [message for message in example.messages if message.role != "system"]


def _with_turns_before(
    turns: Sequence[Message], data: TokenizedDataset, tokenizer: TextTokenizer
) -> list[TokenizedExample]:
    """The held-out rows with these turns after their system turn. Raises: DataError E230 where the template refuses that."""
    if len({row.number for row in data.held_out}) < len(data.held_out):
        raise error("E230", reason=N_("the template formats an answer differently after other turns"))
    examples = [data.held_out_examples[row.number] for row in data.held_out]
    if not all(example.messages for example in examples):
        raise error("E230", reason=N_("some held-out rows are plain text, without a question"))
    prompted = []
    for example in examples:
        system = [message for message in example.messages if message.role == "system"]
        prompted.append(replace(example, messages=(*system, *turns, *_turns(example))))
    (plain, _), (longer, problems) = (encode(rows, tokenizer, max_length=None) for rows in (examples, prompted))
    if problems:
        raise error("E230", reason=problems[0].message())
    return [_with_tested_labels(*rows) for rows in zip(longer, plain, data.held_out, strict=True)]


def _with_tested_labels(
    longer: TokenizedExample, plain: TokenizedExample, tested: TokenizedExample
) -> TokenizedExample:
    """The longer row with the label tokens that the run's evaluation measures: its own, up to the truncation."""
    places = [i for i, label in enumerate(longer.labels) if label != IGNORED][-plain.num_label_tokens :]
    measured_places = places[: tested.num_label_tokens]
    end = measured_places[-1] + 1
    first = measured_places[0]
    labels = [int(label) if first <= i < end else IGNORED for i, label in enumerate(longer.labels)]
    measured = [label for label in labels if label != IGNORED]
    if measured != [label for label in tested.labels if label != IGNORED]:
        raise error("E230", reason=N_("the template formats an answer differently after other turns"))
    return replace(longer, input_ids=longer.input_ids[:end], labels=labels[:end])
