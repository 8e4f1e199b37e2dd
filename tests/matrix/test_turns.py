"""What is learned of conversations with tools, thinking and weights, for templates of many families: held against transformers.

The second way: for each answer that is to be learned, transformers' `apply_chat_template` writes the prompt (the turns before
it, with the generation prompt) and the conversation that ends with it; what the second has behind the first is the answer.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from tests.shapes.templates import AT_ONCE, CHANNELS, COMPACT, FAMILIES, SPECIAL, Family
from tunewright.data.examples.convert import to_examples
from tunewright.data.examples.formats import sniff
from tunewright.data.files.readers import RawRow
from tunewright.data.tokenized.tokenization import IGNORED, TokenizedExample, encode
from tunewright.data.tokenized.tokenizer import TextTokenizer

Turn = dict[str, Any]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "stock_of",
            "description": "How many are left",
            "parameters": {"type": "object", "properties": {"item": {"type": "string"}}, "required": ["item"]},
        },
    }
]


@cache
def backend() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(
        ["<think>\n\n</think>\n\nuser assistant the price of a lamp is\n\n  left"] * 3, trainer
    )
    return tokenizer


@cache
def ours(name: str) -> TextTokenizer:
    family = FAMILIES[name]
    ends = dict.fromkeys((family.end, "</s>"))
    ids = tuple(backend().token_to_id(end) for end in ends)
    special = {"bos_token": "<s>", "eos_token": "</s>"}
    return TextTokenizer(backend(), special, family.source, ids, frozenset(SPECIAL), None)


@cache
def theirs(name: str) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=backend(), bos_token="<s>", eos_token="</s>", chat_template=FAMILIES[name].source
    )


def rows_of(value: Mapping[str, Any], name: str, **options: Any) -> list[TokenizedExample]:
    raw = [RawRow(1, "f.jsonl", 1, dict(value))]
    examples, problems = to_examples(raw, sniff(raw))
    assert not problems, [problem.message() for problem in problems]
    rows, problems = encode(examples, ours(name), max_length=None, **options)
    assert not problems, [problem.message() for problem in problems]
    return rows


def learned(rows: Sequence[TokenizedExample]) -> list[str]:
    """The answers that are learned, one by one."""
    runs: list[list[int]] = []
    for row in rows:
        places = [i for i, label in enumerate(row.labels) if label != IGNORED]
        for i in places:
            if i - 1 in places:
                runs[-1].append(int(row.labels[i]))
            else:
                runs.append([int(row.labels[i])])
    return [ours("qwen3").decode(run, skip_special_tokens=False) for run in runs]


def parsed(turns: Sequence[Turn]) -> list[Turn]:
    """Turns as transformers' documentation wants them: arguments as objects."""
    done = []
    for turn in turns:
        calls = turn.get("tool_calls")
        done.append({k: v for k, v in turn.items() if k not in ("weight", "train")})
        if calls:
            done[-1]["tool_calls"] = [
                {**c, "function": {**c["function"], "arguments": _object(c["function"]["arguments"])}} for c in calls
            ]
    return done


def _object(arguments: Any) -> Any:
    return json.loads(arguments) if isinstance(arguments, str) else arguments


def as_text(turns: Sequence[Turn]) -> list[Turn]:
    return [
        {**turn, "tool_calls": [
            {**c, "function": {**c["function"], "arguments": json.dumps(c["function"]["arguments"], ensure_ascii=False)}}
            for c in turn["tool_calls"]
        ]} if turn.get("tool_calls") else turn
        for turn in turns
    ]  # fmt: skip


