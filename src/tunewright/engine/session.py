"""A finished run kept loaded, answering one request a line: `python -m tunewright.engine.session RUN`.

Requests and replies are JSON lines on standard input and output: {"do": "answer", ...} -> {"kind": "result", ...}, with
any number of {"kind": "progress"} in between, or {"kind": "error", "problems": [...]}. What libraries print goes to the log.
"""

import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

import jinja2
from peft import PeftModel
from transformers import PreTrainedModel

from tunewright.accel.cpu import planned_matmul
from tunewright.data.encode import input_ids, prompt_ids, text_rows, word_rows
from tunewright.data.template import from_turn
from tunewright.data.tokenizer import load_tokenizer
from tunewright.engine.adapt import trains_biases, without_adapter
from tunewright.engine.build import examiner
from tunewright.engine.evaluate import READ_TOKENS, Evaluation, spoken_prediction, spoken_tags, whole
from tunewright.engine.export import merge, merge_inputs
from tunewright.engine.generate import generate
from tunewright.engine.load import load_adapter, load_base
from tunewright.engine.memory import Portions
from tunewright.engine.predict import predict
from tunewright.engine.prepare import Prepared, prepare
from tunewright.engine.prompted import with_examples
from tunewright.engine.prove import prove
from tunewright.engine.tasks import collator
from tunewright.engine.ways import known_way
from tunewright.engine.worker import quiet
from tunewright.errors import TunewrightError, error, of_system
from tunewright.planning.known import LABELLED
from tunewright.planning.plan import from_json
from tunewright.rundir import durable, layout
from tunewright.rundir.card import card
from tunewright.rundir.ending import keep_talking
from tunewright.rundir.store import RunDir
from tunewright.spec.methods import virtual_tokens

MERGE_PROMPTS = 8
USE_UP = ("merge", "prove")  # after these the model is another, or gone
NEW_TEXT_TOKENS = 4096  # new texts may be longer than those of the training, but not endless
Say = Callable[[dict[str, Any]], None]
Operations = Mapping[str, Callable[..., dict[str, Any]]]


@dataclass
class Session:
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

    def data(self) -> Prepared:
        """The run's rows; their account is written anew where the disk allows it, as a run may lie on one that is only read."""
        is_written = durable.refusal(self.run.path) is None
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
        assert self.plan.run.data.max_length != "auto"
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

        def test(model: PreTrainedModel | PeftModel) -> Evaluation:
            made = examiner(self.plan, data, self.tokenizer, known_way(self.plan, model, data.train), Portions())
            return (made if rows is None else replace(made, answers=rows)).evaluate(model, self.progress)

        with self.base() as base:
            before = test(base)
        after = test(self.model)
        samples = [{**one, "base": other["answer"]} for one, other in zip(after.samples, before.samples, strict=True)]
        return {
            "before": before.scores, "after": after.scores, "rows": len(after.samples),
            "held_out_rows": len(after.losses), "samples": samples, "baseline": data.baseline,
        }  # fmt: skip

    def prompted(self, shots: int) -> dict[str, Any]:
        """The base model's test with so many training rows before each question. Raises: DataError E210, E230."""
        data, started = self.data(), time.perf_counter()
        if not data.held_out:
            raise error("E210", path=f"{self.plan.run.data.train} (held out)")
        rows, shown = with_examples(self.plan, data, self.tokenizer, shots)
        longest = max(len(row.ids) for row in rows)
        with self.base() as base:
            way = known_way(self.plan, base, data.train, longest)
            test = examiner(self.plan, data, self.tokenizer, way, Portions())
            found = replace(test, rows=rows).evaluate(base, self.progress)
        return {
            "shots": shown, "scores": found.scores, "rows": len(found.samples), "held_out_rows": len(found.losses),
            "seconds": round(time.perf_counter() - started, 3), "samples": found.samples, "losses": found.losses,
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
        folder = Path(target) if target else self.run.path / layout.MERGED
        assert spec.eval.max_new_tokens != "auto"
        readme = card(self.plan, self.run, self.run.result().get("baseline"), is_merged=True)
        return merge(self.model, folder.resolve(), self.plan, self.tokenizer, inputs, spec.eval.max_new_tokens, readme)

    def prove(self) -> dict[str, Any]:
        """Every equality that the run stands on, measured on a few of its rows."""
        rows = self.data().train
        return prove(self._hand_over(), self.plan, self.run.adapter_dir, self.tokenizer, rows, self.progress)

    def _hand_over(self) -> PeftModel:
        """The model, held here no longer: who takes it may give its memory back."""
        model = self.model
        del self.model
        return model


def operations(run: RunDir, say: Say) -> Operations:
    """What a session can be asked for."""
    session = Session(run, say)
    return {
        "answer": session.answer,
        "evaluate": session.evaluate,
        "prompted": session.prompted,
        "merge": session.merge,
        "prove": session.prove,
    }


def serve(run: RunDir, requests: TextIO, say: Say, load: Callable[[RunDir, Say], Operations] = operations) -> None:
    """Answer requests until the input ends. A request that fails leaves the session alive."""
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
        if do in USE_UP:
            loaded = None


def main(load: Callable[[RunDir, Say], Operations] = operations) -> None:
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
        serve(run, sys.stdin, say, load)


if __name__ == "__main__":
    main()
