"""A finished run kept loaded, serving one request a line: `python -m tunewright.engine.session_server RUN`.

Requests and replies are those of `rundir/session_protocol.py`, lines on standard input and output. What libraries print goes to
the log.
"""

import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any, Generic, NamedTuple, TypeVar

import jinja2
import psutil
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
from tunewright.engine.evaluation.generation import GeneratedText, generate
from tunewright.engine.evaluation.prediction import Prediction, predict
from tunewright.engine.evaluation.streaming import stream
from tunewright.engine.export.save_model import merge, merge_inputs
from tunewright.engine.models.load_model import load_adapter, load_base
from tunewright.engine.models.peft_adapter import trains_biases, without_adapter
from tunewright.engine.system.heap import release_memory
from tunewright.engine.system.oom import BatchSizeBackoff
from tunewright.engine.tasks.task_registry import make_collator
from tunewright.engine.training.build_trainer import make_evaluator
from tunewright.engine.training.dataset import TokenizedDataset, prepare
from tunewright.engine.training.loss_backends import known_backend
from tunewright.engine.worker import configure_logging
from tunewright.errors import TunewrightError, error, of_system, unexpected
from tunewright.kernels.cpu_matmul import planned_matmul
from tunewright.planning.peft_kwargs import LABELLED
from tunewright.rundir import atomic_io, file_names
from tunewright.rundir.full_disk import keep_talking
from tunewright.rundir.model_card import card
from tunewright.rundir.run_dir import RunDir
from tunewright.rundir.session_protocol import (
    AnswerRequest,
    AnswerResult,
    ChatPrompt,
    ErrorReply,
    EvaluateRequest,
    EvaluateResult,
    LoadRequest,
    LoadResult,
    MergeRequest,
    MergeResult,
    ProgressReply,
    Reply,
    ResultReply,
    Sampling,
    Send,
    SessionRequest,
    SessionResult,
    TextInput,
    TextReply,
    Turn,
    WordsInput,
    reply_line,
)

logger = logging.getLogger(__name__)

MERGE_PROMPTS = 8
NEW_TEXT_TOKENS = 4096  # new texts may be longer than those of the training, up to this


