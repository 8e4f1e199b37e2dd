"""Which tokens are learned, for templates of many shapes: every assistant turn, its end, and nothing else."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from tunewright.data.examples.formats import Example, Message
from tunewright.data.tokenized import tokenized_cache
from tunewright.data.tokenized.tokenization import IGNORED, encode, prompt_ids
from tunewright.data.tokenized.tokenizer import TextTokenizer, load_tokenizer

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
BRACKETS = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}{{ '[INST] ' + m.content + ' [/INST]' }}"
    "{% elif m.role == 'assistant' %}{{ ' ' + m.content + eos_token }}{% endif %}{% endfor %}"
)
TRIMMING = (
    "{% for m in messages %}<|im_start|>{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content | trim }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>model\n{% endif %}"
)
THINKING = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}"
    "{% if m.role == 'assistant' and loop.last %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
    "{{ m.content + '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
BARE = (
    "{% for m in messages %}{{ '### ' + m.role + ': ' + m.content + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}### assistant: {% endif %}"
)
SPECIAL = ["<s>", "</s>", "<|im_start|>", "<|im_end|>"]
TWO_TURNS = (
    Message("user", "hi"),
    Message("assistant", " first "),
    Message("user", "more"),
    Message("assistant", "second"),
)


@pytest.fixture(scope="module")
def backend() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=290, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(["user assistant first second more"], trainer)
    return tokenizer


def with_template(backend: Tokenizer, template: str | None, end: str) -> TextTokenizer:
    special = {"bos_token": "<s>", "eos_token": end}
    ends = (backend.token_to_id(end),)
    return TextTokenizer(backend, special, template, ends, frozenset(SPECIAL), None)


def learned(tokenizer: TextTokenizer, example: Example, max_length: int | None = None) -> str:
    """What is learned, in all texts of the row."""
    rows, problems = encode([example], tokenizer, max_length=max_length)
    assert not problems
    labels = [label for row in rows for label in row.labels if label != IGNORED]
    return tokenizer.decode(labels, skip_special_tokens=False)


@pytest.mark.parametrize(
    ("template", "end", "text"),
    [
        (CHATML, "<|im_end|>", " first <|im_end|>second<|im_end|>"),
        (BRACKETS, "</s>", "  first </s> second</s>"),
        (TRIMMING, "<|im_end|>", "first<|im_end|>second<|im_end|>"),
        (THINKING, "<|im_end|>", "<think>\n\n</think>\n\n first <|im_end|><think>\n\n</think>\n\nsecond<|im_end|>"),
        (BARE, "</s>", " first </s>second</s>"),
    ],
    ids=["chatml", "brackets", "trimming", "thinking", "bare"],
)
def test_every_answer_and_its_end_is_learned_and_nothing_else(
    backend: Tokenizer, template: str, end: str, text: str
) -> None:
    tokenizer = with_template(backend, template, end)
    assert learned(tokenizer, Example(1, "f", 1, TWO_TURNS)) == text
    assert learned(tokenizer, Example(1, "f", 1, TWO_TURNS)).endswith(end)


@pytest.mark.parametrize("template", [CHATML, BRACKETS, TRIMMING])
def test_the_prompt_of_training_is_the_prompt_of_use(backend: Tokenizer, template: str) -> None:
    tokenizer = with_template(backend, template, "</s>")
    (row,), _ = encode([Example(1, "f", 1, TWO_TURNS)], tokenizer, max_length=None)
    assert row.input_ids[: row.prompt_length] == prompt_ids(TWO_TURNS[:-1], tokenizer)


def test_the_content_of_an_answer_may_look_like_the_prompt(backend: Tokenizer) -> None:
    tokenizer = with_template(backend, CHATML, "<|im_end|>")
    echo = Example(1, "f", 1, (Message("user", "assistant"), Message("assistant", "assistant")))
    assert learned(tokenizer, echo) == "assistant<|im_end|>"


@pytest.mark.parametrize("form", ["plain", "chatml", "hermes"])
@pytest.mark.parametrize("puts_bos", [True, False])
def test_built_in_templates_begin_as_the_tokenizer_begins_a_text(
    backend: Tokenizer, tmp_path: Path, form: str, puts_bos: bool
) -> None:
    """A base without a template, used by `tokenizer(prompt)`, sees what it saw in training."""
    own = Tokenizer.from_str(backend.to_str())
    if puts_bos:
        own.post_processor = processors.TemplateProcessing("<s> $A", "<s> $A $B", [("<s>", own.token_to_id("<s>"))])
    own.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text('{"bos_token": "<s>", "eos_token": "</s>"}')
    tokenizer = load_tokenizer(tmp_path, form)
    (row,), problems = encode([Example(1, "f", 1, TWO_TURNS[:2])], tokenizer, max_length=None)
    assert not problems
    is_first = [i for i, token in enumerate(row.input_ids) if token == own.token_to_id("<s>")]
    assert is_first == ([0] if puts_bos else [])
    assert row.input_ids[: row.prompt_length] == prompt_ids(TWO_TURNS[:1], tokenizer)
    if form == "plain":
        assert row.input_ids[: row.prompt_length] == tokenizer.encode("hi\n", add_special_tokens=True)


def test_a_tokenizer_that_is_in_use_is_not_read_again_until_its_file_changes(
    backend: Tokenizer, tmp_path: Path
) -> None:
    backend.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text('{"bos_token": "<s>", "eos_token": "</s>"}')
    first = load_tokenizer(tmp_path, "plain")
    assert load_tokenizer(tmp_path, "chatml").backend is first.backend
    other = Tokenizer.from_str(backend.to_str())
    other.add_tokens(["something"])
    other.save(str(tmp_path / "tokenizer.json"))
    changed = load_tokenizer(tmp_path, "plain")
    assert changed.backend is not first.backend and changed.digest != first.digest
    assert changed.backend.token_to_id("something") is not None and first.backend.token_to_id("something") is None


def test_chinese_and_emoji_are_learned_whole(backend: Tokenizer) -> None:
    tokenizer = with_template(backend, CHATML, "<|im_end|>")
    example = Example(1, "f", 1, (Message("user", "你好"), Message("assistant", "很高兴🙂")))
    assert learned(tokenizer, example) == "很高兴🙂<|im_end|>"


def test_plain_text_is_learned_whole_and_closed(backend: Tokenizer) -> None:
    tokenizer = with_template(backend, None, "</s>")
    assert learned(tokenizer, Example(1, "f", 1, text="more and more")) == "more and more</s>"


def test_a_cut_row_keeps_no_end_token_and_counts_as_cut(backend: Tokenizer) -> None:
    tokenizer = with_template(backend, CHATML, "<|im_end|>")
    (row,), problems = encode([Example(1, "f", 1, TWO_TURNS)], tokenizer, max_length=20)
    assert not problems
    assert row.is_truncated
    assert len(row.input_ids) == 20 < row.full_length
    assert row.labels[-1] != tokenizer.end_ids[0]


def test_a_row_whose_answer_is_cut_away_is_named(backend: Tokenizer) -> None:
    tokenizer = with_template(backend, CHATML, "<|im_end|>")
    rows, (problem,) = encode([Example(7, "f", 9, TWO_TURNS[:2])], tokenizer, max_length=8)
    assert not rows
    assert (problem.code, problem.where.line, problem.values["row"]) == ("E209", 9, 7)


def test_a_template_that_refuses_a_row_names_it(backend: Tokenizer) -> None:
    strict = "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system turn') }}{% endif %}{% endfor %}"
    tokenizer = with_template(backend, strict + CHATML, "<|im_end|>")
    example = Example(3, "f", 4, (Message("system", "s"), *TWO_TURNS))
    rows, (problem,) = encode([example], tokenizer, max_length=None)
    assert not rows
    assert (problem.code, problem.values["reason"]) == ("E219", "no system turn")


def test_templates_run_in_a_sandbox(backend: Tokenizer) -> None:
    for evil in (
        "{{ ''.__class__.__mro__ }}",
        "{% set ns = namespace() %}{% set ns.__init__ = 1 %}{{ messages.clear() }}",
    ):
        _rows, problems = encode([Example(1, "f", 1, TWO_TURNS)], with_template(backend, evil, "</s>"), max_length=None)
        assert [p.code for p in problems] == ["E219"]


def test_encoded_rows_come_back_from_the_cache_or_not_at_all(backend: Tokenizer, tmp_path: Path) -> None:
    tokenizer = with_template(backend, CHATML, "<|im_end|>")
    rows, _ = encode([Example(i, "f", i, TWO_TURNS) for i in range(5)], tokenizer, max_length=30)
    path = tmp_path / "rows.i32"
    content = tokenized_cache.dump(rows)
    path.write_bytes(content)
    loaded = tokenized_cache.load(path)
    assert loaded
    assert list(loaded) == rows
    assert (loaded[-1], loaded[1:3], len(loaded)) == (rows[-1], rows[1:3], 5)
    for harm in (content[:-4], content[:-1] + bytes([content[-1] ^ 1]), b"not json\n", b""):
        path.write_bytes(harm)
        assert tokenized_cache.load(path) is None
    assert tokenized_cache.load(tmp_path / "missing") is None


def test_a_template_that_cuts_an_answer_is_told(backend: Tokenizer) -> None:
    tokenizer = with_template(backend, CHATML.replace("m.content", "m.content[:16]"), "<|im_end|>")
    example = Example(1, "f", 1, (Message("user", "hi"), Message("assistant", "first and second and more")))
    assert learned(tokenizer, example) == "first and second<|im_end|>"
    (row,), _problems = encode([example], tokenizer, max_length=None)
    assert row.notes == {"turn_lost"}
