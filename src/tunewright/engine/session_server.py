"""A finished run kept loaded, answering one request a line: `python -m tunewright.engine.session_server RUN`.

Requests and replies are JSON lines on standard input and output: {"do": "answer", ...} -> {"kind": "result", ...}, with
any number of {"kind": "progress"} in between, or {"kind": "error", "problems": [...]}. What libraries print goes to the log.
"""

import json
import os
import sys
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

import jinja2
from peft import PeftModel
from transformers import PreTrainedModel

from tunewright.config.methods import virtual_tokens
from tunewright.data.tokenized.chat_template import from_turn
from tunewright.data.tokenized.tokenization import input_ids, prompt_ids, text_rows, word_rows
from tunewright.data.tokenized.tokenizer import load_tokenizer
from tunewright.engine.evaluation.evaluator import READ_TOKENS, EvaluationResult, spoken_prediction, spoken_tags, whole
from tunewright.engine.evaluation.generation import generate
from tunewright.engine.evaluation.prediction import predict
from tunewright.engine.export.save_model import merge, merge_inputs
from tunewright.engine.models.load_model import load_adapter, load_base
from tunewright.engine.models.peft_adapter import trains_biases, without_adapter
from tunewright.engine.system.oom import BatchSizeBackoff
from tunewright.engine.tasks.task_registry import collator
from tunewright.engine.training.build_trainer import examiner
from tunewright.engine.training.dataset import TokenizedDataset, prepare
from tunewright.engine.training.loss_backends import known_backend
from tunewright.engine.worker import quiet
from tunewright.errors import TunewrightError, error, of_system
from tunewright.kernels.cpu_matmul import planned_matmul
from tunewright.planning.peft_kwargs import LABELLED
from tunewright.planning.run_plan import from_json
from tunewright.rundir import atomic_io, file_names
from tunewright.rundir.full_disk import keep_talking
from tunewright.rundir.model_card import card
from tunewright.rundir.run_dir import RunDir

MERGE_PROMPTS = 8
USE_UP = ("merge",)  # after these the model is another, or gone
NEW_TEXT_TOKENS = 4096  # new texts may be longer than those of the training, but not endless
Say = Callable[[dict[str, Any]], None]
Operations = Mapping[str, Callable[..., dict[str, Any]]]