@dataclass
class Interruption:
    """Whether the client wants no more of this answer; of the whole process, as signals are.

    No Event: its lock is held for a moment, and a second signal in that moment would wait for the first for ever.
    """

    is_wanted: bool = False

    def listen(self) -> None:
        """Let SIGINT ask for it. For the main thread."""
        signal.signal(signal.SIGINT, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.is_wanted = True


interruption = Interruption()

RequestT = TypeVar("RequestT", bound=SessionRequest)


@dataclass(frozen=True)
class Operation(Generic[RequestT]):
    """What a session does on one kind of request; after one that `uses_up_model` the model is loaded again."""

    request: type[RequestT]
    perform: Callable[[RequestT], SessionResult]
    uses_up_model: bool = False


Operations = Mapping[str, Operation[Any]]
"""The operations of a session by the name of their request."""


class _Answers(NamedTuple):
    """What one model answers to all prompts; probabilities where the task has single labels."""

    texts: list[str]
    probabilities: list[float | None] | None = None


@dataclass(frozen=True)
class ReplyReporter:
    """Sends progress as replies. Notes have none and are dropped: those of a session are about its own cache."""

    send: Send

    def progress(self, done: int, total: int) -> None:
        self.send(ProgressReply(done, total))

    def note(self, text: str) -> None:
        pass


@dataclass
class SessionServer:
    """Base and adapter of one run, in memory; `disable_adapter` gives the base's answers."""

    run: RunDir
    send: Send

    def __post_init__(self) -> None:
        self.reporter = ReplyReporter(self.send)
        self.plan = self.run.plan()
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

    def loaded(self, request: LoadRequest) -> LoadResult:
        """What the model takes that is loaded by now."""
        return LoadResult(psutil.Process().memory_info().rss)

    def answer(self, request: AnswerRequest) -> AnswerResult:
        """Answers or labels, with `with_base` also the base's; for single labels also the probabilities."""
        tuned = self._answers(self.model, request)
        if not request.with_base:
            return AnswerResult(tuned.texts, tuned.probabilities)
        with self.base() as base:
            of_base = self._answers(base, request)
        return AnswerResult(tuned.texts, tuned.probabilities, of_base.texts, of_base.probabilities)

    def _answers(self, model: Any, request: AnswerRequest) -> _Answers:
        prompts: Sequence[Any] = request.prompts
        if self.plan.run.task == "token_cls":
            return self._tags(model, prompts)
        if self.plan.run.task in LABELLED:
            return self._classes(model, prompts)
        return self._texts(model, prompts, request.max_new_tokens)

    def _texts(self, model: Any, prompts: Sequence[ChatPrompt | Sequence[Turn]], max_new_tokens: int) -> _Answers:
        ids = [self.prompt_ids(prompt if isinstance(prompt, dict) else ChatPrompt(turns=prompt)) for prompt in prompts]
        return _Answers([answer.text for answer in self.generated(model, ids, max_new_tokens)])

    def generated(self, model: Any, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> list[GeneratedText]:
        """The greedy answers to encoded prompts, as in the run's own evaluation."""
        return generate(
            model,
            prompts,
            self.tokenizer,
            max_new_tokens=max_new_tokens,
            merge="merged_lora" in self.plan.fast_paths,
            reporter=self.reporter,
        )

    def streamed(self, model: Any, prompt: Sequence[int], max_new_tokens: int, sampling: Sampling) -> GeneratedText:
        """The answer to an encoded prompt, sent as text while it is generated; SIGINT ends it."""
        return stream(
            model,
            prompt,
            self.tokenizer,
            max_new_tokens=max_new_tokens,
            sampling=sampling,
            merge="merged_lora" in self.plan.fast_paths,
            on_text=lambda text: self.send(TextReply(text)),
            is_interrupted=lambda: interruption.is_wanted,
        )

    def prompt_ids(self, prompt: ChatPrompt) -> list[int]:
        """A conversation as the model reads it. Raises: DataError E219."""
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

    def _tags(self, model: Any, inputs: Sequence[WordsInput]) -> _Answers:
        labels = self.plan.facts.data.labels
        words = [list(example["words"]) for example in inputs]
        pairs = zip(words, self.predictions(model, self.encoded(inputs)), strict=True)
        return _Answers([format_tags(w, pad_tags(p.labels, len(w)), labels) for w, p in pairs])

    def _classes(self, model: Any, inputs: Sequence[TextInput]) -> _Answers:
        predictions = self.predictions(model, self.encoded(inputs))
        labels = [format_prediction(p, self.plan.facts.data.problem_type) for p in predictions]
        has_probabilities = bool(predictions and predictions[0].probability)
        return _Answers(labels, [p.probability for p in predictions] if has_probabilities else None)

    def encoded(self, inputs: Sequence[Any]) -> list[TokenizedExample]:
        """New texts or rows of words as a task that labels reads them."""
        if self.plan.run.task == "token_cls":
            is_decoder = self.plan.facts.model.kind == "decoder"
            words = [list(example["words"]) for example in inputs]
            return word_rows(words, self.tokenizer, self._longest(), label_last=is_decoder)
        return text_rows([(example["text"], example["pair"]) for example in inputs], self.tokenizer, self._longest())

    def predictions(self, model: Any, rows: Sequence[TokenizedExample]) -> list[Prediction]:
        """What the model gives to encoded rows."""
        data = self.plan.facts.data
        collator = make_collator(self.plan, self.tokenizer, READ_TOKENS)
        return predict(model, rows, collator, data.labels, data.problem_type, self.reporter)

    def evaluate(self, request: EvaluateRequest) -> EvaluateResult:
        """Scores of base and tuned model on the run's held-out rows, computed again as in the run."""
        data = self.data()
        if not data.held_out:
            raise error("E210", path=f"{self.plan.run.data.name} (held out)")

        def evaluate_model(model: PreTrainedModel | PeftModel) -> EvaluationResult:
            backend = known_backend(self.plan, model, data.train)
            evaluator = make_evaluator(self.plan, data, self.tokenizer, backend, BatchSizeBackoff())
            if request.rows is not None:
                evaluator = replace(evaluator, num_answers=request.rows)
            return evaluator.evaluate(model, self.reporter)

        with self.base() as base:
            before = evaluate_model(base)
        after = evaluate_model(self.model)
        pairs = zip(after.samples, before.samples, strict=True)
        return EvaluateResult(
            before=before.scores,
            after=after.scores,
            rows=len(after.samples),
            held_out_rows=len(after.losses),
            samples=[{**tuned.to_stored(), "base": base.answer} for tuned, base in pairs],
            baseline=data.baseline.model_dump(mode="json") if data.baseline else None,
        )

    def _merge_inputs(self) -> list[list[int]]:
        """Held-out rows to check a merge on; none if the data have gone or changed since."""
        try:
            return merge_inputs(self.data().held_out[:MERGE_PROMPTS], self.plan)
        except TunewrightError:
            return []

    def merge(self, request: MergeRequest) -> MergeResult:
        """Merge into a folder; checked on the run's held-out rows, or on a few fixed texts."""
        config = self.plan.run
        inputs = self._merge_inputs()
        if not inputs:
            inputs = [self.tokenizer.encode(text) for text in ("Hello, I am a", "The answer is", "1, 2, 3,")]
        folder = Path(request.target) if request.target else self.run.path / file_names.MERGED
        readme = card(self.plan, self.run, self.run.result().baseline, is_merged=True)
        max_new_tokens = config.eval.max_new_tokens if request.compare_answers else 0
        return merge(self.model, folder.resolve(), self.plan, self.tokenizer, inputs, max_new_tokens, readme)

    def hand_over(self) -> PeftModel:
        """The model, no longer referenced here, so that the caller can free its memory."""
        model = self.model
        del self.model
        return model


def by_name(*operations: Operation[Any]) -> Operations:
    """Operations under the names of their requests."""
    return {operation.request.do: operation for operation in operations}


def operations(run: RunDir, send: Send) -> Operations:
    """The operations of a new session."""
    return session_operations(SessionServer(run, send))


def session_operations(session: SessionServer) -> Operations:
    """The operations of a session."""
    return by_name(
        Operation(LoadRequest, session.loaded),
        Operation(AnswerRequest, session.answer),
        Operation(EvaluateRequest, session.evaluate),
        Operation(MergeRequest, session.merge, uses_up_model=True),
    )


def serve(
    run: RunDir, requests: Iterable[str], send: Send, load: Callable[[RunDir, Send], Operations] = operations
) -> None:
    """Serve requests until the input ends. A failed request keeps the session, unless its operation uses up the model."""
    loaded: Operations | None = None
    for line in requests:
        values = json.loads(line)
        name = values.pop("do")
        logger.info("request: %s", name)
        interruption.is_wanted = False
        try:
            loaded = loaded or load(run, send)
            result = loaded[name].perform(loaded[name].request(**values))
            send(ResultReply(result.to_json()))
        except TunewrightError as fault:
            send(ErrorReply(tuple(fault.problems)))
        except OSError as fault:
            logger.exception("the operation %s failed", name)
            send(ErrorReply(tuple(of_system(fault, run.path).problems)))
        except Exception as fault:
            logger.exception("the operation %s failed", name)
            send(ErrorReply(tuple(unexpected(fault).problems)))
        if loaded and name in loaded and loaded[name].uses_up_model:
            loaded = None
            release_memory()  # before the next request, not after it; a converter may need it meanwhile


def main(load: Callable[[RunDir, Send], Operations] = operations) -> None:
    """Entry of the process. The real standard output is for replies only; prints of libraries go to standard error."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    keep_talking()
    configure_logging()
    interruption.listen()

    def send(reply: Reply) -> None:
        replies.write(reply_line(reply) + "\n")
        replies.flush()

    run = RunDir(Path(sys.argv[1]))
    with planned_matmul(run.plan().fast_paths):
        serve(run, sys.stdin, send, load)


if __name__ == "__main__":
    main()
