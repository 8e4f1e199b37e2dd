"""What reading the data gives: examples, the account of every source, and what was wrong."""

from collections import Counter
from dataclasses import dataclass, field, replace

from tunewright.config.tasks import ProblemType
from tunewright.data.examples.formats import Example, Format
from tunewright.data.examples.label_kind import LabelKind
from tunewright.errors import Problem


@dataclass
class LoadedSource:
    """What was read of one source of training rows.

    `start` is added to the numbers of its rows, so that no two sources have a row of one number; `last` is the highest of its
    own. Of its sound rows `num_taken` are used, each `each` times, those whose numbers are in `once_more` once more.
    """

    path: str
    format: Format
    start: int
    files: set[str] = field(default_factory=set)
    grouped_by: str = ""  # the column that identifies the sentence of each word
    last: int = 0
    rows_in: int = 0
    num_taken: int = 0
    not_drawn: int = 0
    each: int = 1
    once_more: set[int] = field(default_factory=set)

    def holds(self, number: int) -> bool:
        """Whether a training row with this number is of this source."""
        return self.start < number <= self.start + self.last

    def times(self, number: int) -> int:
        """How often a row of this source is read in an epoch."""
        return self.each + (number in self.once_more)

    @property
    def is_whole(self) -> bool:
        """Whether each of its rows is read once in an epoch."""
        return not self.not_drawn and self.each == 1 and not self.once_more


@dataclass
class LoadedExamples:
    """The data as examples: what was read, how it was understood, what was wrong.

    `train` may hold some of `num_train` rows alone, the first of each source. `labels` are the names of all labels or tags, in
    held-out rows too; `label_counts` says how many training rows have each (for tags: how many words), 0 for those that appear
    in held-out rows only. `duplicates` and `conflicts` are numbers of rows, `remarks` counts the rows with a warning, by the
    code of the warning, `share` what part of the training rows was to be held out; `notes` are warnings about the reading,
    `unused` counts the rows that hold something in a column, or in a key of their turns, that is not used. Examples are numbered
    over all sources; a problem has the number of its row in its own source, and `starts` what is added to that, by file.
    `kind` is that of the labels.
    """

    format: Format
    train: list[Example] = field(default_factory=list)
    held_out: list[Example] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    sources: list[LoadedSource] = field(default_factory=list)
    rows_in: int = 0
    num_train: int = 0
    leaked: list[Example] = field(default_factory=list)
    duplicates: list[int] = field(default_factory=list)
    conflicts: list[int] = field(default_factory=list)
    labels: tuple[str, ...] = ()
    label_counts: dict[str, int] = field(default_factory=dict)
    problem_type: ProblemType | None = None
    unused: Counter[str] = field(default_factory=Counter)
    remarks: Counter[str] = field(default_factory=Counter)
    share: float = 0
    notes: list[Problem] = field(default_factory=list)
    starts: dict[str, int] = field(default_factory=dict)
    kind: LabelKind | None = None

    @property
    def bad_rows(self) -> int:
        return len({(is_of_held_out(problem), *place_of(problem)) for problem in self.problems})

    @property
    def not_drawn(self) -> int:
        """Rows that the `rows` or `weight` of their source leave out."""
        return sum(source.not_drawn for source in self.sources)

    @property
    def is_mixed(self) -> bool:
        """Whether there are several sources, or some rows are left out or repeated."""
        return len(self.sources) > 1 or not all(source.is_whole for source in self.sources)

    def times(self, number: int) -> int:
        """How often a training row is read in an epoch."""
        return next(source.times(number) for source in self.sources if source.holds(number))

    def row_of(self, problem: Problem) -> tuple[str, int]:
        """File of the row that a problem speaks of, and its number over all sources."""
        file, number = place_of(problem)
        return file, number + self.starts.get(file, 0)


def of_held_out(problem: Problem) -> Problem:
    """The problem of a held-out row with a number of its own: a row to be trained on may have the same, even in the same file."""
    return replace(problem, values={**problem.values, "side": "held_out"})


def is_of_held_out(problem: Problem) -> bool:
    return "side" in problem.values


def place_of(problem: Problem) -> tuple[str, int]:
    """File and number of the row that a problem speaks of; rows of several files may have one number."""
    row = problem.values.get("row")
    return problem.where.file, row if isinstance(row, int) else problem.where.line


def common_format(formats: list[Format]) -> Format:
    """The format of all rows: that of each source if they are alike, else `mixed`; without columns where these differ."""
    first = formats[0]
    if all(other == first for other in formats):
        return first
    is_one = all(other.name == first.name for other in formats)
    return Format(first.name if is_one else "mixed", {})