def oracle_labels(turns: Sequence[Turn], index: int, name: str, tools: Any) -> str:
    """What the model must write to be this turn."""
    family, plain = FAMILIES[name], parsed(turns)
    plain = as_text(plain) if name == "deepseek-r1" else plain
    template = theirs(name).apply_chat_template
    prompt = template(plain[:index], tools=tools, tokenize=False, add_generation_prompt=True)
    text = template(plain[: index + 1], tools=tools, tokenize=False)
    thought, answer = thought_and_answer(plain[index])
    if text.startswith(prompt) and (not thought or thought.strip() in text[len(prompt) :]):
        answer_text = text[len(prompt) :]
    else:
        answer_text = f"{_block(thought, family)}{_after_prompt(text, plain[index], answer, name)}"
    return _ended(answer_text, family)


def thought_and_answer(turn: Turn) -> tuple[str, str]:
    content = turn.get("content") or ""
    if turn.get("reasoning_content") is not None:
        return turn["reasoning_content"], content
    if content.startswith("<think>"):
        thought, _close, answer = content.removeprefix("<think>").partition("</think>")
        return thought, answer.lstrip()
    return "", content


def _block(thought: str, family: Family) -> str:
    opening = "" if family.opens else "<think>\n"
    return f"{opening}{thought.strip(chr(10))}\n</think>\n\n" if thought or family.opens else ""


def _after_prompt(text: str, turn: Turn, answer: str, name: str) -> str:
    """What the family writes of the turn itself, without thinking."""
    head = {"deepseek-r1": "<|Assistant|>"}.get(name)
    if head:
        return text[text.rindex(head) + len(head) :] if turn.get("tool_calls") else f"{answer}</s>"
    return text[text.rindex(answer.strip()) :]


def _ended(answer_text: str, family: Family) -> str:
    """Up to the first token at which generation ends; where the family closes no turn, with the end token."""
    ends = [answer_text.index(end) + len(end) for end in (family.end, "</s>") if end in answer_text]
    return answer_text[: min(ends)] if ends else answer_text + family.end


def check(turns: list[Turn], name: str, tools: Any = None, **options: Any) -> None:
    row = {"messages": turns, **({"tools": tools} if tools else {})}
    expected = [i for i, turn in enumerate(turns) if turn["role"] == "assistant" and turn.get("weight") != 0]
    expected = [oracle_labels(turns, i, name, tools) for i in expected]
    assert sorted(learned(rows_of(row, name, **options))) == sorted(expected)


USER, SYSTEM = {"role": "user", "content": "How many lamps are left?"}, {"role": "system", "content": "You run a shop."}
ANSWER, AGAIN = {"role": "assistant", "content": "There are 3 lamps left."}, {"role": "user", "content": "And teapots?"}
LAST = {"role": "assistant", "content": "None, sorry."}
CALL = {"id": "abcdefghi", "type": "function", "function": {"name": "stock_of", "arguments": {"item": "lamp"}}}
CALLING: list[Turn] = [
    USER,
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "content": "3", "tool_call_id": "abcdefghi", "name": "stock_of"},
    ANSWER,
]
THOUGHT = {"role": "assistant", "content": "There are 3.", "reasoning_content": "I count: 1, 2, 3."}
TAGGED = {"role": "assistant", "content": "<think>\nI count: 1, 2, 3.\n</think>\n\nThere are 3."}


@pytest.mark.parametrize("name", FAMILIES)
def test_plain_conversations(name: str) -> None:
    check([USER, ANSWER], name)
    check([USER, ANSWER, AGAIN, LAST], name)
    check([USER, {**ANSWER, "weight": 0}, AGAIN, LAST], name)
    check([USER, ANSWER, AGAIN, {**LAST, "weight": 0}], name)
    if FAMILIES[name].has_system:
        check([SYSTEM, USER, ANSWER, AGAIN, LAST], name)


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if family.has_tools])
def test_calls_of_tools(name: str) -> None:
    check(CALLING, name, TOOLS)
    check(CALLING[:2], name, TOOLS)
    as_json = {"role": "assistant", "content": "", "tool_calls": [
        {**CALL, "function": {"name": "stock_of", "arguments": '{"item": "lamp"}'}}
    ]}  # fmt: skip
    check([USER, as_json, *CALLING[2:]], name, TOOLS)
    if FAMILIES[name].several_calls:
        twice = {**CALLING[1], "tool_calls": [CALL, {**CALL, "id": "abcdefghj"}]}
        check(
            [USER, twice, CALLING[2], {**CALLING[2], "content": "4", "tool_call_id": "abcdefghj"}, ANSWER], name, TOOLS
        )


