"""The run's own answers, in the process that holds its model.

A stored answer of the run's evaluation is taken where one pass over it shows that each of its tokens, and its end, is what the
model gives; any other answer is generated again.
"""

# Shapes: T tokens of one row, V vocabulary

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import jinja2
import torch
from peft import PeftModel
from transformers import PreTrainedModel

from tunewright.data.examples.formats import Example, Message
from tunewright.data.load_examples import ROWS_IN_MEMORY, load_examples
from tunewright.data.tokenized.chat_template import as_turn, today
from tunewright.data.tokenized.loss_mask import fitting_turns
from tunewright.data.tokenized.thinking import thinking_of, without_thinking
from tunewright.data.tokenized.tokenizer import TextTokenizer
from tunewright.engine.evaluation.generation import GeneratedText, generate
from tunewright.engine.session_server import SessionServer
from tunewright.errors import error
from tunewright.extras.proof.reference import NextTokens, Reference, ReferencePrompt, ReferenceRow, spread
from tunewright.extras.session_requests import ReferenceRequest, ReferenceResult
from tunewright.metrics.evaluated_rows import Sample
from tunewright.planning.run_plan import Plan
from tunewright.reporting import PartReporter

MOST_LIKELY = 10
BASE_ROWS = 12  # their places tell the run and its base apart
CONTINUED_TOKENS = 32  # of a plain text: so much of it is continued
SYSTEM = "You answer briefly."


@dataclass(frozen=True)
class _Question:
    """A row before its answer is known."""

    number: int
    prompt: ReferencePrompt
    reference: str


@dataclass(frozen=True)
class _Answered:
    """A greedy answer, its end token (None where it was cut), and the likeliest tokens at each place."""

    text: str
    ids: tuple[int, ...]
    end_id: int | None
    next_tokens: list[NextTokens]

    @property
    def places(self) -> list[int]:
        return [*self.ids, *([] if self.end_id is None else [self.end_id])]


def reference(session: SessionServer, request: ReferenceRequest) -> ReferenceResult:
    """The run's answers on its rows. Raises: ExportError E663; DataError E210; TrainingError E502."""
    plan = session.plan
    if plan.run.task != "causal_lm":
        raise error("E663", task=plan.run.task, name=session.run.name)
    tokenizer = replace(session.tokenizer, day=today())  # as whoever serves it will write the date
    examples, is_held_out = _examples(session)
    stored = (
        {which: {s.row: s for s in session.run.samples(which)} for which in ("before", "after")} if is_held_out else {}
    )
    numbers = [number for number in examples if number in stored.get("after", examples)] or list(examples)
    questions = [_question(examples[number], tokenizer, plan) for number in spread(numbers, request.rows)]
    questions = [
        replace(row, reference=stored["after"][row.number].reference) if row.number in stored.get("after", {}) else row
        for row in questions
    ]
    if not questions:
        raise error("E210", path=plan.run.data.name)
    answers = _answers(session, questions, stored.get("after", {}), tokenizer)
    session.reporter.progress(50, 100)
    with session.base() as base:
        bases = _base_answers(session, base, questions, stored.get("before", {}), tokenizer)
        base_logprobs = [
            _logprobs_of(base, row.prompt.ids, answer) for row, answer in zip(questions, answers, strict=True)
        ]
    session.reporter.progress(100, 100)
    rows = [
        ReferenceRow(
            number=row.number, prompt=row.prompt, reference=row.reference, answer=answer.text, answer_ids=list(answer.ids),
            end_id=answer.end_id, base=of_base, next_tokens=answer.next_tokens, base_logprobs=logprobs,
        )
        for row, answer, of_base, logprobs in zip(questions, answers, bases, base_logprobs, strict=True)
    ]  # fmt: skip
    result = Reference(
        rows=rows, is_held_out=is_held_out, prompts=_prompts(questions, tokenizer),
        end_tokens=dict(zip(tokenizer.end_ids, tokenizer.end_tokens, strict=False)),
        bos=tokenizer.special_tokens.get("bos_token", ""), vocabulary=_vocabulary(rows, tokenizer),
        max_new_tokens=_longest(plan), precision=plan.run.model.precision,
    )  # fmt: skip
    return ReferenceResult(result.model_dump(mode="json"))


