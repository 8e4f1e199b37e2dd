"""Scores on held-out rows: the loss of all of them, and what the model answers or predicts."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from tunewright.data.examples.formats import Example, Message
from tunewright.data.examples.number_formats import number_text
from tunewright.data.tokenized.thinking import thinking_of
from tunewright.data.tokenized.tokenization import TokenizedExample
from tunewright.data.tokenized.tokenizer import TextTokenizer
from tunewright.engine.evaluation.generation import generate
from tunewright.engine.evaluation.prediction import Prediction, predict_with_losses
from tunewright.engine.system.oom import BatchSizeBackoff, RowGroup
from tunewright.engine.tasks.collator import StepCollator
from tunewright.engine.tasks.task_losses import RowLoss, TagLoss
from tunewright.kernels.cross_entropy import LossFunction, MicroBatch
from tunewright.metrics import scoring
from tunewright.metrics.evaluated_rows import ExampleLoss, Sample
from tunewright.metrics.scoring import exact_match, final_answer, is_json_task, json_scores
from tunewright.planning.peft_kwargs import LABELLED
from tunewright.reporting import SILENT, PartReporter, Reporter

ScoresAndSamples = tuple[dict[str, float], list[Sample]]  # scores, and the samples that they were computed from
READ_TOKENS = 2048


def held_out_loss(
    model: nn.Module,
    rows: Sequence[TokenizedExample],
    loss: LossFunction,
    collator: StepCollator,
    backoff: BatchSizeBackoff | None = None,
) -> float:
    """Mean loss over all units of the rows: label tokens, words or rows."""
    sums: dict[int, float] = {}
    backoff = backoff or BatchSizeBackoff()

    def add(group: RowGroup, batch: MicroBatch) -> None:
        sums[group[0]] = float(loss(model, batch))

    order = _for_each_micro_batch(model, rows, collator, add, backoff)
    sums = backoff.ranks.union(sums)
    return sum(sums[i] for i in order if i in sums) / collator.units(rows)


def row_losses(
    model: nn.Module,
    rows: Sequence[TokenizedExample],
    loss: LossFunction,
    collator: StepCollator,
    reporter: Reporter,
    backoff: BatchSizeBackoff,
) -> list[ExampleLoss]:
    """For each row its number, the sum of its losses, and how many units that sum is over; blocks of a long text are one row."""
    losses_by_position: dict[int, float] = {}

    def add(group: RowGroup, batch: MicroBatch) -> None:
        losses_by_position.update(zip(group, loss(model, batch, by_row=True).tolist(), strict=True))
        reporter.progress(backoff.ranks.scaled(len(losses_by_position), len(rows)), len(rows))

    _for_each_micro_batch(model, rows, collator, add, backoff)
    losses_by_position = backoff.ranks.union(losses_by_position)
    return _by_row(rows, [losses_by_position[i] for i in range(len(rows))], collator)


def _by_row(
    rows: Sequence[TokenizedExample], losses_by_position: Sequence[float], collator: StepCollator
) -> list[ExampleLoss]:
    """The losses of texts as those of the rows that they are from."""
    losses: dict[int, float] = {}
    units: dict[int, int] = {}
    for row, loss in zip(rows, losses_by_position, strict=True):  # a conversation may be several texts
        losses[row.number] = losses.get(row.number, 0.0) + loss
        units[row.number] = units.get(row.number, 0) + collator.units([row])
    # Not validated here: a loss that is not finite is for the caller, who ends the run with E512 before anything is stored.
    return [ExampleLoss.model_construct(row=number, loss=loss, units=units[number]) for number, loss in losses.items()]


@torch.no_grad()
def _for_each_micro_batch(
    model: nn.Module,
    rows: Sequence[TokenizedExample],
    collator: StepCollator,
    work: Callable[[RowGroup, MicroBatch], None],
    backoff: BatchSizeBackoff,
) -> list[int]:
    """Do `work` with the rows, a micro-batch at a time, in evaluation mode. The positions of all rows in the order of the groups;
    of several processes each does those groups that are dealt to it.
    """
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device

    def read(group: RowGroup) -> None:
        batch = collator.collate([rows[i] for i in group], collator.pad_id)
        work(group, {name: tensor.to(device) for name, tensor in batch.items()})

    groups = collator.groups(rows)
    backoff.for_each(groups, read)
    model.train(was_training)
    return [i for group in groups for i in group]


def spread(rows: Sequence[TokenizedExample], limit: int) -> list[TokenizedExample]:
    """At most this many rows, evenly from the first to the last: files are often sorted by label."""
    count = min(limit, len(rows))
    return [rows[i * len(rows) // count] for i in range(count)]


@dataclass(frozen=True)
class EvaluationResult:
    """Plain scores, the samples that they were computed from, and the losses of single rows."""

    scores: dict[str, float]
    samples: list[Sample]
    losses: list[ExampleLoss]


@dataclass(frozen=True)
class Evaluator:
    """Evaluates a model of one task on the same rows in the same way, before and after training.

    `loss` is the plain or fast one of the training; where the task generates, `num_answers` rows are answered. `backoff`
    holds how small its batches are.
    """

    task: str
    rows: Sequence[TokenizedExample]
    examples: Mapping[int, Example]
    tokenizer: TextTokenizer
    collator: StepCollator
    loss: LossFunction
    labels: Sequence[str]
    problem_type: str | None
    num_answers: int
    max_new_tokens: int
    merge: bool
    backoff: BatchSizeBackoff

    def evaluate(self, model: nn.Module, reporter: Reporter = SILENT) -> EvaluationResult:
        """Held-out loss on all rows, and the task's scores."""
        if self.task in LABELLED:
            return self._evaluate_labels(model, reporter)
        rows = self._rows_to_answer()
        answer_weight = 3 * len(rows)  # generating an answer takes about three times as long as reading one
        weight = len(self.rows) + answer_weight
        loss_part = PartReporter(reporter, 0, len(self.rows), weight)
        answer_part = PartReporter(reporter, len(self.rows), answer_weight, weight)
        losses = row_losses(model, self.rows, self.loss, self.collator, loss_part, self.backoff)
        scores = {"held_out_loss": self._mean(losses)}
        if self.task == "causal_lm":
            scores["perplexity"] = math.exp(min(scores["held_out_loss"], 700.0))
        task_scores, samples = self._generation_scores(model, rows, answer_part)
        return EvaluationResult(scores | task_scores, samples, losses)

    def _evaluate_labels(self, model: nn.Module, reporter: Reporter) -> EvaluationResult:
        """Losses and labels of all rows from one pass."""
        assert isinstance(self.loss, RowLoss | TagLoss)
        predictions, row_sums = predict_with_losses(
            model, self.rows, self.collator, self.loss, self.labels, self.problem_type, reporter, self.backoff
        )
        losses = _by_row(self.rows, row_sums, self.collator)
        task_scores, samples = self._classification_scores(predictions)
        return EvaluationResult({"held_out_loss": self._mean(losses)} | task_scores, samples, losses)

    def _mean(self, losses: Sequence[ExampleLoss]) -> float:
        return math.fsum(row.loss for row in losses) / self.collator.units(self.rows)

    def _rows_to_answer(self) -> list[TokenizedExample]:
        if self.task == "causal_lm":
            # Of a conversation in several texts the one of its last answer.
            last = {row.number: row for row in self.rows}
            return spread(
                [row for row in last.values() if 0 < row.prompt_length < len(row.input_ids)], self.num_answers
            )
        return spread(self.rows, self.num_answers)

    def _generation_scores(
        self, model: nn.Module, rows: Sequence[TokenizedExample], reporter: Reporter
    ) -> ScoresAndSamples:
        """Scores of the answers that the model generates."""
        prompts = [row.input_ids[: row.prompt_length] if self.task == "causal_lm" else row.input_ids for row in rows]
        generated = generate(
            model,
            prompts,
            self.tokenizer,
            max_new_tokens=self.max_new_tokens,
            merge=self.merge,
            reporter=reporter,
            backoff=self.backoff,
        )
        answers = [final_answer(answer.text) for answer in generated]
        references = [self._reference(row) for row in rows]
        samples = [
            Sample(
                row=row.number,
                prompt=_question(self.examples[row.number]),
                reference=reference,
                answer=answer.text,
                is_cut=answer.is_cut,
            )
            for row, reference, answer in zip(rows, references, generated, strict=True)
        ]
        return self._text_scores(answers, references) if rows else {}, samples

    def _reference(self, row: TokenizedExample) -> str:
        """What the row's last answer is compared with: its text without thinking, or its calls as the template writes them."""
        last = self.examples[row.number].messages[-1]
        if last.tool_calls:
            return final_answer(self.tokenizer.decode(row.input_ids[row.prompt_length :]))
        return thinking_of(last)[1]

    def _text_scores(self, answers: Sequence[str], references: Sequence[str]) -> dict[str, float]:
        is_json = is_json_task(references)
        scores = json_scores(answers, references) if is_json else {}
        if self.task == "seq2seq":
            return scoring.text_scores(answers, references) | scores
        return scores if is_json else {"exact_match": exact_match(answers, references)}

    def _classification_scores(self, predictions: Sequence[Prediction]) -> ScoresAndSamples:
        """Scores of the labels that the model predicts."""
        examples = [self.examples[row.number] for row in self.rows]
        if not examples:
            return {}, []
        if self.task == "token_cls":
            tags = [pad_tags(p.labels, len(e.tags)) for p, e in zip(predictions, examples, strict=True)]
            scores = scoring.tag_scores(tags, [e.tags for e in examples])
            return scores, [self._tag_sample(*pair) for pair in zip(examples, tags, strict=True)]
        samples = [
            Sample(
                row=e.number,
                prompt=_example_text(e),
                reference=_format_target(e.target),
                answer=format_prediction(p, self.problem_type),
                probability=p.probability,
                gold_labels=list(e.target) if isinstance(e.target, tuple) else [],
                labels=list(p.labels) if isinstance(e.target, tuple) else [],
            )
            for e, p in zip(examples, predictions, strict=True)
        ]
        return self._label_scores(predictions, examples), samples

    def _label_scores(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> dict[str, float]:
        if self.problem_type == "regression":
            return scoring.regression_scores([p.number for p in predictions], [float(str(e.target)) for e in examples])
        if self.problem_type == "multi_label_classification":
            return scoring.multi_label_scores([p.labels for p in predictions], [_names(e) for e in examples])
        return scoring.classification_scores([p.labels[0] for p in predictions], [str(e.target) for e in examples])

    def _tag_sample(self, example: Example, tags: Sequence[str]) -> Sample:
        return Sample(
            row=example.number,
            prompt=" ".join(example.words),
            reference=format_tags(example.words, example.tags, self.labels),
            answer=format_tags(example.words, tags, self.labels),
            words=list(example.words),
            gold_tags=list(example.tags),
            tags=list(tags),
        )


def _names(example: Example) -> tuple[str, ...]:
    assert isinstance(example.target, tuple)
    return example.target


def format_prediction(prediction: Prediction, problem_type: str | None) -> str:
    """A prediction as one text: a label, labels with commas, or all digits of a value."""
    return number_text(prediction.number) if problem_type == "regression" else ", ".join(prediction.labels)


def _format_target(target: object) -> str:
    if isinstance(target, tuple):
        return ", ".join(target)
    return number_text(target) if isinstance(target, float) else str(target)


def pad_tags(tags: tuple[str, ...], length: int) -> tuple[str, ...]:
    """Tags for all words of a row; words that were cut off get "O"."""
    return tags + ("O",) * (length - len(tags))


def format_tags(words: Sequence[str], tags: Sequence[str], labels: Sequence[str]) -> str:
    """Entities as "city: New York; count: two", or plain tags as "word/TAG"; `labels` are all tags there are."""
    if not scoring.has_entities(labels):
        return " ".join(f"{word}/{tag}" for word, tag in zip(words, tags, strict=True))
    return "; ".join(scoring.entity_text(words, entity) for entity in scoring.entities(tags))


def _example_text(example: Example) -> str:
    return f"{example.text}\n{example.pair}" if example.pair else example.text


def _question(example: Example) -> str:
    """What a person would call the question: the last user turn, or the turns before the answer."""
    turns = [message for message in example.messages[:-1] if message.role != "system"]
    if len(turns) == 1:
        return turns[-1].content
    return "\n".join(f"{message.role}: {_format_message(message)}" for message in example.messages[:-1])


def _format_message(message: Message) -> str:
    """A turn as people read it: its text, and the calls that it makes."""
    functions = (call["function"] for call in message.tool_calls)
    calls = [f"{f['name']}({json.dumps(f['arguments'], ensure_ascii=False)})" for f in functions]
    return " ".join([message.content, *calls]).strip()
