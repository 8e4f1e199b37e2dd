"""A finished run kept loaded, serving one request a line: `python -m tunewright.engine.session_server RUN`.

Requests and replies are JSON lines on standard input and output: {"do": "answer", ...} is answered with any number of
`ProgressReply`, then a `ResultReply` or an `ErrorReply`. What libraries print goes to the log.
"""

import json
import logging
import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NotRequired, TextIO, TypedDict

import jinja2
from peft import PeftModel
from transformers import PreTrainedModel

from tunewright.config.methods import virtual_tokens
from tunewright.data.tokenized.chat_template import from_turn
from tunewright.data.tokenized.tokenization import TokenizedExample, input_ids, prompt_ids, text_rows, word_rows
from tunewright.data.tokenized.tokenizer import load_tokenizer
from tunewright.engine.evaluation.evaluator import (
    READ_TOKENS,
    EvaluationResult,
    format_prediction,
    format_tags,
    pad_tags,
)
from tunewright.engine.evaluation.generation import generate
from tunewright.engine.evaluation.prediction import Prediction, predict
from tunewright.engine.export.save_model import merge, merge_inputs
from tunewright.engine.models.load_model import load_adapter, load_base
from tunewright.engine.models.peft_adapter import trains_biases, without_adapter
from tunewright.engine.system.oom import BatchSizeBackoff
from tunewright.engine.tasks.task_registry import make_collator
from tunewright.engine.training.build_trainer import make_evaluator
from tunewright.engine.training.dataset import TokenizedDataset, prepare
from tunewright.engine.training.loss_backends import known_backend
from tunewright.engine.worker import configure_logging
from tunewright.errors import TunewrightError, error, of_system
from tunewright.kernels.cpu_matmul import planned_matmul
from tunewright.planning.peft_kwargs import LABELLED
from tunewright.planning.run_plan import from_json
from tunewright.rundir import atomic_io, file_names
from tunewright.rundir.full_disk import keep_talking
from tunewright.rundir.model_card import card
from tunewright.rundir.run_dir import RunDir

logger = logging.getLogger(__name__)

MERGE_PROMPTS = 8
CONSUMES_MODEL = ("merge",)  # after these operations the model has changed, or is gone
NEW_TEXT_TOKENS = 4096  # new texts may be longer than those of the training, up to this


class ProgressReply(TypedDict):
    """How far the operation is; any number of them come before its result."""

    kind: Literal["progress"]
    done: int
    total: int


class ResultReply(TypedDict):
    """The end of a request that succeeded."""

    kind: Literal["result"]
    result: Mapping[str, object]


class ErrorReply(TypedDict):
    """The end of a request that failed; each problem is the record of a `Problem`."""

    kind: Literal["error"]
    problems: list[dict[str, Any]]


class ChatPrompt(TypedDict):
    """A conversation that ends with the user's turn, as in a row of chat data."""

    turns: list[dict[str, Any]]
    tools: NotRequired[list[dict[str, Any]]]


class TextInput(TypedDict):
    """A text to classify, and its second text if the task is on pairs."""

    text: str
    pair: str


class WordsInput(TypedDict):
    """Words to tag."""

    words: list[str]


class EvaluateResult(TypedDict):
    """Scores of base and tuned model on the same held-out rows."""

    before: dict[str, float]
    after: dict[str, float]
    rows: int
    held_out_rows: int
    samples: list[dict[str, Any]]
    baseline: dict[str, Any] | None


Reply = ProgressReply | ResultReply | ErrorReply
Send = Callable[[Reply], None]
Answers = dict[str, list[Any]]
"""Texts or labels under `tuned` and `base`, probabilities under `tuned_probability` and `base_probability`."""
Operations = Mapping[str, Callable[..., Mapping[str, object]]]


@dataclass(frozen=True)
class ReplyReporter:
    """Sends progress as replies. Notes have none and are dropped: those of a session are about its own cache."""

    send: Send

    def progress(self, done: int, total: int) -> None:
        self.send({"kind": "progress", "done": done, "total": total})

    def note(self, text: str) -> None:
        pass