@pytest.mark.parametrize("turn", [THOUGHT, TAGGED], ids=["key", "tags"])
@pytest.mark.parametrize("name", FAMILIES)
def test_thinking(name: str, turn: Turn) -> None:
    check([USER, turn], name)
    check([USER, turn, AGAIN, {**turn, "content": turn["content"].replace("3", "4")}], name)
    check([USER, ANSWER, AGAIN, turn], name)


@pytest.mark.parametrize("name", FAMILIES)
def test_masked_and_dropped_thinking(name: str) -> None:
    for turn in (THOUGHT, TAGGED):
        (masked,) = learned(rows_of({"messages": [USER, turn]}, name, thinking="mask"))
        assert masked.lstrip().startswith("There are 3."), masked
        full = rows_of({"messages": [USER, turn]}, name, thinking="mask")[0]
        assert "I count" in ours(name).decode(full.input_ids, skip_special_tokens=False)
        dropped = rows_of({"messages": [USER, turn]}, name, thinking="drop")
        assert "I count" not in ours(name).decode(dropped[0].input_ids, skip_special_tokens=False)
        assert dropped == rows_of({"messages": [USER, {"role": "assistant", "content": "There are 3."}]}, name)


@pytest.mark.parametrize("name", FAMILIES)
def test_an_answer_that_mentions_a_tag_is_learned_whole(name: str) -> None:
    for content in (
        "The tag </think> closes it.",
        "Write <think> first.",
        "Between <think> and </think>.",
        "a</think>b",
    ):
        (text,) = learned(rows_of({"messages": [USER, {"role": "assistant", "content": content}]}, name))
        assert content in text


THINKS: Turn = {"role": "assistant", "content": "It is 3.", "reasoning_content": "1, 2, 3."}
IN_TAGS: Turn = {"role": "assistant", "content": "<think>\n1, 2, 3.\n</think>\n\nIt is 3."}
PLAIN: Turn = {"role": "assistant", "content": "It is 3."}


@pytest.mark.parametrize(
    ("template", "end", "turn", "expected", "notes"),
    [
        (COMPACT, "<|im_end|>", PLAIN, "</think>It is 3.", set()),
        (COMPACT, "<|im_end|>", THINKS, "1, 2, 3.\n</think>\nIt is 3.", {"thinking"}),
        (COMPACT, "<|im_end|>", IN_TAGS, "1, 2, 3.\n</think>\n\nIt is 3.", {"thinking"}),
        (AT_ONCE, "<|im_end|>", PLAIN, "It is 3.", set()),
        (AT_ONCE, "<|im_end|>", THINKS, "It is 3.", {"thinking", "thinking_lost"}),
        (AT_ONCE, "<|im_end|>", IN_TAGS, "It is 3.", {"thinking", "thinking_lost"}),
        (CHANNELS, "<|return|>", PLAIN, "<|channel|>final<|message|>It is 3.", set()),
        (CHANNELS, "<|return|>", THINKS,
         "<|channel|>analysis<|message|>1, 2, 3.<|end|><|start|>assistant<|channel|>final<|message|>It is 3.", {"thinking"}),
        (CHANNELS, "<|return|>", IN_TAGS,
         "<|channel|>analysis<|message|>1, 2, 3.<|end|><|start|>assistant<|channel|>final<|message|>It is 3.", {"thinking"}),
    ],
)  # fmt: skip
def test_other_ways_of_thinking(template: str, end: str, turn: Turn, expected: str, notes: set[str]) -> None:
    """Blocks without lines of their own, prompts that end thinking, and thinking in a channel."""
    ends = (backend().token_to_id(end),)
    tokenizer = TextTokenizer(backend(), {"eos_token": end}, template, ends, frozenset(SPECIAL), None)
    for turns in ([USER, turn], [USER, PLAIN, AGAIN, turn]):
        examples, _problems = to_examples(
            [RawRow(1, "f", 1, {"messages": turns})], sniff([RawRow(1, "f", 1, {"messages": turns})])
        )
        rows, problems = encode(examples, tokenizer, max_length=None)
        assert not problems
        assert learned(rows)[-1] == expected + end
        assert set(rows[-1].notes) == notes


