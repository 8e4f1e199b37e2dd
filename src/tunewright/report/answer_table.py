"""All answers of a run as a table to look through: rows by outcome, label, length and words, and how many there are of each."""

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from tunewright.i18n import N_, _, language
from tunewright.metrics.confusion_matrix import items
from tunewright.metrics.evaluated_rows import Sample
from tunewright.metrics.metric_table import AnswerKind, answer_kind
from tunewright.report import sample_pairs
from tunewright.report.run_record import losses_of_both
from tunewright.report.sample_pairs import SamplePair
from tunewright.rundir import atomic_io, file_names
from tunewright.rundir.run_dir import RunDir
from tunewright.rundir.run_history import read_history

PAGE_ROWS = 50
RUNS_KEPT = 8  # whose answers stay read; a run of 1,000 rows takes a few megabytes
MOST_LABELS = 200  # in the list to choose from
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # begins what a spreadsheet computes
COLUMNS = ("row", "prompt", "reference", "base", "tuned", "outcome", "probability", "loss_before", "loss_after")
FileFormat = Literal["csv", "jsonl"]
ORDERS: Mapping[str, str] = {
    "": N_("as in the data"),
    "fell": N_("loss fell most"),
    "rose": N_("loss rose most"),
    "far": N_("farthest from the reference"),
}


@dataclass(frozen=True)
class AnswerFilter:
    """Which rows are wanted, and in which order (`ORDERS`); an empty text leaves a filter open.

    `outcome` is one of `sample_pairs.OUTCOMES`; `label` stands in the reference; `length` is short, middle or long;
    `search` is in a text of the row, in any case, or is the row's number.
    """

    outcome: str = ""
    label: str = ""
    length: str = ""
    search: str = ""
    order: str = ""


@dataclass(frozen=True)
class FilterChoice:
    """A value of a filter, and how many rows have it among those that the other filters let through."""

    value: str
    title: str
    count: int


@dataclass(frozen=True)
class AnswerPage:
    """Some of the rows that were found, with the choices of every filter."""

    pairs: Sequence[SamplePair]
    number: int
    num_pages: int
    num_found: int
    num_rows: int
    is_marked: bool
    is_short: bool
    outcomes: Sequence[FilterChoice]
    labels: Sequence[FilterChoice]
    lengths: Sequence[FilterChoice]
    orders: Mapping[str, str]


@dataclass(frozen=True)
class Answers:
    """The held-out rows of a run with both answers, in the order of the data, and what they are filtered by."""

    kind: AnswerKind
    pairs: tuple[SamplePair, ...]
    losses: Mapping[int, tuple[float, float]]
    labels: Mapping[int, frozenset[str]]
    thirds: tuple[int, int]
    """characters up to which a row is short, and up to which it is of middle length"""

    @property
    def is_marked(self) -> bool:
        return any(pair.outcome != "unmarked" for pair in self.pairs)

    @property
    def is_short(self) -> bool:
        """Whether answers are labels or numbers, which fit into a table."""
        return self.kind in ("label", "labels", "number")

    def length(self, pair: SamplePair) -> str:
        short, middle = self.thirds
        size = _size(pair)
        return "short" if size <= short else "middle" if size <= middle else "long"


def read_answers(run: RunDir) -> Answers:
    """The answers as the run's files hold them, kept until these change. Raises: TrainingError E525."""
    places = [run.file(file_names.RUN_JSON)]
    places += [
        run.path / file_names.EVAL / f"{which}{end}"
        for which in ("before", "after")
        for end in (".jsonl", ".losses.jsonl")
    ]
    return _read(run, tuple(map(atomic_io.stamp, places)), language())


