"""Examples to token ids and labels with a loss mask, for each task. Lists of numbers, no tensors."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import jinja2
from tokenizers import Encoding

from tunewright.config.tasks import Task
from tunewright.data.examples.formats import Example, Message
from tunewright.data.tokenized.chat_template import Tools
from tunewright.data.tokenized.encoder_inputs import EncoderInput, text_inputs, word_inputs
from tunewright.data.tokenized.loss_mask import (
    LostCallsError,
    RenderedConversation,
    Turns,
    fitting_turns,
    render_row,
)
from tunewright.data.tokenized.text_blocks import blocks
from tunewright.data.tokenized.thinking import Thinking, thinking_of, written_before
from tunewright.data.tokenized.tokenized_cache import Store, dump, key_of, parse
from tunewright.data.tokenized.tokenized_example import IGNORED as IGNORED
from tunewright.data.tokenized.tokenized_example import TokenizedExample as TokenizedExample
from tunewright.data.tokenized.tokenizer import TextTokenizer
from tunewright.errors import Problem, Where
from tunewright.i18n import N_

CHUNK = 1000
CHUNK_CHARACTERS = 16_000_000


@dataclass(frozen=True, slots=True)
class EncodingRules:
    """How rows are encoded; `classes` gives the number of each label, `label_last` puts a word's tag on its last token."""

    tokenizer: TextTokenizer
    max_length: int | None
    train_on: str
    thinking: Thinking
    turns: Turns
    classes: Mapping[str, int]
    label_last: bool
    task: Task = "causal_lm"


@dataclass(frozen=True, slots=True)
class EncodedChunk:
    """Some examples, the rows that they became, and a problem for each that became none; `key` is that in a store."""

    examples: Sequence[Example]
    rows: list[TokenizedExample]
    problems: list[Problem]
    key: str = ""


def encode(
    examples: Sequence[Example],
    tokenizer: TextTokenizer,
    *,
    task: Task = "causal_lm",
    labels: Sequence[str] = (),
    max_length: int | None,
    train_on: str = "answers",
    thinking: Thinking = "learn",
    turns: Turns = "as_written",
    label_last: bool = False,
) -> tuple[list[TokenizedExample], list[Problem]]:
    """Every example as ids and labels, or a problem of that row: none is lost. `labels` are the names of all classes in order.

    Problems: E219 (the template refuses the row), E231 (it leaves out calls of tools), E209 (nothing of the answer fits),
    E214 (no end token is in the loss), E235 (calls of tools without a template), E227 (the tokenizer makes no token of the text).
    """
    classes = {name: number for number, name in enumerate(labels)}
    rules = EncodingRules(tokenizer, max_length, train_on, thinking, turns, classes, label_last, task)
    chunks = list(encode_chunks(examples, rules))
    return [row for chunk in chunks for row in chunk.rows], [bad for chunk in chunks for bad in chunk.problems]


def encode_chunks(
    examples: Iterable[Example], rules: EncodingRules, store: Store | None = None
) -> Iterator[EncodedChunk]:
    """The examples as `encode` has them, some hundred at once.

    What is in `store` is read from there, so that the same examples are encoded once, whatever `max_length` cuts off.
    """
    return (encode_chunk(chunk, rules, store) for chunk in chunks_of(examples))


def chunks_of(examples: Iterable[Example]) -> Iterator[list[Example]]:
    """The examples in parts that are encoded at once: CHUNK rows, or fewer that are long documents."""
    chunk: list[Example] = []
    characters = 0
    for example in examples:
        if len(chunk) == CHUNK or (characters and characters + len(example.text) > CHUNK_CHARACTERS):
            yield chunk
            chunk, characters = [], 0
        chunk.append(example)
        characters += len(example.text)
    if chunk:
        yield chunk


