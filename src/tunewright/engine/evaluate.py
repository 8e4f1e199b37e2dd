"""Scores on held-out rows: the loss of all of them, and the written answers of some."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from tunewright.accel.loss import LossFunction
from tunewright.data.encode import Encoded
from tunewright.data.formats import Example
from tunewright.data.pack import micro_batches
from tunewright.data.score import exact_match, is_json_task, json_scores
from tunewright.data.tokenizer import TextTokenizer
from tunewright.engine.collate import num_predicted, pad_right
from tunewright.engine.generate import generate

Progress = Callable[[int, int], None]
READ_TOKENS = 2048


@torch.no_grad()
def held_out_loss(
    model: nn.Module, rows: Sequence[Encoded], loss: LossFunction, *, pad_id: int, max_tokens: int,
    progress: Progress = lambda done, total: None,
) -> float:  # fmt: skip
    """Mean loss over all label tokens of the rows."""
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    total, done = 0.0, 0
    for group in micro_batches([len(row.ids) for row in rows], max_tokens):
        batch = {name: tensor.to(device) for name, tensor in pad_right([rows[i] for i in group], pad_id).items()}
        total += float(loss(model, batch))
        done += len(group)
        progress(done, len(rows))
    model.train(was_training)
    return total / num_predicted(rows)


@dataclass(frozen=True)
class Evaluation:
    """Plain scores and the samples behind them."""

    scores: dict[str, float]
    samples: list[dict[str, Any]]


def evaluate(
    model: nn.Module,
    rows: Sequence[Encoded],
    examples: Mapping[int, Example],
    tokenizer: TextTokenizer,
    loss: LossFunction,
    *,
    generate_rows: int,
    max_new_tokens: int,
    progress: Progress = lambda done, total: None,
) -> Evaluation:
    """Held-out loss and perplexity on all rows; answers written for the first `generate_rows`, scored by what they are.

    Answers that are JSON objects are scored by `valid`, `exact_match` and `field_f1`; others by `exact_match`.
    """
    asked = [row for row in rows if 0 < row.prompt_length < len(row.ids)][:generate_rows]
    weight = len(rows) + 3 * len(asked)  # writing an answer takes about three times as long as reading one
    mean = held_out_loss(
        model,
        rows,
        loss,
        pad_id=tokenizer.end_ids[0],
        max_tokens=READ_TOKENS,
        progress=lambda d, _: progress(d, weight),
    )
    scores = {"held_out_loss": mean, "perplexity": math.exp(min(mean, 700.0))}
    answers = generate(
        model,
        [row.ids[: row.prompt_length] for row in asked],
        tokenizer,
        max_new_tokens=max_new_tokens,
        progress=lambda d, _: progress(len(rows) + 3 * d, weight),
    )
    references = [examples[row.number].messages[-1].content for row in asked]
    if asked:
        scores |= (
            json_scores(answers, references)
            if is_json_task(references)
            else {"exact_match": exact_match(answers, references)}
        )
    samples = [
        {"row": row.number, "prompt": _prompt(examples[row.number]), "reference": reference, "answer": answer}
        for row, reference, answer in zip(asked, references, answers, strict=True)
    ]
    return Evaluation(scores, samples)


def _prompt(example: Example) -> str:
    """What a person would call the question: the last user turn, or the turns before the answer."""
    users = [message.content for message in example.messages[:-1] if message.role != "system"]
    return users[-1] if len(users) == 1 else "\n".join(f"{m.role}: {m.content}" for m in example.messages[:-1])