@dataclass
class SessionServer:
    """Base and adapter of one run, in memory; `disable_adapter` gives the base's answers."""

    run: RunDir
    say: Say

    def __post_init__(self) -> None:
        self.plan = from_json(self.run.plan())
        folder, template = Path(self.plan.facts.model.tokenizer_folder), self.plan.run.model.chat_template
        self.tokenizer = load_tokenizer(folder, template, self.run.day())
        self.model: PeftModel = load_adapter(load_base(self.plan, self.tokenizer), self.run.adapter_dir)

    @contextmanager
    def base(self) -> Iterator[PreTrainedModel | PeftModel]:
        """The base model: the adapter switched off, or a second copy where trained biases would stay in."""
        if trains_biases(self.plan.run.peft):
            yield load_base(self.plan, self.tokenizer)
        else:
            with without_adapter(self.model) as base:
                yield base

    def progress(self, done: int, total: int) -> None:
        self.say({"kind": "progress", "done": done, "total": total})

    def data(self) -> TokenizedDataset:
        """The run's rows; their account is written anew where the disk allows it, as a run may lie on one that is only read."""
        is_written = atomic_io.refusal(self.run.path) is None
        return prepare(self.plan, self.run, self.tokenizer, self.progress, is_written=is_written)

    def answer(self, asked: list[Any], max_new_tokens: int, with_base: bool) -> dict[str, Any]:
        """Answers or labels, with `with_base` also the base's; of single labels also the probabilities.

        What is asked is a list of turns that ends with the user's, {"turns", "tools"}, or {"text", "pair"} or {"words"} to be
        labelled.
        """
        answers = self._labels if self.plan.run.task in LABELLED else self._texts
        found = answers(self.model, asked, max_new_tokens, "tuned")
        if not with_base:
            return found
        with self.base() as base:
            return found | answers(base, asked, max_new_tokens, "base")

    def _texts(self, model: Any, asked: list[Any], max_new_tokens: int, who: str) -> dict[str, Any]:
        prompts = [self._prompt(prompt if isinstance(prompt, dict) else {"turns": prompt}) for prompt in asked]
        merge = "merged_lora" in self.plan.fast_paths
        options: dict[str, Any] = {"max_new_tokens": max_new_tokens, "merge": merge, "progress": self.progress}
        return {who: [answer.text for answer in generate(model, prompts, self.tokenizer, **options)]}

    def _prompt(self, asked: dict[str, Any]) -> list[int]:
        turns = [from_turn(turn) for turn in asked["turns"]]
        if self.plan.run.task == "seq2seq":
            return input_ids("\n".join(turn.content for turn in turns), self.tokenizer, self._longest())
        try:
            return prompt_ids(turns, self.tokenizer, asked.get("tools") or (), self.plan.run.data.turns)
        except jinja2.TemplateError as refusal:
            raise error("E219", reason=str(refusal)) from refusal

    def _longest(self) -> int:
        return max(self.plan.run.data.max_length, min(NEW_TEXT_TOKENS, self.positions()))

    def positions(self) -> int:
        """The longest text that base and tuned model both read."""
        return self.plan.facts.model.max_position_embeddings - virtual_tokens(self.plan.run.peft)

    def _labels(self, model: Any, asked: list[dict[str, Any]], max_new_tokens: int, who: str) -> dict[str, Any]:
        facts, is_tags, longest = self.plan.facts.data, self.plan.run.task == "token_cls", self._longest()
        if is_tags:
            words = [one["words"] for one in asked]
            rows = word_rows(words, self.tokenizer, longest, label_last=self.plan.facts.model.kind == "decoder")
        else:
            rows = text_rows([(one["text"], one["pair"]) for one in asked], self.tokenizer, longest)
        cut = collator(self.plan, self.tokenizer, READ_TOKENS)
        found = predict(model, rows, cut, facts.labels, facts.problem_type, self.progress)
        if is_tags:
            pairs = zip(words, found, strict=True)
            return {who: [spoken_tags(w, whole(p.labels, len(w)), facts.labels) for w, p in pairs]}
        told = {who: [spoken_prediction(p, facts.problem_type) for p in found]}
        return told | ({f"{who}_probability": [p.probability for p in found]} if found and found[0].probability else {})

    def evaluate(self, rows: int | None) -> dict[str, Any]:
        """Scores of base and tuned model on the run's held-out rows, measured anew in the same way."""
        data, spec = self.data(), self.plan.run
        if not data.held_out:
            raise error("E210", path=f"{spec.data.train} (held out)")

        def test(model: PreTrainedModel | PeftModel) -> EvaluationResult:
            made = examiner(
                self.plan, data, self.tokenizer, known_backend(self.plan, model, data.train), BatchSizeBackoff()
            )
            return (made if rows is None else replace(made, answers=rows)).evaluate(model, self.progress)

        with self.base() as base:
            before = test(base)
        after = test(self.model)
        samples = [{**one, "base": other["answer"]} for one, other in zip(after.samples, before.samples, strict=True)]
        return {
            "before": before.scores, "after": after.scores, "rows": len(after.samples),
            "held_out_rows": len(after.losses), "samples": samples, "baseline": data.baseline,
        }  # fmt: skip

    def _merge_inputs(self) -> list[list[int]]:
        """Held-out rows to check a merge on; none if the data have gone or changed since."""
        try:
            return merge_inputs(self.data().held_out[:MERGE_PROMPTS], self.plan)
        except TunewrightError:
            return []

    def merge(self, target: str | None) -> dict[str, Any]:
        """Merge into a folder; checked on the run's held-out rows, else on a few fixed texts."""
        spec = self.plan.run
        inputs = self._merge_inputs()
        if not inputs:
            inputs = [self.tokenizer.encode(text) for text in ("Hello, I am a", "The answer is", "1, 2, 3,")]
        folder = Path(target) if target else self.run.path / file_names.MERGED
        readme = card(self.plan, self.run, self.run.result().get("baseline"), is_merged=True)
        return merge(self.model, folder.resolve(), self.plan, self.tokenizer, inputs, spec.eval.max_new_tokens, readme)

    def hand_over(self) -> PeftModel:
        """The model, held here no longer: who takes it may give its memory back."""
        model = self.model
        del self.model
        return model


def operations(run: RunDir, say: Say) -> Operations:
    """What a session can be asked for."""
    return session_operations(SessionServer(run, say))


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
    say: Say,
    load: Callable[[RunDir, Say], Operations] = operations,
    use_up: Collection[str] = USE_UP,
) -> None:
    """Answer requests until the input ends. A failed request leaves the session alive; after one of `use_up` it loads anew."""
    loaded: Operations | None = None
    for line in requests:
        request = json.loads(line)
        do = request.pop("do")
        try:
            loaded = loaded or load(run, say)
            say({"kind": "result", "result": loaded[do](**request)})
        except TunewrightError as fault:
            say({"kind": "error", "problems": [problem.to_record() for problem in fault.problems]})
        except OSError as fault:
            traceback.print_exc()
            refused = of_system(fault, run.path)
            say({"kind": "error", "problems": [problem.to_record() for problem in refused.problems]})
        except Exception as fault:
            traceback.print_exc()
            wrapped = error("E802", reason=f"{type(fault).__name__}: {fault}")
            say({"kind": "error", "problems": [problem.to_record() for problem in wrapped.problems]})
        if do in use_up:
            loaded = None


def main(load: Callable[[RunDir, Say], Operations] = operations, use_up: Collection[str] = USE_UP) -> None:
    """Entry of the process. The real standard output is kept for replies; prints of libraries go to standard error."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    keep_talking()
    quiet()

    def say(message: dict[str, Any]) -> None:
        replies.write(json.dumps(message, ensure_ascii=False) + "\n")
        replies.flush()

    run = RunDir(Path(sys.argv[1]))
    with planned_matmul(from_json(run.plan()).fast_paths):
        serve(run, sys.stdin, say, load, use_up)


if __name__ == "__main__":
    main()