def encode_chunk(chunk: Sequence[Example], rules: EncodingRules, store: Store | None = None) -> EncodedChunk:
    """The rows of some examples; what they are before any is cut is kept in `store`."""
    key = key_of_chunk(chunk, rules) if store is not None and rules.tokenizer.digest else ""
    content = store.read(key) if store is not None and key else None
    known = cut_block(chunk, content, key, rules) if content is not None else None
    if known:
        return known
    rows, problems = _uncut(chunk, rules)
    if store is not None and key:
        store.write(key, dump(rows, key, problems))
    return replace(_cut_to_length(chunk, rows, problems, rules), key=key)


def uncut_block(chunk: Sequence[Example], rules: EncodingRules, key: str) -> bytes:
    """What some examples become before any is cut, as one block."""
    rows, problems = _uncut(chunk, rules)
    return dump(rows, key, problems)


def cut_block(chunk: Sequence[Example], content: bytes, key: str, rules: EncodingRules) -> EncodedChunk | None:
    """The rows of some examples, of what `uncut_block` gave; None if that does not hold."""
    stored = parse(content, key)
    return None if stored is None else replace(_cut_to_length(chunk, list(stored), stored.problems, rules), key=key)


def _uncut(chunk: Sequence[Example], rules: EncodingRules) -> tuple[list[TokenizedExample], list[Problem]]:
    rows: list[TokenizedExample] = []
    problems: list[Problem] = []
    for item in _CODERS[rules.task](chunk, rules):
        if isinstance(item, Problem):
            problems.append(item)
        else:
            rows.append(item)
    return rows, problems


def key_of_chunk(chunk: Sequence[Example], rules: EncodingRules) -> str:
    """Digest of examples and of everything that shapes their rows; what a causal model reads is cut later."""
    examples = hashlib.sha256(repr(chunk).encode("utf-8", "surrogatepass")).hexdigest()
    return key_of({"examples": examples, **_facts(rules)})


def rules_key(rules: EncodingRules) -> str:
    """Digest of everything but the examples."""
    return key_of(_facts(rules))


def _facts(rules: EncodingRules) -> dict[str, object]:
    tokenizer = rules.tokenizer
    return {
        "task": rules.task,
        "max_length": None if rules.task == "causal_lm" else rules.max_length,
        "rules": [rules.train_on, rules.thinking, rules.turns, dict(rules.classes), rules.label_last],
        "tokenizer": [tokenizer.digest, tokenizer.special_tokens, tokenizer.end_ids, tokenizer.unk_id],
        "templates": [tokenizer.chat_template, tokenizer.tool_template],
        "day": tokenizer.day.isoformat() if tokenizer.is_dated else None,
    }


def prompt_ids(
    messages: Sequence[Message], tokenizer: TextTokenizer, tools: Tools = (), turns: Turns = "as_written"
) -> list[int]:
    """Ids of a conversation up to where the model begins to answer. Raises jinja2.TemplateError."""
    fitting = fitting_turns(messages, tools, tokenizer, turns)
    return tokenizer.encode(tokenizer.render(fitting, tools=tools, add_generation_prompt=True))


def input_ids(text: str, tokenizer: TextTokenizer, max_length: int | None = None) -> list[int]:
    """Ids of a new text as an encoder is given it in training; a conversation is its turns, joined by new lines."""
    return text_inputs([(text, "")], tokenizer, max_length)[0].input_ids


def text_rows(
    texts: Sequence[tuple[str, str]], tokenizer: TextTokenizer, max_length: int | None = None
) -> list[TokenizedExample]:
    """New texts, each with a second text or "", as rows without labels."""
    inputs = text_inputs(texts, tokenizer, max_length)
    return [TokenizedExample(n, row.input_ids, [], row.prompt_length, row.full_length) for n, row in enumerate(inputs)]


def word_rows(
    rows: Sequence[Sequence[str]], tokenizer: TextTokenizer, max_length: int | None = None, *, label_last: bool = False
) -> list[TokenizedExample]:
    """New rows of words, with label 0 where a word's tag is to be read; words that were cut off have none."""
    inputs = word_inputs(rows, tokenizer, max_length, label_last=label_last)
    return [
        TokenizedExample(
            n,
            row.input_ids,
            [0 if i in row.positions else IGNORED for i in range(len(row.input_ids))],
            0,
            row.full_length,
        )
        for n, row in enumerate(inputs)
    ]


