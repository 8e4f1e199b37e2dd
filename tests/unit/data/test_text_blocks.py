"""Plain text in blocks: every token is learned once, by what stands in front of it, and the end token comes last."""

import random

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from tunewright.data.examples.formats import Example
from tunewright.data.tokenized.text_blocks import IGNORED
from tunewright.data.tokenized.tokenization import TokenizedExample, encode
from tunewright.data.tokenized.tokenizer import TextTokenizer

WORDS = {"</s>": 0, "<s>": 1, **{f"w{number}": number + 2 for number in range(50)}}
END, BEGIN = 0, 1


@pytest.fixture
def tokenizer() -> TextTokenizer:
    backend = Tokenizer(models.WordLevel(WORDS, unk_token="w0"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", BEGIN)])
    return TextTokenizer(backend, {}, None, (END,), frozenset({"</s>", "<s>"}), None)


def text(number: int, length: int) -> Example:
    return Example(number, "book.txt", number, (), " ".join(f"w{(7 * i) % 50}" for i in range(length)))


def blocks_of(examples: list[Example], tokenizer: TextTokenizer, max_length: int | None) -> list[TokenizedExample]:
    rows, problems = encode(examples, tokenizer, max_length=max_length)
    assert problems == []
    return rows


@pytest.mark.parametrize("length", [1, 6, 7, 8, 9, 13, 14, 15, 20, 21, 22, 100])
@pytest.mark.parametrize("max_length", [8, 9, 16])
def test_each_token_is_learned_once_and_predicted_by_the_one_before(
    tokenizer: TextTokenizer, length: int, max_length: int
) -> None:
    (whole,) = blocks_of([text(1, length)], tokenizer, None)
    blocks = blocks_of([text(1, length)], tokenizer, max_length)
    assert whole.input_ids[0] == BEGIN and whole.input_ids[-1] == END
    assert all(len(block.input_ids) <= max_length and not block.is_truncated for block in blocks)
    # What the loss is taken on: a label at a place is predicted from the places before it.
    pairs = [
        (b.input_ids[i - 1], b.labels[i]) for b in blocks for i in range(1, len(b.input_ids)) if b.labels[i] != IGNORED
    ]
    assert pairs == list(zip(whole.input_ids, whole.input_ids[1:], strict=False))
    assert [block.input_ids[-1] == END for block in blocks] == [False] * (len(blocks) - 1) + [True]
    assert [block.input_ids[0] == BEGIN for block in blocks] == [True] + [False] * (len(blocks) - 1)
    assert all(block.labels[0] == IGNORED for block in blocks[1:])
    assert sum(block.num_label_tokens for block in blocks) == whole.num_label_tokens


def test_many_texts_keep_their_numbers_and_their_order(tokenizer: TextTokenizer) -> None:
    lengths = [random.Random(0).randint(1, 60) for _ in range(40)]
    rows = blocks_of([text(n, length) for n, length in enumerate(lengths)], tokenizer, 10)
    assert [row.number for row in rows] == sorted(row.number for row in rows)
    counts = [sum(row.number == n for row in rows) for n in range(40)]
    assert counts == [max(1, -(-(length + 1) // 9)) for length in lengths]
    assert {row.full_length - 2 for row in rows if row.number == 7} == {lengths[7]}


@pytest.mark.parametrize("seed", range(20))
def test_the_blocks_of_a_document_put_together_are_the_document(tokenizer: TextTokenizer, seed: int) -> None:
    draw = random.Random(seed)
    texts = [text(n, draw.randint(1, 300)) for n in range(30)]
    max_length = draw.randint(2, 70)
    whole = {row.number: row for row in blocks_of(texts, tokenizer, None)}
    together: dict[int, list[int]] = {}
    for block in blocks_of(texts, tokenizer, max_length):
        before = together.setdefault(block.number, [])
        # The last token of the block before is read again, as what predicts the first new one.
        assert not before or before[-1] == block.input_ids[0]
        before += block.input_ids[1:] if before else block.input_ids
    assert together == {number: row.input_ids for number, row in whole.items()}


def test_blocks_but_the_last_of_a_document_are_full(tokenizer: TextTokenizer) -> None:
    rows = blocks_of([text(1, 1000), text(2, 5)], tokenizer, 64)
    sizes = [len(row.input_ids) for row in rows if row.number == 1]
    assert set(sizes[:-1]) == {64} and 2 <= sizes[-1] <= 64
    assert END not in [token for row in rows if row.number == 1 for token in row.input_ids][:-1]


def test_long_documents_are_encoded_in_smaller_parts(tokenizer: TextTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [text(n, length) for n, length in enumerate((3, 400, 2, 2, 900, 1, 1, 1))]
    at_once = blocks_of(texts, tokenizer, 16)
    monkeypatch.setattr("tunewright.data.tokenized.tokenization.CHUNK_CHARACTERS", 500)
    assert blocks_of(texts, tokenizer, 16) == at_once
