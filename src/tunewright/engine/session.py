"""A finished run kept loaded, answering one request a line: `python -m tunewright.engine.session RUN`.

Requests and replies are JSON lines on standard input and output: {"do": "answer", ...} -> {"kind": "result", ...}, with
any number of {"kind": "progress"} in between, or {"kind": "error", "problems": [...]}. What libraries print goes to the log.
"""

import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import jinja2
from peft import PeftModel
from transformers import PreTrainedModel

from tunewright.accel.loss import answer_loss, answer_loss_reason_not, plain_loss
from tunewright.data.encode import prompt_ids
from tunewright.data.formats import Message
from tunewright.data.tokenizer import load_tokenizer
from tunewright.engine.evaluate import evaluate
from tunewright.engine.export import merge
from tunewright.engine.generate import generate
from tunewright.engine.load import base_name, device, load_adapter, load_base
from tunewright.engine.prepare import Prepared, prepare
from tunewright.engine.worker import quiet
from tunewright.errors import TunewrightError, error
from tunewright.plan.plan import from_json
from tunewright.runs import layout
from tunewright.runs.store import RunDir

MERGE_PROMPTS = 8


@dataclass
class Session:
    """Base and adapter of one run, in memory; `disable_adapter` gives the base's answers."""

    run: RunDir
    say: Callable[[dict[str, Any]], None]

    def __post_init__(self) -> None:
        self.plan = from_json(self.run.plan())
        self.folder = Path(self.plan.facts.model.folder)
        self.tokenizer = load_tokenizer(Path(self.plan.facts.model.tokenizer_folder), self.plan.run.model.chat_template)
        base = load_base(self.plan.run, self.folder, name=base_name(self.plan)).to(device())
        self.model: PeftModel = load_adapter(base, self.run.adapter_dir)
        self.loss = plain_loss if answer_loss_reason_not(self.model) else answer_loss

    @contextmanager
    def base(self) -> Iterator[PreTrainedModel | PeftModel]:
        """The base model: the adapter switched off, or a second copy where trained biases would stay in."""
        if self.plan.run.peft.bias == "none":
            with self.model.disable_adapter():
                yield self.model
        else:
            yield load_base(self.plan.run, self.folder, name=base_name(self.plan)).to(device())

    def progress(self, done: int, total: int) -> None:
        self.say({"kind": "progress", "done": done, "total": total})

    def data(self) -> Prepared:
        return prepare(self.plan, self.run, self.tokenizer, self.progress)

    def answer(self, conversations: list[list[dict[str, str]]], max_new_tokens: int, with_base: bool) -> dict[str, Any]:
        """Greedy answers to conversations that end with a user turn; with `with_base` also the base's."""
        try:
            prompts = [prompt_ids([Message(**turn) for turn in turns], self.tokenizer) for turns in conversations]
        except jinja2.TemplateError as refusal:
            raise error("E219", reason=str(refusal)) from refusal
        options: dict[str, Any] = {"max_new_tokens": max_new_tokens, "progress": self.progress}
        tuned = generate(self.model, prompts, self.tokenizer, **options)
        if not with_base:
            return {"tuned": tuned}
        with self.base() as base:
            return {"tuned": tuned, "base": generate(base, prompts, self.tokenizer, **options)}

    def evaluate(self, rows: int | None) -> dict[str, Any]:
        """Scores of base and tuned model on the run's held-out rows, measured anew in the same way."""
        data, spec = self.data(), self.plan.run
        if not data.held_out:
            raise error("E210", path=f"{spec.data.train} (held out)")
        options: dict[str, Any] = {
            "generate_rows": spec.eval.rows if rows is None else rows,
            "max_new_tokens": spec.eval.max_new_tokens,
            "progress": self.progress,
        }
        with self.base() as base:
            before = evaluate(base, data.held_out, data.held_out_examples, self.tokenizer, self.loss, **options)
        after = evaluate(self.model, data.held_out, data.held_out_examples, self.tokenizer, self.loss, **options)
        samples = [{**one, "base": other["answer"]} for one, other in zip(after.samples, before.samples, strict=True)]
        return {
            "before": before.scores, "after": after.scores, "rows": len(after.samples),
            "held_out_rows": len(data.held_out), "samples": samples,
        }  # fmt: skip

    def _held_out_prompts(self) -> list[list[int]]:
        """Prompts of the held-out rows; none if the data have gone or changed since."""
        try:
            held_out = self.data().held_out
        except TunewrightError:
            return []
        return [row.ids[: row.prompt_length] for row in held_out if 0 < row.prompt_length < len(row.ids)]

    def merge(self, target: str | None) -> dict[str, Any]:
        """Merge into a folder; checked on the run's held-out prompts, else on a few fixed ones."""
        spec = self.plan.run
        prompts = self._held_out_prompts()[:MERGE_PROMPTS]
        if not prompts:
            prompts = [self.tokenizer.encode(text) for text in ("Hello, I am a", "The answer is", "1, 2, 3,")]
        folder = Path(target) if target else self.run.path / layout.MERGED
        assert spec.eval.max_new_tokens != "auto"
        return merge(self.model, folder.resolve(), self.plan, self.tokenizer, prompts, spec.eval.max_new_tokens)


def serve(run: RunDir, requests: TextIO, say: Callable[[dict[str, Any]], None]) -> None:
    """Answer requests until the input ends. A request that fails leaves the session alive."""
    session: Session | None = None
    for line in requests:
        request = json.loads(line)
        do = request.pop("do")
        try:
            session = session or Session(run, say)
            operations: dict[str, Callable[..., dict[str, Any]]] = {
                "answer": session.answer,
                "evaluate": session.evaluate,
                "merge": session.merge,
            }
            say({"kind": "result", "result": operations[do](**request)})
        except TunewrightError as fault:
            say({"kind": "error", "problems": [problem.to_record() for problem in fault.problems]})
        except Exception as fault:
            traceback.print_exc()
            wrapped = error("E802", reason=f"{type(fault).__name__}: {fault}")
            say({"kind": "error", "problems": [problem.to_record() for problem in wrapped.problems]})
        if do == "merge":
            session = None  # merging used the adapter up


def main() -> None:
    """Entry of the process. The real standard output is kept for replies; prints of libraries go to standard error."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    quiet()

    def say(message: dict[str, Any]) -> None:
        replies.write(json.dumps(message, ensure_ascii=False) + "\n")
        replies.flush()

    serve(RunDir(Path(sys.argv[1])), sys.stdin, say)


if __name__ == "__main__":
    main()