def _target(message: Message, rules: EncodingRules) -> str:
    """An answer without a template; thinking that would be masked is left out, as it is not read."""
    return written_before(message) if rules.thinking == "learn" else thinking_of(message)[1]


def _source(messages: Sequence[Message]) -> str:
    return "\n".join(message.content for message in messages)


def _problem(code: str, example: Example, **values: object) -> Problem:
    return Problem(code, Where(example.file, example.line), {"row": example.number, **values})


def _encode_conversations(examples: Sequence[Example], rules: EncodingRules) -> Iterator[TokenizedExample | Problem]:
    rendered: list[tuple[Example, list[RenderedConversation]]] = []
    for example in examples:
        try:
            texts = render_row(
                example,
                rules.tokenizer,
                last_only=rules.train_on == "last_answer",
                thinking=rules.thinking,
                turns=rules.turns,
            )
        except LostCallsError:
            yield _problem("E231", example)
        except jinja2.TemplateError as refusal:
            yield _problem("E219", example, reason=refusal.message or type(refusal).__name__)
        else:
            rendered.append((example, texts[-1:] if rules.train_on == "all" else texts))
    parts = _encode_parts([text for _example, texts in rendered for text in texts], rules)
    for example, texts in rendered:
        yield from (_label(example, text, next(parts), rules) for text in texts)


def _cut_to_length(
    chunk: Sequence[Example], rows: list[TokenizedExample], problems: Sequence[Problem], rules: EncodingRules
) -> EncodedChunk:
    """The rows of a causal model, cut to max_length; those of others were cut when they were encoded."""
    if rules.task != "causal_lm":
        return EncodedChunk(chunk, rows, list(problems))
    examples = {example.number: example for example in chunk}
    cut: list[TokenizedExample] = []
    bad = list(problems)
    for number, group in groupby(rows, lambda row: row.number):
        example, texts = examples[number], list(group)
        fitted = _fitting(example, texts, rules) if example.messages else _in_blocks(example, texts[0], rules)
        for item in fitted:
            if isinstance(item, Problem):
                bad.append(item)
            else:
                cut.append(item)
    return EncodedChunk(chunk, cut, bad)


def _fitting(
    example: Example, texts: Sequence[TokenizedExample], rules: EncodingRules
) -> Iterator[TokenizedExample | Problem]:
    """The texts of a conversation, cut; an answer that does not fit costs no other answer of its row."""
    rows = [_cut(text, rules.max_length) for text in texts]
    faults = [_check(example, row, rules) for row in rows]
    sound = [row for row, fault in zip(rows, faults, strict=True) if not fault]
    is_cut = len(sound) < len(rows)
    yield from (replace(row, is_truncated=row.is_truncated or is_cut) for row in sound)
    if not sound:
        yield from (fault for fault in faults[-1:] if fault)