@dataclass
class SessionServer:
    """Base and adapter of one run, in memory; `disable_adapter` gives the base's answers."""

    run: RunDir
    send: Send

    def __post_init__(self) -> None:
        self.reporter = ReplyReporter(self.send)
        self.plan = from_json(self.run.plan())
        folder = Path(self.plan.facts.model.tokenizer_folder)
        self.tokenizer = load_tokenizer(folder, self.plan.run.model.chat_template, self.run.day())
        self.model: PeftModel = load_adapter(load_base(self.plan, self.tokenizer), self.run.adapter_dir)

    @contextmanager
    def base(self) -> Iterator[PreTrainedModel | PeftModel]:
        """The base model: the adapter disabled, or a second copy where trained biases would remain in it."""
        if trains_biases(self.plan.run.peft):
            yield load_base(self.plan, self.tokenizer)
        else:
            with without_adapter(self.model) as base:
                yield base

    def data(self) -> TokenizedDataset:
        """The run's rows; their summary is written again if the run's folder is writable."""
        is_writable = atomic_io.refusal(self.run.path) is None
        return prepare(self.plan, self.run, self.tokenizer, self.reporter, writes_files=is_writable)

    def answer(self, prompts: list[Any], max_new_tokens: int, with_base: bool) -> Answers:
        """Answers or labels, with `with_base` also the base's; for single labels also the probabilities.

        A prompt is a `ChatPrompt` or its turns alone; for tasks that classify it is a `TextInput` or a `WordsInput`.
        """
        answer = self._labels if self.plan.run.task in LABELLED else self._texts
        answers = answer(self.model, prompts, max_new_tokens, "tuned")
        if not with_base:
            return answers
        with self.base() as base:
            return answers | answer(base, prompts, max_new_tokens, "base")

    def _texts(self, model: Any, prompts: list[Any], max_new_tokens: int, which: str) -> Answers:
        chats = [prompt if isinstance(prompt, dict) else ChatPrompt(turns=prompt) for prompt in prompts]
        answers = generate(
            model,
            [self._prompt_ids(chat) for chat in chats],
            self.tokenizer,
            max_new_tokens=max_new_tokens,
            merge="merged_lora" in self.plan.fast_paths,
            reporter=self.reporter,
        )
        return {which: [answer.text for answer in answers]}

    def _prompt_ids(self, prompt: ChatPrompt | dict[str, Any]) -> list[int]:
        turns = [from_turn(turn) for turn in prompt["turns"]]
        if self.plan.run.task == "seq2seq":
            return input_ids("\n".join(turn.content for turn in turns), self.tokenizer, self._longest())
        try:
            return prompt_ids(turns, self.tokenizer, prompt.get("tools") or (), self.plan.run.data.turns)
        except jinja2.TemplateError as refusal:
            raise error("E219", reason=str(refusal)) from refusal

    def _longest(self) -> int:
        return max(self.plan.run.data.max_length, min(NEW_TEXT_TOKENS, self.positions()))

    def positions(self) -> int:
        """The longest text that base and tuned model both read."""
        return self.plan.facts.model.max_position_embeddings - virtual_tokens(self.plan.run.peft)

    def _labels(self, model: Any, prompts: list[Any], max_new_tokens: int, which: str) -> Answers:
        return (self._tags if self.plan.run.task == "token_cls" else self._classes)(model, prompts, which)

    def _tags(self, model: Any, inputs: list[WordsInput], which: str) -> Answers:
        labels = self.plan.facts.data.labels
        words = [example["words"] for example in inputs]
        is_decoder = self.plan.facts.model.kind == "decoder"
        rows = word_rows(words, self.tokenizer, self._longest(), label_last=is_decoder)
        pairs = zip(words, self._predictions(model, rows), strict=True)
        return {which: [format_tags(w, pad_tags(p.labels, len(w)), labels) for w, p in pairs]}

    def _classes(self, model: Any, inputs: list[TextInput], which: str) -> Answers:
        texts = [(example["text"], example["pair"]) for example in inputs]
        predictions = self._predictions(model, text_rows(texts, self.tokenizer, self._longest()))
        answers: Answers = {which: [format_prediction(p, self.plan.facts.data.problem_type) for p in predictions]}
        if predictions and predictions[0].probability:
            answers[f"{which}_probability"] = [p.probability for p in predictions]
        return answers

    def _predictions(self, model: Any, rows: Sequence[TokenizedExample]) -> list[Prediction]:
        data = self.plan.facts.data
        collator = make_collator(self.plan, self.tokenizer, READ_TOKENS)
        return predict(model, rows, collator, data.labels, data.problem_type, self.reporter)

    def evaluate(self, rows: int | None) -> EvaluateResult:
        """Scores of base and tuned model on the run's held-out rows, computed again as in the run."""
        data = self.data()
        if not data.held_out:
            raise error("E210", path=f"{self.plan.run.data.train} (held out)")

        def evaluate_model(model: PreTrainedModel | PeftModel) -> EvaluationResult:
            backend = known_backend(self.plan, model, data.train)
            evaluator = make_evaluator(self.plan, data, self.tokenizer, backend, BatchSizeBackoff())
            if rows is not None:
                evaluator = replace(evaluator, num_answers=rows)
            return evaluator.evaluate(model, self.reporter)

        with self.base() as base:
            before = evaluate_model(base)
        after = evaluate_model(self.model)
        pairs = zip(after.samples, before.samples, strict=True)
        return {
            "before": before.scores,
            "after": after.scores,
            "rows": len(after.samples),
            "held_out_rows": len(after.losses),
            "samples": [{**tuned, "base": base_sample["answer"]} for tuned, base_sample in pairs],
            "baseline": data.baseline,
        }

    def _merge_inputs(self) -> list[list[int]]:
        """Held-out rows to check a merge on; none if the data have gone or changed since."""
        try:
            return merge_inputs(self.data().held_out[:MERGE_PROMPTS], self.plan)
        except TunewrightError:
            return []

    def merge(self, target: str | None) -> dict[str, Any]:
        """Merge into a folder; checked on the run's held-out rows, or on a few fixed texts."""
        spec = self.plan.run
        inputs = self._merge_inputs()
        if not inputs:
            inputs = [self.tokenizer.encode(text) for text in ("Hello, I am a", "The answer is", "1, 2, 3,")]
        folder = Path(target) if target else self.run.path / file_names.MERGED
        readme = card(self.plan, self.run, self.run.result().get("baseline"), is_merged=True)
        return merge(self.model, folder.resolve(), self.plan, self.tokenizer, inputs, spec.eval.max_new_tokens, readme)

    def hand_over(self) -> PeftModel:
        """The model, no longer referenced here, so that the caller can free its memory."""
        model = self.model
        del self.model
        return model


