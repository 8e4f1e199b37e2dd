"""Rows counted as they pass, so that a summary of very many takes no more memory than one of a few."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from itertools import accumulate, groupby
from typing import Literal, overload

from tunewright.config.tasks import Task
from tunewright.data.examples.formats import Example
from tunewright.data.loaded_examples import LoadedSource
from tunewright.data.mojibake import is_mojibake
from tunewright.data.tokenized.micro_batches import SHORTEST_PREFIX, common_beginning
from tunewright.data.tokenized.tokenized_cache import NOTES
from tunewright.data.tokenized.tokenized_example import TokenizedExample
from tunewright.data.tokenized.tokenizer import TextTokenizer
from tunewright.data.tokenized.vocabulary_check import all_texts, control_tokens, has_token

SHOWN_NUMBERS = 1000
Side = Literal["train", "held out"]


class NumberedRows:
    """How many rows are of one kind, and the smallest of their numbers."""

    def __init__(self, numbers: Iterable[int] = ()) -> None:
        self.count = 0
        self._smallest: list[int] = []
        for number in numbers:
            self.add(number)

    def add(self, number: int) -> None:
        self.count += 1
        self._smallest.append(number)
        if len(self._smallest) > 2 * SHOWN_NUMBERS:
            self._smallest = self.smallest()

    def smallest(self) -> list[int]:
        """The first SHOWN_NUMBERS, in order."""
        return nsmallest(SHOWN_NUMBERS, self._smallest)


class SortedCounts(Sequence[int]):
    """Values in order, each as often as it was counted."""

    def __init__(self, counts: Counter[int]) -> None:
        self._values = sorted(counts)
        self._ends = list(accumulate(counts[value] for value in self._values))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, index: int) -> int: ...

    @overload
    def __getitem__(self, index: slice) -> list[int]: ...

    def __getitem__(self, index: int | slice) -> int | list[int]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        i = index + len(self) if index < 0 else index
        if not 0 <= i < len(self):
            raise IndexError(index)
        return self._values[bisect_right(self._ends, i)]


@dataclass
class SourceTally:
    """The training rows of one source."""

    sequences: int = 0
    tokens: int = 0
    label_tokens: int = 0


class RowTally:
    """What is to be said of the rows of both sides: how many, how long, of which kinds.

    `add` takes examples and all rows that they became, those of one example one after another. Training rows are also counted
    for each of `sources`, if any are given; a plain text counts as no longer than `longest_text`.
    """

    def __init__(
        self,
        tokenizer: TextTokenizer,
        task: Task,
        *,
        sources: Sequence[LoadedSource] = (),
        longest_text: int | None = None,
        embedding_rows: int | None = None,
    ) -> None:
        self._sources, self._longest_text = sources, longest_text
        self.of_sources = [SourceTally() for _source in sources]
        self._unk_id, self._pad_id, self._task = tokenizer.unk_id, tokenizer.pad_id, task
        self._control_tokens = control_tokens(tokenizer)
        self._embedding_rows = embedding_rows
        self.beyond: set[int] = set()
        self._note_ids([self._pad_id])
        kinds = ("unlearned_turns", "cut_turns", "control_tokens", "mojibake", "truncated")
        self.kinds = {kind: NumberedRows() for kind in kinds}
        self.kinds |= {note: NumberedRows() for note in NOTES}
        self.lengths: Counter[int] = Counter()
        self.num_examples, self.num_rows, self.num_sequences = Counter[Side](), Counter[Side](), Counter[Side]()
        self.longest_prompt = self.tokens = self.label_tokens = self.unknown_tokens = 0
        self.prefix = CommonPrefix()

    def add(self, side: Side, examples: Sequence[Example], rows: Sequence[TokenizedExample]) -> None:
        self.num_examples[side] += len(examples)
        self.num_sequences[side] += len(rows)
        for example in examples:
            for kind in kinds_of_example(example, self._control_tokens):
                self.kinds[kind].add(example.number)
        texts = {example.number for example in examples if not example.messages} if self._longest_text else set[int]()
        for number, group in groupby(rows, lambda row: row.number):
            own = list(group)
            self.num_rows[side] += 1
            length = needed_length(own[-1], self._task)
            self.lengths[min(length, self._longest_text or length) if number in texts else length] += 1
            for kind in kinds_of_rows(own):
                self.kinds[kind].add(number)
        for row in rows:
            self.longest_prompt = max(self.longest_prompt, row.prompt_length)
            self._note_ids(row.input_ids)
            if self._task == "seq2seq":
                self._note_ids([int(label) for label in row.labels])
            if side == "train":
                self._add_training_row(row)

    def _add_training_row(self, row: TokenizedExample) -> None:
        texts = (row.input_ids, row.labels) if self._task == "seq2seq" else (row.input_ids,)
        tokens = sum(map(len, texts))
        label_tokens = 1 if self._task == "seq_cls" else row.num_label_tokens
        self.tokens += tokens
        self.label_tokens += label_tokens
        if self._unk_id is not None:
            self.unknown_tokens += sum(ids.count(self._unk_id) for ids in texts)
        self.prefix.add(row)
        for source, own in zip(self._sources, self.of_sources, strict=True):
            if source.holds(row.number):
                own.sequences += 1
                own.tokens += tokens
                own.label_tokens += label_tokens

    def _note_ids(self, ids: Sequence[int]) -> None:
        if self._embedding_rows is not None and ids and max(ids) >= self._embedding_rows:
            self.beyond.update(number for number in ids if number >= self._embedding_rows)

    def common_prefix(self) -> int:
        """How many tokens in front of every prompt of a causal model are the same; 0 if they are too few to be shared."""
        return self.prefix.length() if self._task == "causal_lm" else 0


class CommonPrefix:
    """How many tokens in front of every prompt are the same in all rows."""

    def __init__(self) -> None:
        self._first: list[int] | None = None
        self._last: list[int] = []
        self._least_prompt = 0

    def add(self, row: TokenizedExample) -> None:
        if self._first is None:
            self._first, self._least_prompt = row.input_ids, row.prompt_length
        self._first, self._last = min(self._first, row.input_ids), max(self._last, row.input_ids)
        self._least_prompt = min(self._least_prompt, row.prompt_length)

    def length(self) -> int:
        """The tokens; 0 if they are too few to be shared."""
        if self._first is None:
            return 0
        # What the first and the last in the order of their tokens have in common, all between them have.
        length = common_beginning(self._first, self._last, max(0, self._least_prompt - 1))
        return length if length >= SHORTEST_PREFIX else 0


def kinds_of_example(example: Example, control: Collection[str]) -> Iterator[str]:
    """The kinds of `data.summary.KINDS` that an example is of before it is encoded; `control` are a tokenizer's control tokens."""
    if any(message.role == "assistant" and not message.learn for message in example.messages):
        yield "unlearned_turns"
    if example.cut_turns:
        yield "cut_turns"
    if has_token(example, control):
        yield "control_tokens"
    if any(map(is_mojibake, all_texts(example))):
        yield "mojibake"


def kinds_of_rows(rows: Sequence[TokenizedExample]) -> Iterator[str]:
    """The kinds that the rows of one example are of, by what became of them."""
    if any(row.is_truncated for row in rows):
        yield "truncated"
    yield from frozenset[str]().union(*(row.notes for row in rows))


def needed_length(row: TokenizedExample, task: Task) -> int:
    """The max_length that would cut nothing of the row; it holds for source and target each."""
    if task == "seq2seq":
        return max(row.prompt_length, row.full_length - row.prompt_length)
    return row.full_length