def test_transformers_own_mask_of_what_is_generated() -> None:
    turns = [SYSTEM, USER, ANSWER, AGAIN, LAST]
    rendered = theirs("marked").apply_chat_template(
        turns, return_assistant_tokens_mask=True, return_dict=True, tokenize=True
    )
    ids = rendered["input_ids"]
    (row,) = rows_of({"messages": turns}, "marked")
    assert row.input_ids == ids[: len(row.input_ids)]
    assert [label != IGNORED for label in row.labels] == [
        bool(m) for m in rendered["assistant_masks"][: len(row.input_ids)]
    ]
    assert not any(rendered["assistant_masks"][len(row.input_ids) :])


WORDS = st.lists(
    st.sampled_from(["lamp", "left", "price", "3", "ünï", "你好", "🙂", "{", "}", '"', "\\", "'", "a\nb", "  two", "\n\nx",
                     "<b>", "</think", "think>"]),
    min_size=1, max_size=6,
).map(" ".join)  # fmt: skip
TEXT = WORDS.filter(lambda text: text.strip() == text)
VALUES = st.one_of(TEXT, st.integers(), st.booleans(), st.lists(TEXT, max_size=2))


@st.composite
def conversations(draw: st.DrawFn, family: Family) -> tuple[list[Turn], Any]:
    """Any conversation that the family takes, and its tools."""
    turns: list[Turn] = [{"role": "system", "content": draw(TEXT)}] if family.has_system and draw(st.booleans()) else []
    has_tools = family.has_tools and draw(st.booleans())
    for _ in range(draw(st.integers(1, 3))):
        turns.append({"role": "user", "content": draw(TEXT)})
        if has_tools and draw(st.booleans()):
            count = draw(st.integers(1, 2 if family.several_calls else 1))
            calls = [
                {"type": "function", "id": f"call0000{n}", "function": {
                    "name": draw(st.sampled_from(["stock_of", "price_of"])),
                    "arguments": draw(st.dictionaries(st.sampled_from(["item", "count"]), VALUES, max_size=2)),
                }} for n in range(count)
            ]  # fmt: skip
            turns.append({"role": "assistant", "content": None, "tool_calls": calls, **draw(WEIGHT)})
            turns += [{"role": "tool", "content": draw(TEXT), "tool_call_id": f"call0000{n}"} for n in range(count)]
        turns.append({"role": "assistant", "content": draw(TEXT), **draw(WEIGHT)})
        thinking = draw(st.sampled_from(["none", "none", "key", "tags"]))
        if thinking == "key":
            turns[-1]["reasoning_content"] = draw(TEXT)
        elif thinking == "tags":
            turns[-1]["content"] = f"<think>\n{draw(TEXT)}\n</think>\n\n{turns[-1]['content']}"
    return turns, TOOLS if has_tools else None


WEIGHT = st.sampled_from([{}, {}, {"weight": 1}, {"weight": 0}])


@pytest.mark.parametrize("name", FAMILIES)
def test_any_conversation(name: str) -> None:
    @settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(conversations(FAMILIES[name]))
    def hold(drawn: tuple[list[Turn], Any]) -> None:
        turns, tools = drawn
        if any(turn["role"] == "assistant" and turn.get("weight") != 0 for turn in turns):
            check(turns, name, tools)

    hold()