def _examples(session: SessionServer) -> tuple[Mapping[int, Example], bool]:
    """The rows that can be asked, by number, and whether they were held out. Raises: TrainingError E502 if they changed."""
    data = session.data()
    if data.held_out_examples:
        return data.held_out_examples, True
    plan = session.plan
    loaded = load_examples(plan.run.data, plan.run.train.data_seed, plan.run.task, keep=ROWS_IN_MEMORY)
    return {example.number: example for example in loaded.train}, False


def _question(example: Example, tokenizer: TextTokenizer, plan: Plan) -> _Question:
    """What the row asks, as the session's own chat writes it."""
    if not example.messages:
        head = example.text[: len(example.text) // 2].rstrip()
        ids = tokenizer.encode(head, add_special_tokens=True)
        return _Question(example.number, ReferencePrompt(turns=[], text=head, ids=ids), "")
    turns = [without_thinking(m) if plan.run.data.thinking == "drop" else m for m in example.messages[:-1]]
    prompt = _prompt(turns, tokenizer, example.tools, plan)
    last = example.messages[-1]
    return _Question(example.number, prompt, "" if last.tool_calls else thinking_of(last)[1])


def _prompt(
    turns: Sequence[Message], tokenizer: TextTokenizer, tools: Sequence[Mapping[str, object]], plan: Plan
) -> ReferencePrompt:
    """Raises jinja2.TemplateError where the template refuses the turns."""
    fitting = fitting_turns(turns, tools, tokenizer, plan.run.data.turns)
    text = tokenizer.render(fitting, tools=tools, add_generation_prompt=True)
    return ReferencePrompt(
        turns=[as_turn(message) for message in fitting], tools=[dict(tool) for tool in tools], text=text, ids=tokenizer.encode(text)
    )  # fmt: skip


def _longest(plan: Plan) -> int:
    longest = plan.run.eval.max_new_tokens
    assert isinstance(longest, int)  # resolved by the plan
    return longest


def _answers(
    session: SessionServer, questions: Sequence[_Question], stored: Mapping[int, Sample], tokenizer: TextTokenizer
) -> list[_Answered]:
    """The greedy answer to each prompt: the stored one where one pass proves it."""
    known: dict[int, _Answered] = {}
    for row in questions:
        sample = stored.get(row.number)
        if sample is not None:
            ids = tuple(tokenizer.encode(sample.answer))
            answer = _answered(session.model, row, sample.answer, ids, sample.is_cut, tokenizer)
            known |= {row.number: answer} if _is_greedy(answer) else {}
    missing = [row for row in questions if row.number not in known]
    reporter = PartReporter(session.reporter, 0, 50, 100)
    for row, text in zip(missing, _generated(session, session.model, missing, tokenizer, reporter), strict=True):
        known[row.number] = _answered(session.model, row, text.text, text.ids, text.is_cut, tokenizer)
    return [known[row.number] for row in questions]


def _generated(
    session: SessionServer,
    model: PreTrainedModel | PeftModel,
    questions: Sequence[_Question],
    tokenizer: TextTokenizer,
    reporter: PartReporter,
) -> list[GeneratedText]:
    if not questions:
        return []
    is_chat = any(row.prompt.turns for row in questions)
    longest = _longest(session.plan) if is_chat else CONTINUED_TOKENS
    return generate(model, [row.prompt.ids for row in questions], tokenizer, max_new_tokens=longest, reporter=reporter)


def _base_answers(
    session: SessionServer,
    base: PreTrainedModel | PeftModel,
    questions: Sequence[_Question],
    stored: Mapping[int, Sample],
    tokenizer: TextTokenizer,
) -> list[str]:
    missing = [row for row in questions if row.number not in stored]
    generated = _generated(session, base, missing, tokenizer, PartReporter(session.reporter, 50, 25, 100))
    texts = {row.number: answer.text for row, answer in zip(missing, generated, strict=True)}
    return [stored[row.number].answer if row.number in stored else texts[row.number] for row in questions]


@torch.inference_mode()
def _logprobs(model: PreTrainedModel | PeftModel, prompt: Sequence[int], answer: Sequence[int]) -> torch.Tensor:
    """Log-probabilities of all tokens after the prompt and after each token of the answer."""
    was_training = model.training
    model.eval()
    ids_1T = torch.tensor([[*prompt, *answer]], device=model.device)
    logits_TV = model(input_ids=ids_1T, attention_mask=torch.ones_like(ids_1T)).logits[0]
    model.train(was_training)
    first = len(logits_TV) - len(answer) - 1  # learned vectors before the prompt have logits, too
    return torch.log_softmax(logits_TV[first:].float(), dim=-1)


def _answered(
    model: PreTrainedModel | PeftModel,
    row: _Question,
    text: str,
    ids: tuple[int, ...],
    is_cut: bool,
    tokenizer: TextTokenizer,
) -> _Answered:
    """The answer with what the model gives at each of its places."""
    top = _logprobs(model, row.prompt.ids, ids).topk(MOST_LIKELY)
    pairs = zip(top.indices.tolist(), top.values.tolist(), strict=True)
    places = [list(zip(tokens, values, strict=True)) for tokens, values in pairs]
    if is_cut:
        return _Answered(text, ids, None, places[: len(ids)])
    end = next((token for token, _logprob in places[-1] if token in tokenizer.end_ids), tokenizer.end_ids[0])
    return _Answered(text, ids, end, places)


def _is_greedy(answer: _Answered) -> bool:
    """Whether the likeliest token at each place is the answer's own."""
    return bool(answer.places) and [tokens[0][0] for tokens in answer.next_tokens] == answer.places


def _logprobs_of(model: PreTrainedModel | PeftModel, prompt: Sequence[int], answer: _Answered) -> list[float]:
    """What this model gives to the run's tokens at the same places."""
    logprobs_TV = _logprobs(model, prompt, answer.ids)
    return [float(logprobs_TV[place, token]) for place, token in enumerate(answer.places)]


def _prompts(questions: Sequence[_Question], tokenizer: TextTokenizer) -> dict[str, ReferencePrompt]:
    """A prompt with a system turn, one without, and one of several turns, of those that the template takes."""
    turns = [turn for row in questions for turn in row.prompt.turns]
    user = next((str(turn["content"]) for turn in turns if turn["role"] == "user" and turn.get("content")), "")
    if not user:
        return {}
    system = next((str(turn["content"]) for turn in turns if turn["role"] == "system"), SYSTEM)
    question, answer = Message("user", user), Message("assistant", "Yes.")
    forms = {
        "system": [Message("system", system), question],
        "plain": [question],
        "turns": [question, answer, question],
    }
    prompts: dict[str, ReferencePrompt] = {}
    for name, form in forms.items():
        try:
            text = tokenizer.render(form, add_generation_prompt=True)
        except jinja2.TemplateError:
            continue
        prompts[name] = ReferencePrompt(turns=[as_turn(m) for m in form], text=text, ids=tokenizer.encode(text))
    return prompts


def _vocabulary(rows: Sequence[ReferenceRow], tokenizer: TextTokenizer) -> dict[int, str]:
    tokens = {token for row in rows for place in row.next_tokens for token, _logprob in place}
    return {token: tokenizer.decode([token], skip_special_tokens=False) for token in sorted(tokens)}
