"""Scores on held-out rows: the loss of all of them, and what the model answers or predicts."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from tunewright.data.examples.formats import Example, Message
from tunewright.data.tokenized.thinking import CLOSE, OPEN, thinking_of
from tunewright.data.tokenized.tokenization import TokenizedExample
from tunewright.data.tokenized.tokenizer import TextTokenizer
from tunewright.engine.evaluation.generation import generate
from tunewright.engine.evaluation.prediction import Prediction, predict
from tunewright.engine.system.oom import BatchSizeBackoff, RowGroup
from tunewright.engine.tasks.collator import StepCollator
from tunewright.kernels.cross_entropy import LossFunction, MicroBatch
from tunewright.metrics import scoring
from tunewright.metrics.scoring import exact_match, is_json_task, json_scores
from tunewright.planning.peft_kwargs import LABELLED
from tunewright.rundir.event_log import finite

Progress = Callable[[int, int], None]
EvaluatedRow = tuple[dict[str, float], list[dict[str, Any]]]  # scores, and the samples behind them
READ_TOKENS = 2048


def held_out_loss(
    model: nn.Module, rows: Sequence[TokenizedExample], loss: LossFunction, collator: StepCollator,
    portions: BatchSizeBackoff | None = None,
) -> float:  # fmt: skip
    """Mean loss over all units of the rows: label tokens, words or rows."""
    total = 0.0

    def add(group: RowGroup, batch: MicroBatch) -> None:
        nonlocal total
        total += float(loss(model, batch))

    _read(model, rows, collator, add, portions or BatchSizeBackoff())
    return total / collator.units(rows)


def row_losses(
    model: nn.Module, rows: Sequence[TokenizedExample], loss: LossFunction, collator: StepCollator, progress: Progress,
    portions: BatchSizeBackoff,
) -> list[dict[str, Any]]:  # fmt: skip
    """Of each row its number, the sum of its losses, and the units that these are of; blocks of a long text are one row."""
    found: dict[int, float] = {}

    def add(group: RowGroup, batch: MicroBatch) -> None:
        found.update(zip(group, loss(model, batch, by_row=True).tolist(), strict=True))
        progress(len(found), len(rows))

    _read(model, rows, collator, add, portions)
    losses: dict[int, dict[str, Any]] = {}
    for i, row in enumerate(rows):  # a conversation may be several texts
        of_row = losses.setdefault(row.number, {"row": row.number, "loss": 0.0, "units": 0})
        of_row["loss"] += found[i]
        of_row["units"] += collator.units([row])
    return list(losses.values())


@torch.no_grad()
def _read(
    model: nn.Module, rows: Sequence[TokenizedExample], collator: StepCollator, work: Callable[[RowGroup, MicroBatch], None],
    portions: BatchSizeBackoff,
) -> None:  # fmt: skip
    """Do something with all rows, a micro-batch at a time, as the model is in use."""
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device

    def read(group: RowGroup) -> None:
        batch = collator.collate([rows[i] for i in group], collator.pad_id)
        work(group, {name: tensor.to(device) for name, tensor in batch.items()})

    portions.each(collator.groups(rows), read)
    model.train(was_training)


def spread(rows: Sequence[TokenizedExample], most: int) -> list[TokenizedExample]:
    """At most so many rows, evenly from the first to the last: files often stand in the order of their labels."""
    count = min(most, len(rows))
    return [rows[i * len(rows) // count] for i in range(count)]


@dataclass(frozen=True)
class EvaluationResult:
    """Plain scores, the samples behind them, and the losses of single rows."""

    scores: dict[str, float]
    samples: list[dict[str, Any]]
    losses: list[dict[str, Any]]


@dataclass(frozen=True)
class Evaluator:
    """Tests a model of one task on the same rows in the same way, before and after.

    `loss` is the plain or fast one of the training; `answers` rows are generated for where the task writes. `portions` says
    how small its batches are.
    """

    task: str
    rows: Sequence[TokenizedExample]
    examples: Mapping[int, Example]
    tokenizer: TextTokenizer
    collator: StepCollator
    loss: LossFunction
    labels: Sequence[str]
    problem_type: str | None
    answers: int
    max_new_tokens: int
    merge: bool
    portions: BatchSizeBackoff

    def evaluate(self, model: nn.Module, progress: Progress = lambda done, total: None) -> EvaluationResult:
        """Held-out loss on all rows, and the task's scores."""
        asked = self._asked()
        weight = len(self.rows) + 3 * len(asked)  # writing an answer takes about three times as long as reading one
        read = self.rows, self.loss, self.collator
        losses = row_losses(model, *read, lambda done, _: progress(done, weight), self.portions)
        mean = math.fsum(row["loss"] for row in losses) / self.collator.units(self.rows)
        scores = {"held_out_loss": mean}
        if self.task == "causal_lm":
            scores["perplexity"] = math.exp(min(mean, 700.0))
        tested = self._labelled if self.task in LABELLED else self._written
        found, samples = tested(model, asked, lambda done, _: progress(len(self.rows) + 3 * done, weight))
        return EvaluationResult(scores | found, samples, losses)

    def _asked(self) -> list[TokenizedExample]:
        if self.task == "causal_lm":
            last = {
                row.number: row for row in self.rows
            }  # of a conversation in several texts the one of its last answer
            return spread([row for row in last.values() if 0 < row.prompt_length < len(row.input_ids)], self.answers)
        return spread(self.rows, self.answers) if self.task == "seq2seq" else list(self.rows)

    def _written(self, model: nn.Module, asked: Sequence[TokenizedExample], progress: Progress) -> EvaluatedRow:
        """What the model answers to the rows."""
        prompts = [row.input_ids[: row.prompt_length] if self.task == "causal_lm" else row.input_ids for row in asked]
        options: dict[str, Any] = {"max_new_tokens": self.max_new_tokens, "merge": self.merge, "progress": progress}
        written = generate(model, prompts, self.tokenizer, portions=self.portions, **options)
        answers = [without_thinking(answer.text) for answer in written]
        references = [self._reference(row) for row in asked]
        samples = [
            {
                "row": row.number, "prompt": _prompt(self.examples[row.number]), "reference": reference,
                "answer": answer.text, "is_cut": answer.is_cut,
            }
            for row, reference, answer in zip(asked, references, written, strict=True)
        ]  # fmt: skip
        return self._text_scores(answers, references) if asked else {}, samples

    def _reference(self, row: TokenizedExample) -> str:
        """What the row's last answer is compared with: its text without thinking, or its calls as they are written."""
        last = self.examples[row.number].messages[-1]
        if last.tool_calls:
            return without_thinking(self.tokenizer.decode(row.input_ids[row.prompt_length :]))
        return thinking_of(last)[1]

    def _text_scores(self, answers: Sequence[str], references: Sequence[str]) -> dict[str, float]:
        is_json = is_json_task(references)
        scores = json_scores(answers, references) if is_json else {}
        if self.task == "seq2seq":
            return scoring.text_scores(answers, references) | scores
        return scores if is_json else {"exact_match": exact_match(answers, references)}

    def _labelled(self, model: nn.Module, asked: Sequence[TokenizedExample], progress: Progress) -> EvaluatedRow:
        """How the model labels the rows."""
        kind = self.labels, self.problem_type
        predictions = predict(model, asked, self.collator, *kind, progress, self.portions)
        examples = [self.examples[row.number] for row in asked]
        if not asked:
            return {}, []
        if self.task == "token_cls":
            found = [whole(p.labels, len(e.tags)) for p, e in zip(predictions, examples, strict=True)]
            scores = scoring.tag_scores(found, [e.tags for e in examples])
            return scores, [self._tagged(*pair) for pair in zip(examples, found, strict=True)]
        samples = [
            {
                "row": e.number,
                "prompt": _text(e),
                "reference": _spoken(e.target),
                "answer": spoken_prediction(p, self.problem_type),
                "probability": finite(p.probability),
            }
            for e, p in zip(examples, predictions, strict=True)
        ]
        return self._label_scores(predictions, examples), samples

    def _label_scores(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> dict[str, float]:
        if self.problem_type == "regression":
            return scoring.regression_scores([p.number for p in predictions], [float(str(e.target)) for e in examples])
        if self.problem_type == "multi_label_classification":
            return scoring.multi_label_scores([p.labels for p in predictions], [_names(e) for e in examples])
        return scoring.classification_scores([p.labels[0] for p in predictions], [str(e.target) for e in examples])

    def _tagged(self, example: Example, tags: Sequence[str]) -> dict[str, Any]:
        return {
            "row": example.number, "prompt": " ".join(example.words),
            "reference": spoken_tags(example.words, example.tags, self.labels),
            "answer": spoken_tags(example.words, tags, self.labels),
            "gold_tags": list(example.tags), "tags": list(tags),
        }  # fmt: skip


def without_thinking(answer: str) -> str:
    """An answer behind its thinking, which may have been opened in the prompt; nothing of one that never came to an end."""
    head, closing, rest = answer.partition(CLOSE)
    is_thought = head.lstrip().startswith(OPEN) or (closing and head.endswith("\n") and OPEN not in head)
    return rest.lstrip() if is_thought else answer


def _names(example: Example) -> tuple[str, ...]:
    assert isinstance(example.target, tuple)
    return example.target


def spoken_prediction(prediction: Prediction, problem_type: str | None) -> str:
    """A prediction as people read it: a label, labels with commas, or a number."""
    return f"{prediction.number:.4g}" if problem_type == "regression" else ", ".join(prediction.labels)


def _spoken(target: object) -> str:
    if isinstance(target, tuple):
        return ", ".join(target)
    return f"{target:.4g}" if isinstance(target, float) else str(target)


def whole(tags: tuple[str, ...], length: int) -> tuple[str, ...]:
    """Tags for all words of a row: those that were cut off are words that the model did not tag."""
    return tags + ("O",) * (length - len(tags))


def spoken_tags(words: Sequence[str], tags: Sequence[str], labels: Sequence[str]) -> str:
    """Entities as "city: New York; count: two", or plain tags as "word/TAG"; `labels` are all tags there are."""
    if not scoring.has_entities(labels):
        return " ".join(f"{word}/{tag}" for word, tag in zip(words, tags, strict=True))
    found = scoring.entities(tags)
    return "; ".join(f"{kind}: {' '.join(words[start : end + 1])}" for kind, start, end in found)


def _text(example: Example) -> str:
    return f"{example.text}\n{example.pair}" if example.pair else example.text


def _prompt(example: Example) -> str:
    """What a person would call the question: the last user turn, or the turns before the answer."""
    asked = [message for message in example.messages[:-1] if message.role != "system"]
    return asked[-1].content if len(asked) == 1 else "\n".join(f"{m.role}: {_said(m)}" for m in example.messages[:-1])


def _said(message: Message) -> str:
    """A turn as people read it: its text, and the calls that it makes."""
    calls = (call["function"] for call in message.tool_calls)
    return " ".join(
        [message.content, *(f"{c['name']}({json.dumps(c['arguments'], ensure_ascii=False)})" for c in calls)]
    ).strip()
