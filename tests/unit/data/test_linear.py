"""Files that are damaged all over, or very wide, cost no more than their size: what is read is counted, not timed."""

import csv
import json
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tunewright.data import deduplication
from tunewright.data.examples import column_guesses, number_formats, row_cells
from tunewright.data.examples.formats import Format, looks_like, sniff
from tunewright.data.files import json_documents, json_scanner
from tunewright.data.files.readers import RawRow, read_rows
from tunewright.data.row_tally import CommonPrefix
from tunewright.data.tokenized import encoder_inputs, micro_batches
from tunewright.data.tokenized.tokenization import TokenizedExample
from tunewright.errors import DataError

READ: Counter[str] = Counter()


class Counting(json.JSONDecoder):
    """Counts the decodings and the characters that lie in front of them, which Python looks at again for each error."""

    def raw_decode(self, s: str, idx: int = 0) -> tuple[Any, int]:
        READ["calls"] += 1
        try:
            return super().raw_decode(s, idx)
        except json.JSONDecodeError as fault:
            READ["looked at"] += fault.pos
            raise


@pytest.fixture(autouse=True)
def _counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    READ.clear()
    monkeypatch.setattr(json_scanner, "_STRICT", Counting(object_pairs_hook=json_scanner._unique))
    for module in (json_scanner, json_documents):
        monkeypatch.setattr(module, "LENIENT", Counting(strict=False))
    yield


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
@pytest.mark.parametrize("line", ['{"a":[\n', '[\n{"a":\n'])
def test_brackets_that_never_close_are_given_up(tmp_path: Path, name: str, line: str) -> None:
    counts = []
    for times in (2_000, 20_000):
        (tmp_path / name).write_text(line * times)
        READ.clear()
        with pytest.raises(DataError, match="E217"):
            read_rows(str(tmp_path / name))
        counts.append(READ["calls"])
    assert counts[1] < 12 * counts[0]
    assert counts[1] < 20_000 / 10


@pytest.mark.parametrize("end", ["\n", " "])
def test_a_list_of_damaged_rows_is_read_once(tmp_path: Path, end: str) -> None:
    looked_at = []
    for times in (1_000, 4_000):
        (tmp_path / "a.json").write_text("[" + ('{"a": "x" "b"},' + end) * times)
        READ.clear()
        assert len(read_rows(str(tmp_path / "a.json")).problems) == times
        looked_at.append(READ["looked at"])
    assert looked_at[1] < 5 * looked_at[0]


class Name(str):
    """A name of a column that counts how often it is compared."""

    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        READ["compared"] += 1
        return str.__eq__(self, other)


def test_a_header_of_thousands_of_columns_is_compared_once_with_each(tmp_path: Path) -> None:
    names = [Name(f"c{number}") for number in range(3_000)]
    rows = [RawRow(1, "a.jsonl", 1, dict.fromkeys(names, "x"))]
    with pytest.raises(DataError, match="E211") as caught:
        sniff(rows)
    assert looks_like(rows) is None
    Format("text", {"text": "t"}, tuple(names)).describe()
    assert READ["compared"] < 300 * len(names)
    assert len(caught.value.problems[0].message()) < 200


def test_a_wide_table_is_read(tmp_path: Path) -> None:
    with (tmp_path / "a.csv").open("w") as file:
        csv.writer(file).writerows([[f"c{n}" for n in range(20_000)], ["1"] * 20_000])
    (row,) = read_rows(str(tmp_path / "a.csv")).rows
    assert len(row.value) == 20_000


class CountedEncoding:
    """An encoding of n words that counts how often its lists are made, as tokenizers makes them anew at each look."""

    def __init__(self, count: int) -> None:
        self.count = count

    def _counted(self, values: list[Any]) -> list[Any]:
        READ["made"] += self.count
        return values

    @property
    def ids(self) -> list[int]:
        return self._counted(list(range(self.count)))

    @property
    def type_ids(self) -> list[int]:
        return self._counted([0] * self.count)

    @property
    def sequence_ids(self) -> list[int | None]:
        return self._counted([0] * self.count)

    @property
    def offsets(self) -> list[tuple[int, int]]:
        return self._counted([(2 * i, 2 * i + 1) for i in range(self.count)])