def _in_blocks(example: Example, text: TokenizedExample, rules: EncodingRules) -> Iterator[TokenizedExample | Problem]:
    """Plain text, which goes on in the next block where it is longer than one."""
    problem = _check(example, text, rules)
    yield from [problem] if problem else blocks(text, rules.max_length)


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of a text that is tokenized on its own, and what is in the loss: characters from `start` to `end`."""

    text: str
    in_loss: tuple[tuple[int, int], ...] = ()


def _parts(rendered: RenderedConversation, rules: EncodingRules) -> list[_Part]:
    """The text, cut where the model takes over, so that no token reaches over from a prompt into an answer.

    Tokenizers that put a blank in front of each text would put one before each part; they are given the text as a whole.
    """
    all_characters = ((0, len(rendered.text)),)
    if not rendered.is_chat:
        return [_Part(rendered.text, all_characters)]
    if rules.tokenizer.begins_with_blank:
        in_loss = (
            all_characters if rules.train_on == "all" else tuple((span.start, span.end) for span in rendered.spans)
        )
        return [_Part(rendered.text, in_loss)]
    parts, place = [], 0
    for span in rendered.spans:
        prompt, answer = rendered.text[place : span.prompt_end], rendered.text[span.prompt_end : span.end]
        from_start = ((0, len(prompt)),) if rules.train_on == "all" else ()
        start = 0 if rules.train_on == "all" else span.start - span.prompt_end
        parts += [_Part(prompt, from_start), _Part(answer, ((start, len(answer)),))]
        place = span.end
    return parts


def _encode_parts(
    texts: Sequence[RenderedConversation], rules: EncodingRules
) -> Iterator[list[tuple[_Part, Encoding]]]:
    """The parts of each text with their tokens.

    Templates write their own special tokens; plain text gets the tokenizer's (a bos, where it has one).
    """
    parts = [_parts(text, rules) for text in texts]
    batches = {
        is_chat: iter(
            rules.tokenizer.encode_batch(
                [part.text for text, own in zip(texts, parts, strict=True) if text.is_chat == is_chat for part in own],
                add_special_tokens=not is_chat,
            )
        )
        for is_chat in (True, False)
    }
    for text, own in zip(texts, parts, strict=True):
        yield [(part, next(batches[text.is_chat])) for part in own]


def _label(
    example: Example, rendered: RenderedConversation, parts: Sequence[tuple[_Part, Encoding]], rules: EncodingRules
) -> TokenizedExample:
    """Mark the tokens in the loss; the row ends with the last of them, closed by an end token."""
    ids: list[int] = []
    trained: list[bool] = []
    for part, encoding in parts:
        ids += encoding.ids
        if part.in_loss:
            trained += [any(_overlap(token, span) for span in part.in_loss) for token in encoding.offsets]
        trained += [False] * (len(ids) - len(trained))
    last = max((i for i, is_trained in enumerate(trained) if is_trained), default=-1)
    prompt_length = _prompt_length(rendered, parts) if rendered.is_chat else 0
    # Nothing after the last label token can reach the loss of a causal model, so it is not computed.
    ids, trained = ids[: last + 1], trained[: last + 1]
    if last >= 0 and ids[-1] not in rules.tokenizer.end_ids:
        ids.append(rules.tokenizer.end_ids[0])
        trained.append(True)
    labels = [token if is_trained else IGNORED for token, is_trained in zip(ids, trained, strict=True)]
    return TokenizedExample(example.number, ids, labels, prompt_length, len(ids), notes=rendered.notes)


def _overlap(token: tuple[int, int], span: tuple[int, int]) -> bool:
    """Whether a token's characters overlap those in the loss; blanks may have no width of their own."""
    (a, b), (start, end) = token, span
    return a < end and (b > start or start == 0)


def _prompt_length(rendered: RenderedConversation, parts: Sequence[tuple[_Part, Encoding]]) -> int:
    """Tokens in front of the last answer."""
    if len(parts) > 1:
        return sum(len(encoding.ids) for _part, encoding in parts[:-1])
    prompt_end = rendered.spans[-1].prompt_end
    return sum(b <= prompt_end for _a, b in parts[0][1].offsets)


def _cut(row: TokenizedExample, max_length: int | None) -> TokenizedExample:
    if max_length is None or len(row.input_ids) <= max_length:
        return row
    return replace(row, input_ids=row.input_ids[:max_length], labels=row.labels[:max_length], is_truncated=True)


def _check(example: Example, row: TokenizedExample, rules: EncodingRules) -> Problem | None:
    # The first token has nothing in front of it that could predict it, so its label does not count.
    if not any(label != IGNORED for label in row.labels[1:]):
        return _answer_cut_off(example, rules, prompt_tokens=row.prompt_length, needed=row.full_length)
    if not row.is_truncated and row.labels[-1] not in rules.tokenizer.end_ids:
        return _problem("E214", example)
    return None