@lru_cache(maxsize=RUNS_KEPT)
def _read(run: RunDir, stamps: tuple[tuple[int, int], ...], lang: str) -> Answers:
    kind = _kind(run)
    losses = losses_of_both(run.losses("before"), run.losses("after"))
    before, after = run.samples("before"), run.samples("after")
    pairs = tuple(sorted(sample_pairs.pairs(kind, before, after, losses), key=lambda pair: pair.row))
    sizes = sorted(map(_size, pairs))
    thirds = (sizes[len(sizes) // 3], sizes[2 * len(sizes) // 3]) if sizes else (0, 0)
    return Answers(kind, pairs, losses, {row.row: _labels(kind, row) for row in (*after, *before)}, thirds)


def _kind(run: RunDir) -> AnswerKind:
    """As `RunRecord.kind`, without the events where the result names the scores: there may be very many."""
    result = run.result()
    scores = result.after or result.before
    if scores is None:
        events = read_history(run).scores
        event = events.get("after") or events.get("before")
        scores = event.scores if event else {}
    return answer_kind(run.plan().run.task, scores)


def _size(pair: SamplePair) -> int:
    return len(pair.prompt) + len(pair.reference)


def _labels(kind: AnswerKind, row: Sample) -> frozenset[str]:
    """What a row can be found by: its labels, the types of its entities, its tags; texts and numbers have none."""
    if kind in ("text", "number"):
        return frozenset()
    _predicted, gold = items(kind, row)
    return frozenset(item[0] for item in gold)


def _tests(answers: Answers, wanted: AnswerFilter) -> dict[str, Callable[[SamplePair], bool]]:
    """What a row has to pass, by the filter that asks for it."""
    words = wanted.search.casefold()
    return {
        "outcome": lambda pair: wanted.outcome in ("", pair.outcome),
        "label": lambda pair: not wanted.label or wanted.label in answers.labels[pair.row],
        "length": lambda pair: wanted.length in ("", answers.length(pair)),
        "search": lambda pair: not words or words == str(pair.row) or any(words in t.casefold() for t in _texts(pair)),
    }


def _texts(pair: SamplePair) -> Iterator[str]:
    yield from (pair.prompt, pair.reference)
    yield from (answer for answer in (pair.base, pair.tuned) if answer is not None)


def _found(answers: Answers, wanted: AnswerFilter, without: str = "") -> list[SamplePair]:
    """The rows that pass every filter but one."""
    tests = [test for name, test in _tests(answers, wanted).items() if name != without]
    return [pair for pair in answers.pairs if all(test(pair) for test in tests)]


def find(answers: Answers, wanted: AnswerFilter) -> list[SamplePair]:
    """The wanted rows in their order; rows without losses come last where losses order them."""
    matches = _found(answers, wanted)
    if wanted.order == "far":
        return sorted(matches, key=lambda pair: (pair.is_tuned_right, pair.closeness))
    if wanted.order in ("fell", "rose") and answers.losses:
        sign = 1 if wanted.order == "fell" else -1
        return sorted(matches, key=lambda pair: sign * _change(answers, pair, at_end=sign * math.inf))
    return matches


def _change(answers: Answers, pair: SamplePair, at_end: float) -> float:
    if pair.row not in answers.losses:
        return at_end
    before, after = answers.losses[pair.row]
    return after - before


def page(answers: Answers, wanted: AnswerFilter, number: int = 1) -> AnswerPage:
    """One page of the wanted rows, the nearest there is to `number`."""
    matches = find(answers, wanted)
    num_pages = max(1, -(-len(matches) // PAGE_ROWS))
    number = min(max(1, number), num_pages)
    return AnswerPage(
        pairs=matches[(number - 1) * PAGE_ROWS : number * PAGE_ROWS],
        number=number,
        num_pages=num_pages,
        num_found=len(matches),
        num_rows=len(answers.pairs),
        is_marked=answers.is_marked,
        is_short=answers.is_short,
        outcomes=_outcomes(answers, wanted),
        labels=_label_choices(answers, wanted),
        lengths=_lengths(answers, wanted),
        orders={name: _(title) for name, title in ORDERS.items() if answers.losses or name not in ("fell", "rose")},
    )


def _outcomes(answers: Answers, wanted: AnswerFilter) -> list[FilterChoice]:
    counts = Counter(pair.outcome for pair in _found(answers, wanted, without="outcome"))
    known = [kind for kind in sample_pairs.OUTCOMES if kind != "unmarked" or counts[kind]]
    return [FilterChoice(kind, _(sample_pairs.OUTCOMES[kind]), counts[kind]) for kind in known if answers.is_marked]


def _label_choices(answers: Answers, wanted: AnswerFilter) -> list[FilterChoice]:
    everywhere = Counter(label for labels in answers.labels.values() for label in labels)
    counts = Counter(label for pair in _found(answers, wanted, without="label") for label in answers.labels[pair.row])
    names = [name for name, _count in everywhere.most_common(MOST_LABELS)]
    return [FilterChoice(name, sample_pairs.cut(name), counts[name]) for name in sorted(names)]


def _lengths(answers: Answers, wanted: AnswerFilter) -> list[FilterChoice]:
    """Thirds of the rows by their characters; none where all rows are of much the same length."""
    short, middle = answers.thirds
    if short == middle:
        return []
    titles = {
        "short": _("up to {count} characters").format(count=f"{short:,}"),
        "middle": _("{first} to {last} characters").format(first=f"{short + 1:,}", last=f"{middle:,}"),
        "long": _("more than {count} characters").format(count=f"{middle:,}"),
    }
    counts = Counter(map(answers.length, _found(answers, wanted, without="length")))
    return [FilterChoice(name, title, counts[name]) for name, title in titles.items()]


def as_file(answers: Answers, wanted: AnswerFilter, file_format: FileFormat) -> Iterator[str]:
    """The wanted rows in pieces of a file, whole, with names in English.

    In CSV what a spreadsheet would take for a formula gets an apostrophe in front; JSON lines are exact.
    """
    records = (_record(answers, pair) for pair in find(answers, wanted))
    if file_format == "jsonl":
        return (json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    return _csv(records)


def _record(answers: Answers, pair: SamplePair) -> dict[str, object]:
    before, after = answers.losses.get(pair.row, (None, None))
    values = (
        pair.row,
        pair.prompt,
        pair.reference,
        pair.base,
        pair.tuned,
        pair.outcome,
        pair.probability,
        before,
        after,
    )
    return dict(zip(COLUMNS, values, strict=True))


def _csv(records: Iterable[Mapping[str, object]]) -> Iterator[str]:
    yield "\ufeff"  # a spreadsheet takes the file for UTF-8 then
    for cells in (COLUMNS, *(record.values() for record in records)):
        line = io.StringIO()
        csv.writer(line).writerow([_harmless(cell) for cell in cells])
        yield line.getvalue()


def _harmless(cell: object) -> object:
    """A cell that no spreadsheet computes; numbers stay numbers."""
    if not isinstance(cell, str) or not cell.startswith(FORMULA) or _is_number(cell):
        return cell
    return f"'{cell}"


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
