"""Rows of validated data one by one: each with its place, what it became, and what was found, in the order of the data."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Literal

from tunewright.data import deduplication
from tunewright.data.examples.formats import Example
from tunewright.data.loaded_examples import is_of_held_out
from tunewright.data.row_tally import kinds_of_example, kinds_of_rows
from tunewright.data.summary import KIND_OF_CODE
from tunewright.data.tokenized.tokenized_example import TokenizedExample
from tunewright.data.tokenized.tokenizer import TextTokenizer
from tunewright.data.tokenized.vocabulary_check import control_tokens
from tunewright.data.validation import ValidatedData
from tunewright.errors import Problem

RowUse = Literal["train", "held_out", "left_out"]
# Problems of a row, by what a whole kind of rows is warned of with.
CODE_OF_KIND: Mapping[str, str] = {
    "duplicate": "W211", "conflict": "W212", "leaked": "W213", "control_tokens": "W215", "mojibake": "W247", "truncated": "W201",
    "tools_unseen": "W221", "thinking_by_hand": "W223", "turn_lost": "W224", "thinking_lost": "W227",
}  # fmt: skip


@dataclass
class LookedRow:
    """One row: its number over all data, rows held out in files of their own counted after all others, and its place.

    `example` is None for rows that could not be read, `tokens` are empty for those that are not used. `kinds` are of
    `data.summary.KINDS`.
    """

    number: int
    file: str
    line: int
    use: RowUse = "left_out"
    example: Example | None = None
    tokens: list[TokenizedExample] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    kinds: set[str] = field(default_factory=set)

    @property
    def codes(self) -> list[str]:
        """The codes of what was found, problems before warnings."""
        warnings = (code for kind, code in CODE_OF_KIND.items() if kind in self.kinds)
        return [*(problem.code for problem in self.problems), *warnings]

    @property
    def code(self) -> str:
        """The code of what was found first; "" for a row without any."""
        return next(iter(self.codes), "")

    def text(self) -> str:
        """What stands in the row, for a search."""
        example = self.example
        if example is None:
            return ""
        turns = (text for message in example.messages for text in (message.content, message.reasoning or ""))
        return "\n".join(
            filter(None, (*turns, example.text, example.pair, " ".join(example.words), str(example.target or "")))
        )


def looked_rows(validated: ValidatedData, tokenizer: TextTokenizer) -> list[LookedRow]:
    """The rows in memory, and all that are left out."""
    loaded = validated.loaded
    rows: dict[int, LookedRow] = {}
    after = end_of_training(validated)

    def row_at(number: int, file: str, line: int) -> LookedRow:
        return rows.setdefault(number, LookedRow(number, file, line))

    control = control_tokens(tokenizer)
    sides: tuple[tuple[RowUse, list[Example]], ...] = (
        ("train", loaded.train), ("held_out", loaded.held_out), ("left_out", loaded.leaked),
    )  # fmt: skip
    encoded = {"train": validated.train, "held_out": validated.held_out, "left_out": ()}
    for use, examples in sides:
        start = 0 if loaded.share or use == "train" else after
        tokens: dict[int, list[TokenizedExample]] = defaultdict(list)
        for tokenized in encoded[use]:
            of_row = tokens[tokenized.number]
            if not any(tokenized is other for other in of_row):  # a row that is read twice in an epoch
                of_row.append(tokenized)
        for example in examples:
            row = row_at(start + example.number, example.file, example.line)
            row.example, row.tokens = example, tokens[example.number]
            row.use = use if row.tokens else "left_out"
            row.kinds.update(kinds_of_example(example, control), kinds_of_rows(row.tokens))
            row.kinds.update(["leaked"] if use == "left_out" else ())
    for problem in loaded.problems:
        file, number = loaded.row_of(problem)
        row = row_at(number + (after if is_of_held_out(problem) else 0), file, problem.where.line)
        row.problems.append(problem)
        row.kinds.add(KIND_OF_CODE.get(problem.code, "damaged"))
    for kind, numbers in repeated_rows(validated).items():
        for number in numbers:
            if number in rows:
                rows[number].kinds.add(kind)
    return [rows[number] for number in sorted(rows)]


def repeated_rows(validated: ValidatedData) -> Mapping[str, list[int]]:
    """The numbers of duplicates and conflicts, in memory or not.

    Where held-out rows are in files of their own, whose rows have the same numbers, those in memory are compared once more.
    """
    loaded, after = validated.loaded, end_of_training(validated)
    repeated, conflicting = loaded.duplicates, loaded.conflicts
    if loaded.held_out and not loaded.share and (repeated or conflicting):
        held_out = (replace(example, number=after + example.number) for example in loaded.held_out)
        hashes = deduplication.RowHashes(chain(loaded.train, held_out))
        repeated, conflicting = deduplication.duplicates(hashes), deduplication.conflicts(hashes)
    return {"duplicate": repeated, "conflict": conflicting}


def end_of_training(validated: ValidatedData) -> int:
    """The highest number of a row to be trained on, after which those of held-out rows in files of their own are counted."""
    return max((source.start + source.last for source in validated.loaded.sources), default=0)


def matching(rows: list[LookedRow], texts: Mapping[int, str], kind: str, words: str) -> Iterator[LookedRow]:
    """The rows of a kind ("" for all) that hold these words, in whatever case; `texts` are those of rows left out, by number."""
    wanted = words.casefold()
    for row in rows:
        if kind and kind not in row.kinds:
            continue
        if not wanted or wanted in f"{row.text()}\n{texts.get(row.number, '')}\n{row.code}".casefold():
            yield row