def operations(run: RunDir, send: Send) -> Operations:
    """The operations of a new session."""
    return session_operations(SessionServer(run, send))


def session_operations(session: SessionServer) -> Operations:
    """The operations of a session by name."""
    return {
        "answer": session.answer,
        "evaluate": session.evaluate,
        "merge": session.merge,
    }


def serve(
    run: RunDir,
    requests: TextIO,
    send: Send,
    load: Callable[[RunDir, Send], Operations] = operations,
    consumes_model: Collection[str] = CONSUMES_MODEL,
) -> None:
    """Serve requests until the input ends. A failed request keeps the session; after one of `consumes_model` it is reloaded."""
    loaded: Operations | None = None
    for line in requests:
        request = json.loads(line)
        operation = request.pop("do")
        logger.info("request: %s", operation)
        try:
            loaded = loaded or load(run, send)
            send({"kind": "result", "result": loaded[operation](**request)})
        except TunewrightError as fault:
            send(error_reply(fault))
        except OSError as fault:
            logger.exception("the operation %s failed", operation)
            send(error_reply(of_system(fault, run.path)))
        except Exception as fault:
            logger.exception("the operation %s failed", operation)
            send(error_reply(error("E802", reason=f"{type(fault).__name__}: {fault}")))
        if operation in consumes_model:
            loaded = None


def error_reply(fault: TunewrightError) -> ErrorReply:
    """A failure as a reply."""
    return {"kind": "error", "problems": [problem.to_record() for problem in fault.problems]}


def main(
    load: Callable[[RunDir, Send], Operations] = operations, consumes_model: Collection[str] = CONSUMES_MODEL
) -> None:
    """Entry of the process. The real standard output is for replies only; prints of libraries go to standard error."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    keep_talking()
    configure_logging()

    def send(reply: Reply) -> None:
        replies.write(json.dumps(reply, ensure_ascii=False) + "\n")
        replies.flush()

    run = RunDir(Path(sys.argv[1]))
    with planned_matmul(from_json(run.plan()).fast_paths):
        serve(run, sys.stdin, send, load, consumes_model)


if __name__ == "__main__":
    main()