class CountedTokenizer:
    """Gives each text of n words such an encoding."""

    special_tokens: dict[str, str] = {}  # noqa: RUF012

    def encode_batch(self, texts: list[str], *, add_special_tokens: bool) -> list[CountedEncoding]:
        return [CountedEncoding(len(text.split())) for text in texts]


@pytest.mark.parametrize("read", [encoder_inputs.text_inputs, encoder_inputs.word_inputs])
def test_a_long_text_is_gone_through_a_few_times(read: Any) -> None:
    times_made = []
    for count in (500, 2_000):
        READ.clear()
        words = ["a"] * count
        (row,) = read([(" ".join(words), "")] if read is encoder_inputs.text_inputs else [words], CountedTokenizer())
        assert len(row.input_ids) == count
        times_made.append(READ["made"])
    assert times_made[1] == 4 * times_made[0] and times_made[0] <= 8 * 500


def test_a_beginning_in_common_is_no_longer_than_what_was_left_of_the_rows() -> None:
    assert micro_batches.common_beginning([1, 2], [1, 2, 3], 99) == 2
    assert micro_batches.common_beginning([], [], 5) == 0
    prefix = CommonPrefix()
    prefix.add(TokenizedExample(1, [7] * 40, [0] * 40, 900, 1000, True))
    assert prefix.length() == 40


BLANKS = " " * 100_000
QUOTES = "\\'" * 100_000


@pytest.mark.parametrize(
    "read",
    [
        lambda: row_cells.unpacked(f"[{BLANKS}x]"),
        lambda: row_cells.unpacked(f"[1{BLANKS}x]"),
        lambda: row_cells.unpacked(f"{{1,{BLANKS}x}}"),
        lambda: row_cells.unpacked(f"[{{{QUOTES}}}]"),
        lambda: number_formats.style_of([f"1{BLANKS}x"]),
        lambda: number_formats.number_of(f"1{BLANKS}x%", "plain"),
        lambda: column_guesses._NUMERAL.fullmatch(f"1{BLANKS}x"),
    ],
)
def test_a_cell_of_blanks_or_quotes_is_gone_through_a_few_times(read: Callable[[], object]) -> None:
    """With patterns that go back, each of these takes minutes; they are limited by their own computing time."""
    started = time.process_time()
    with limited_seconds(10):
        read()
    assert time.process_time() - started < 2


@contextmanager
def limited_seconds(seconds: int) -> Iterator[None]:
    """Python's matcher looks for signals while it goes back."""

    def end(*_signal: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[ 'a'  'b' ]", ["a", "b"]), ("['a', 'b', ]", ["a", "b"]), ("{ 'a' , 2 }", ["a", 2]), ("('a',)", ["a"]),
        ("[]", []), ("[ ]", []), ("(a)", "(a)"), ("['it\\'s' 'b']", ["it's", "b"]), ("['a' b]", "['a' b]"),
    ],
)  # fmt: skip
def test_lists_in_cells_are_read_as_before(text: str, value: object) -> None:
    assert row_cells.unpacked(text) == value


@pytest.mark.parametrize(("text", "number"), [("5 %", 5.0), ("5\u00a0％ ", 5.0), ("5%", 5.0), ("5 % %", None)])
def test_a_percentage_is_its_number(text: str, number: float | None) -> None:
    assert number_formats.number_of(text, "plain") == number


def test_combining_marks_without_end_are_not_sorted() -> None:
    """Normalizing puts the marks of a letter in order, with the square of their number; nothing but that is left out."""
    marks = "\u0301\u0327"
    assert deduplication._normal("a" + marks * 200_000) == "a" + marks * 200_000
    assert deduplication._normal("e\u0301" * 1000) == "\xe9" * 1000