def _answer_cut_off(example: Example, rules: EncodingRules, *, prompt_tokens: int, needed: int) -> Problem:
    values = {"max_length": rules.max_length or 0, "prompt_tokens": prompt_tokens, "needed": needed}
    return _problem("E209", example, **values)


def _encode_translations(examples: Sequence[Example], rules: EncodingRules) -> Iterator[TokenizedExample | Problem]:
    tokenizer, limit = rules.tokenizer, rules.max_length
    sources = text_inputs([(_source(example.messages[:-1]), "") for example in examples], tokenizer, limit)
    answers = text_inputs([(_target(example.messages[-1], rules), "") for example in examples], tokenizer)
    for example, source, answer in zip(examples, sources, answers, strict=True):
        if example.tools or any(message.tool_calls for message in example.messages):
            yield _problem("E235", example)
            continue
        is_closed = answer.input_ids[-1:] and answer.input_ids[-1] in tokenizer.end_ids
        target = answer.input_ids if is_closed else [*answer.input_ids, *tokenizer.end_ids[:1]]
        full_length = source.full_length + len(target)
        # A cut answer did not end where it was cut, so the end token goes with the rest.
        labels = target[:limit]
        is_truncated = len(source.input_ids) + len(labels) < full_length
        if source.is_empty or answer.is_empty:
            yield _problem("E227", example, field=N_("prompt") if source.is_empty else N_("answer"))
        elif not tokenizer.end_ids:
            yield _problem("E214", example)
        else:
            yield TokenizedExample(
                example.number, source.input_ids, labels, source.full_length, full_length, is_truncated
            )


def _encode_labelled(examples: Sequence[Example], rules: EncodingRules) -> Iterator[TokenizedExample | Problem]:
    texts = [(example.text, example.pair) for example in examples]
    for example, inputs in zip(examples, text_inputs(texts, rules.tokenizer, rules.max_length), strict=True):
        if inputs.is_empty:
            yield _problem("E227", example, field=N_("text"))
        else:
            yield _encoded(example, inputs, _classes(example, rules))


def _classes(example: Example, rules: EncodingRules) -> list[int] | list[float]:
    target = example.target
    if isinstance(target, float):
        return [target]
    if isinstance(target, tuple):
        own = frozenset(target)
        return [int(name in own) for name in rules.classes]
    assert target is not None
    return [rules.classes[target]]


def _encode_tagged(examples: Sequence[Example], rules: EncodingRules) -> Iterator[TokenizedExample | Problem]:
    words = [example.words for example in examples]
    rows = word_inputs(words, rules.tokenizer, rules.max_length, label_last=rules.label_last)
    for example, inputs in zip(examples, rows, strict=True):
        labels = [IGNORED] * len(inputs.input_ids)
        for position, tag in zip(inputs.positions, example.tags, strict=True):
            if position is not None:
                labels[position] = rules.classes[tag]
        if inputs.is_empty or inputs.lost:
            yield _problem("E227", example, field=N_("words") if inputs.is_empty else f"words[{inputs.lost[0]}]")
        elif all(label == IGNORED for label in labels):
            yield _answer_cut_off(example, rules, prompt_tokens=0, needed=inputs.full_length)
        else:
            yield _encoded(example, inputs, labels)


def _encoded(example: Example, inputs: EncoderInput, labels: list[int] | list[float]) -> TokenizedExample:
    is_truncated = len(inputs.input_ids) < inputs.full_length
    return TokenizedExample(
        example.number, inputs.input_ids, labels, inputs.prompt_length, inputs.full_length, is_truncated
    )


_CODERS: Mapping[Task, Callable[[Sequence[Example], EncodingRules], Iterator[TokenizedExample | Problem]]] = {
    "causal_lm": _encode_conversations,
    "seq2seq": _encode_translations,
    "seq_cls": _encode_labelled,
    "token_cls": _encode_tagged,
}
