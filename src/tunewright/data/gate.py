"""The data gate: every row accounted for, before anything is trained.

rows in = used + held out + dropped, and each dropped row has file, line and reason. Damaged data stop the run unless
leaving such rows out was asked for.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import Any

from tunewright.data import lint
from tunewright.data.convert import to_examples
from tunewright.data.encode import Encoded, encode
from tunewright.data.formats import SAMPLE_ROWS, Example, Format, sniff
from tunewright.data.grouping import grouped, sentence_column
from tunewright.data.histogram import histogram
from tunewright.data.label_kind import LabelKind, label_kind
from tunewright.data.labels import count_labels, label_names
from tunewright.data.pack import SHORTEST_PREFIX, common_beginning
from tunewright.data.preference import refuse_preferences
from tunewright.data.read import RawRow, fingerprint, iterate_rows
from tunewright.data.row import cell, is_structured
from tunewright.data.sides import Sides, Source, sides_of
from tunewright.data.spans import Note
from tunewright.data.spellings import UNUSED
from tunewright.data.tokenizer import TextTokenizer
from tunewright.data.vocabulary import Embedding, beyond, beyond_problem, has_control_token
from tunewright.errors import DataError, Problem, error, errors_of
from tunewright.i18n import N_
from tunewright.spec.run import DataSpec
from tunewright.spec.tasks import TASKS, ProblemType, Task

KIND_OF_CODE: Mapping[str, str] = {
    "E203": "empty",
    "E207": "missing_field",
    "E208": "role_order",
    "E209": "masked_out",
    "E214": "without_end_token",
    "E219": "refused_by_template",
    "E231": "refused_by_template",
    "E235": "refused_by_template",
    "E232": "nothing_learned",
}
KINDS = (
    "damaged", "empty", "missing_field", "role_order", "nothing_learned", "refused_by_template", "masked_out",
    "without_end_token", "truncated", "duplicate", "conflict", "leaked", "control_tokens",
    "unlearned_turns", "cut_turns", "turns_joined", "turn_lost", "tools_unseen", "thinking", "thinking_by_hand",
    "thinking_lost",
)  # fmt: skip
# What became of turns, by the notes of encoded rows.
NOTES: tuple[Note, ...] = ("turns_joined", "turn_lost", "tools_unseen", "thinking", "thinking_by_hand", "thinking_lost")
SHOWN_NUMBERS = 1000
ROWS_AT_ONCE = 1000
SHOWN_LABELS = 10
NO_LIMIT = 2**31 - 1
MOST_TRUNCATED = 0.25
UNKNOWN_TOLD = 0.01
UNKNOWN_REFUSED = 0.2


@dataclass
class Loaded:
    """The data as examples: what was read, how it was understood, what was wrong.

    `train` may hold the first of `num_train` rows alone. `labels` are the names of all labels or tags, in held-out rows too;
    `label_counts` says how many training rows have each (for tags: how many words), 0 for those that stand in held-out rows
    only. `duplicates` and `conflicts` are numbers of rows, `structured` says how many have an object or a list as answer,
    `grouped_by` is the column that tells the sentences of single words apart; `notes` are warnings about the reading, `unused`
    counts the rows that hold something in a column, or in a key of their turns, that is not used.
    """

    format: Format
    train: list[Example]
    held_out: list[Example]
    problems: list[Problem]
    rows_in: int
    num_train: int = 0
    leaked: list[Example] = field(default_factory=list)
    duplicates: list[int] = field(default_factory=list)
    conflicts: list[int] = field(default_factory=list)
    labels: tuple[str, ...] = ()
    label_counts: dict[str, int] = field(default_factory=dict)
    problem_type: ProblemType | None = None
    unused: Counter[str] = field(default_factory=Counter)
    structured: int = 0
    grouped_by: str = ""
    notes: list[Problem] = field(default_factory=list)

    @property
    def bad_rows(self) -> int:
        return len({(p.where.file, p.values.get("row")) for p in self.problems})


@dataclass
class Gated:
    """The data as the model sees them, with the account of every row."""

    loaded: Loaded
    train: list[Encoded]
    held_out: list[Encoded]
    account: dict[str, Any]
    warnings: list[Problem]
    outside: Problem | None = None  # tokens in use that the model has no row for


def load_examples(spec: DataSpec, seed: int, task: Task = "causal_lm", *, keep: int | None = None) -> Loaded:
    """Read, recognise and split the rows; held-out rows that also stand in training are left out of held-out.

    With `keep` only so many training rows are held in memory, the first; all others are read, counted and compared.
    Raises: DataError E201, E202, E210, E211, E212, E217, E220, E229, E233, E234, E237 to E241, E243, E246.
    """
    sides = sides_of(spec)
    rows = iterate_rows(sides.train.path, sides.train.reading)
    head = _head(rows, spec)
    sample = [row for row in head if isinstance(row, RawRow)]
    if TASKS[task].writes:
        refuse_preferences(sample, spec.map)
    fmt = sniff(sample, spec.map, task)
    kind = _label_kind(fmt, spec, sides.train)
    loaded, prints = Loaded(fmt, [], [], [], 0), lint.Prints()
    room = None if keep is None else keep + lint.MAX_HELD_OUT_ROWS
    for example in _examples(_sentences(head, rows, fmt, loaded), loaded, spec, kind):
        if room is None or len(prints) < room:
            loaded.train.append(example)
        prints.add(example)
    if sides.held_out:
        _read_held_out(loaded, prints, spec, sides.held_out, task, kind)
    elif sides.share:
        _split(loaded, prints, spec, sides, seed, kind)
    loaded.num_train = len(prints) - len(loaded.held_out)
    loaded.train = loaded.train[:keep]
    loaded.duplicates, loaded.conflicts = lint.duplicates(prints), lint.conflicts(prints)
    loaded.labels = label_names(prints.names)
    loaded.label_counts = count_labels(loaded.labels, prints.names, loaded.held_out)
    loaded.problem_type = kind.problem_type if kind else None
    loaded.notes = [*sides.notes, *_notes(loaded), *(kind.notes if kind else ())]
    return loaded


def _head(found: Iterator[RawRow | Problem], spec: DataSpec) -> list[RawRow | Problem]:
    """The first rows, as many as a format is recognised by. Raises: DataError E210, or what is wrong with all rows."""
    head: list[RawRow | Problem] = []
    num_good = 0
    while num_good < SAMPLE_ROWS and (row := next(found, None)) is not None:
        head.append(row)
        num_good += isinstance(row, RawRow)
    if not num_good:
        problems = [row for row in head if isinstance(row, Problem)]
        raise errors_of(problems) if problems else error("E210", path=spec.train)
    return head


def _sentences(
    head: Sequence[RawRow | Problem], rest: Iterator[RawRow | Problem], fmt: Format, loaded: Loaded
) -> Iterator[RawRow | Problem]:
    """The rows; where each is one word, those of a sentence as one. Raises: DataError E246."""
    column = sentence_column([row for row in head if isinstance(row, RawRow)], fmt)
    loaded.grouped_by = column or ""
    rows = chain(head, rest)
    return grouped(rows, fmt, column) if column else rows


def _examples(
    found: Iterable[RawRow | Problem], loaded: Loaded, spec: DataSpec, kind: LabelKind | None, fmt: Format | None = None
) -> Iterator[Example]:
    """The sound rows as examples; the others, and how many there are of all, go into the account."""
    rest, form = iter(found), fmt or loaded.format
    while part := list(islice(rest, ROWS_AT_ONCE)):
        rows = [row for row in part if isinstance(row, RawRow)]
        examples, problems = to_examples(rows, form, spec.system, kind)
        loaded.problems += [*(row for row in part if isinstance(row, Problem)), *problems]
        loaded.rows_in += len(part)
        if answer := form.columns.get("completion"):
            loaded.structured += sum(is_structured(cell(row.value, answer)) for row in rows)
        loaded.unused.update(_unused(rows, examples, form))
        yield from examples


def _unused(rows: Sequence[RawRow], examples: Sequence[Example], fmt: Format) -> Iterator[str]:
    """Once for each row, what it holds and is not used: columns, and keys of turns as `turns[].KEY`."""
    for row in rows:
        yield from (column for column in fmt.unused if cell(row.value, column) not in (None, "", [], {}))
    for example in examples:
        yield from (f"turns[].{key}" for key in example.unused_keys)


def _notes(loaded: Loaded) -> Iterator[Problem]:
    """What people should know of how rows were read: objects as JSON, words as sentences."""
    if loaded.structured:
        yield Problem("W238", values={"count": loaded.structured})
    if loaded.grouped_by:
        yield Problem("W239", values={"count": loaded.rows_in, "column": loaded.grouped_by})


def _read_held_out(
    loaded: Loaded, prints: lint.Prints, spec: DataSpec, source: Source, task: Task, kind: LabelKind | None
) -> None:
    """Held-out rows from files of their own; those that are trained on are set aside."""
    second = list(iterate_rows(source.path, source.reading))
    fmt = sniff([row for row in second if isinstance(row, RawRow)], spec.map, task)
    rows = _sentences(second, iter(()), fmt, loaded)
    examples = list(_examples(rows, loaded, spec, kind, fmt))
    leaked = set(lint.leaks(prints, lint.Prints(examples)))
    for example in examples:
        if example.number in leaked:
            loaded.leaked.append(example)
        else:
            loaded.held_out.append(example)
            prints.add(example)


def _split(
    loaded: Loaded, prints: lint.Prints, spec: DataSpec, sides: Sides, seed: int, kind: LabelKind | None
) -> None:
    """Some of the training rows to held-out; those that were not kept are read once more."""
    places, kept = lint.held_out(prints, sides.share, seed), loaded.train
    loaded.train = [example for place, example in enumerate(kept) if place not in places]
    loaded.held_out = [example for place, example in enumerate(kept) if place in places]
    missing = {prints.numbers[place] for place in places if place >= len(kept)}
    if missing:
        rows = iterate_rows(sides.train.path, sides.train.reading)
        rows = grouped(rows, loaded.format, loaded.grouped_by) if loaded.grouped_by else rows
        again = [row for row in rows if isinstance(row, RawRow) and row.number in missing]
        loaded.held_out += to_examples(again, loaded.format, spec.system, kind)[0]


def _label_kind(fmt: Format, spec: DataSpec, source: Source) -> LabelKind | None:
    """What the labels of the training rows are; held-out rows have to follow. Cost: one more reading."""
    column = fmt.columns.get("label")
    if not column:
        return None
    rows = iterate_rows(source.path, source.reading)
    return label_kind((cell(row.value, column) for row in rows if isinstance(row, RawRow)), spec.problem_type)


def data_fingerprint(spec: DataSpec) -> str:
    """sha256 of all data of a run: of the training rows, and of the held-out rows where they have files of their own."""
    sides = sides_of(spec)
    parts = [fingerprint(source.path, source.reading) for source in (sides.train, sides.held_out) if source]
    return parts[0] if len(parts) == 1 else hashlib.sha256("".join(parts).encode()).hexdigest()


def gate(
    loaded: Loaded,
    spec: DataSpec,
    tokenizer: TextTokenizer,
    *,
    task: Task = "causal_lm",
    max_length: int,
    positions: int = NO_LIMIT,
    embedding: Embedding | None = None,
    label_last: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Gated:
    """Encode all rows and account for each of them. Nothing is judged here; `judge` does that.

    `positions` are the most that `max_length` could be with this model; ids are held against its `embedding`.
    `label_last` puts a word's tag on its last token, for models that only look back.
    """
    total = len(loaded.train) + len(loaded.held_out)

    def encoded(examples: Sequence[Example], done_before: int) -> tuple[list[Encoded], list[Problem]]:
        return encode(
            examples,
            tokenizer,
            task=task,
            labels=loaded.labels,
            max_length=max_length,
            train_on=spec.train_on,
            thinking=spec.thinking,
            turns=spec.turns,
            label_last=label_last,
            progress=lambda done, _total: progress(done_before + done, total),
        )

    train, bad = encoded(loaded.train, 0)
    held_out, bad_held_out = encoded(loaded.held_out, len(loaded.train))
    problems = [*loaded.problems, *(_without_vain_advice(problem, positions) for problem in (*bad, *bad_held_out))]
    problems.sort(key=lambda p: (p.where.file, p.where.line, p.where.column))
    loaded = replace(loaded, problems=problems)
    account = _account(loaded, train, held_out, tokenizer, task, max_length) | {"positions": positions}
    ids = beyond([*train, *held_out], tokenizer, task, embedding) if embedding else []
    outside = beyond_problem(ids, tokenizer, task, embedding) if ids and embedding else None
    return Gated(loaded, train, held_out, account, [*loaded.notes, *_warnings(account)], outside)


def _without_vain_advice(problem: Problem, positions: int) -> Problem:
    """A problem that offers no max_length which the model does not have."""
    needed = problem.values.get("needed", 0)
    values = {name: value for name, value in problem.values.items() if name != "needed"}
    return replace(problem, values=values) if needed > positions else problem


def _account(
    loaded: Loaded,
    train: Sequence[Encoded],
    held_out: Sequence[Encoded],
    tokenizer: TextTokenizer,
    task: Task,
    max_length: int,
) -> dict[str, Any]:
    kinds = _kinds(loaded, train, held_out, tokenizer)
    numbers = {row.number for row in train}
    # A text that goes on in further blocks has one length.
    lengths = sorted(
        length
        for rows in (train, held_out)
        for length in {row.number: _needed_length(row, task) for row in rows}.values()
    )
    sequences = [ids for row in train for ids in ((row.ids, row.labels) if task == "seq2seq" else (row.ids,))]
    unknown = sum(ids.count(tokenizer.unk_id) for ids in sequences) if tokenizer.unk_id is not None else 0
    return {
        "task": task,
        "format": loaded.format.name,
        "columns": dict(loaded.format.columns),
        "rows": loaded.rows_in,
        "used": loaded.num_train - (len(loaded.train) - len(numbers)),
        "looked_at": len(numbers),
        "held_out": len({row.number for row in held_out}),
        "blocks": {"train": len(train), "held_out": len(held_out)},
        "dropped": loaded.bad_rows + len(loaded.leaked),
        "counts": {kind: len(kinds[kind]) for kind in KINDS},
        "numbers": {kind: kinds[kind][:SHOWN_NUMBERS] for kind in KINDS if kinds[kind]},
        "lengths": {name: quantile(lengths, share) for name, share in QUANTILES.items()},
        "histogram": histogram(lengths, NO_LIMIT if loaded.format.name == "text" else max_length),  # texts are not cut
        "max_length": max_length,
        "common_prefix": common_prefix(train, task),
        "longest_prompt": max((row.prompt_length for row in (*train, *held_out)), default=0),
        "tokens": sum(len(ids) for ids in sequences),
        "label_tokens": len(train) if task == "seq_cls" else sum(row.num_label_tokens for row in train),
        "unknown_tokens": unknown,
        "labels": loaded.label_counts,
        "problem_type": loaded.problem_type,
        "unused": dict(loaded.unused),
    }


def common_prefix(train: Sequence[Encoded], task: Task) -> int:
    """How many tokens in front of every prompt are the same in all rows; 0 if they are too few to be shared."""
    if task != "causal_lm" or not train:
        return 0
    # What the first and the last in the order of their tokens have in common, all between them have.
    rows, most = [row.ids for row in train], min(row.prompt_length for row in train) - 1
    found = common_beginning(min(rows), max(rows), max(0, most))
    return found if found >= SHORTEST_PREFIX else 0


def _needed_length(row: Encoded, task: Task) -> int:
    """The max_length that would cut nothing of the row; it holds for source and target each."""
    if task == "seq2seq":
        return max(row.prompt_length, row.full_length - row.prompt_length)
    return row.full_length


QUANTILES: Mapping[str, float] = {"median": 0.5, "p95": 0.95, "p99": 0.99, "longest": 1.0}


def quantile(ordered: Sequence[int], share: float) -> int:
    """The smallest value that at least this share of the ordered values does not exceed; 0 for no values."""
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)] if ordered else 0


def _kinds(
    loaded: Loaded, train: Sequence[Encoded], held_out: Sequence[Encoded], tokenizer: TextTokenizer
) -> dict[str, list[int]]:
    kinds: dict[str, list[int]] = {kind: [] for kind in KINDS}
    for problem in loaded.problems:
        kinds[KIND_OF_CODE.get(problem.code, "damaged")].append(int(problem.values.get("row", problem.where.line)))
    kinds["truncated"] = [row.number for row in train if row.is_truncated]
    everything = [*loaded.train, *loaded.held_out]
    kinds["duplicate"], kinds["conflict"] = loaded.duplicates, loaded.conflicts
    kinds["leaked"] = [example.number for example in loaded.leaked]
    kinds["unlearned_turns"] = [
        example.number for example in everything if any(m.role == "assistant" and not m.learn for m in example.messages)
    ]
    kinds["cut_turns"] = [example.number for example in everything if example.cut_turns]
    for note in NOTES:
        kinds[note] = [row.number for row in (*train, *held_out) if note in row.notes]
    kinds["control_tokens"] = [e.number for e in everything if has_control_token(e, tokenizer)]
    return {kind: sorted(set(numbers)) for kind, numbers in kinds.items()}


WARNED: Mapping[str, str] = {
    "W211": "duplicate", "W212": "conflict", "W213": "leaked", "W215": "control_tokens", "W221": "tools_unseen",
    "W223": "thinking_by_hand", "W224": "turn_lost", "W227": "thinking_lost",
}  # fmt: skip


def _warnings(account: Mapping[str, Any]) -> list[Problem]:
    counts = account["counts"]
    found = []
    if counts["truncated"]:
        found.append(
            cut_warning(counts["truncated"], account["max_length"], account["lengths"]["longest"], account["positions"])
        )
    for code, kind in WARNED.items():
        if counts[kind]:
            found.append(Problem(code, values={"count": counts[kind]}))
    if UNKNOWN_TOLD < _unknown_share(account) <= UNKNOWN_REFUSED:
        values = {"count": account["unknown_tokens"], "percent": f"{_unknown_share(account):.1%}"}
        found.append(Problem("W214", values=values))
    found += _of_turns(account)
    for code, rare in (("W216", 0), ("W217", 1)):
        names = [name for name, count in account["labels"].items() if count == rare]
        if names:
            found.append(Problem(code, values={"count": len(names), "labels": _listed(names)}))
    return found


def _of_turns(account: Mapping[str, Any]) -> Iterator[Problem]:
    """Rows of two kinds in one file, and columns that people expect to be used."""
    count, rows = account["counts"]["thinking"], account["looked_at"] + account["held_out"]
    if 0 < count < rows:
        yield Problem("W222", values={"count": count, "rows": rows})
    for code, names in UNUSED.items():
        columns = [column for column in account["unused"] if column.rpartition(".")[2].casefold() in names]
        if columns:
            values = {"columns": ", ".join(columns), "count": max(account["unused"][column] for column in columns)}
            yield Problem(code, values=values)


def cut_warning(count: int, max_length: int, longest: int, positions: int) -> Problem:
    """W201, with the max_length that would cut nothing where the model has it."""
    fix = {"needed": longest} if longest <= positions else {}
    return Problem("W201", values={"count": count, "max_length": max_length, **fix})


def most_truncated(spec: DataSpec, task: Task) -> float:
    """The share of rows that may be cut: a text to be labelled is usually told by its beginning, an answer is not."""
    if spec.max_truncated != "auto":
        return spec.max_truncated
    return MOST_TRUNCATED if TASKS[task].writes else 1.0


def _unknown_share(account: Mapping[str, Any]) -> float:
    return account["unknown_tokens"] / max(1, account["tokens"])  # type: ignore[no-any-return]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN_LABELS]) + (", ..." if len(names) > SHOWN_LABELS else "")


def judge(gated: Gated, spec: DataSpec) -> list[Problem]:
    """What must stop the run: damaged rows that were not knowingly left out, and thresholds that are passed."""
    loaded, counts = gated.loaded, gated.account["counts"]
    found: list[Problem] = []
    if loaded.problems and not spec.skip_bad:
        found += loaded.problems
        found.append(Problem("E216", values={"count": loaded.bad_rows, "rows": loaded.rows_in}))
    if not gated.train:
        found.append(Problem("E210", values={"path": spec.train}))
    if gated.outside:
        found.append(gated.outside)
    longest, task = gated.account["lengths"]["longest"], gated.account["task"]
    is_room = longest <= gated.account["positions"]
    longer = f"--set data.max_length={longest}" if is_room else "--set data.max_truncated=1"
    skipped = loaded.bad_rows if spec.skip_bad else 0
    most_bad = spec.max_bad if gated.train else 1.0  # where no row is left, that is what is wrong
    repeated = 0 if loaded.format.name == "text" else counts["duplicate"]  # texts repeat lines, answers should not
    looked_at = gated.account["looked_at"]
    limits = (
        (N_("damaged"), skipped, most_bad, loaded.rows_in, "--set data.max_bad=1"),
        (N_("truncated"), counts["truncated"], most_truncated(spec, task), looked_at, longer),
        (N_("duplicate"), repeated, spec.max_duplicates, loaded.rows_in, "--set data.max_duplicates=1"),
    )
    for kind, count, limit, rows, fix in limits:
        if rows and count / rows > limit:
            values = {
                "count": count, "rows": rows, "percent": f"{count / rows:.0%}",
                "what": kind, "limit": f"{limit:.0%}", "fix": fix,
            }  # fmt: skip
            found.append(Problem("E215", values=values))
    if _unknown_share(gated.account) > UNKNOWN_REFUSED:
        share = _unknown_share(gated.account)
        values = {"percent": f"{share:.0%}", "path": spec.train, "task": task}
        found.append(Problem("E225", values=values))
    if gated.train and _all_the_same(loaded):
        found.append(Problem("E226"))
    return found


def _all_the_same(loaded: Loaded) -> bool:
    """Whether the labels of all training rows are one and the same, so that there is nothing to tell apart."""
    if loaded.labels and loaded.problem_type != "multi_label_classification":
        return sum(count > 0 for count in loaded.label_counts.values()) < 2
    return loaded.problem_type is not None and len({example.target for example in loaded.train}) < 2


def raise_if_stopped(gated: Gated, spec: DataSpec) -> None:
    """Raises: DataError with everything that must stop the run."""
    found = judge(gated, spec)
    if found:
        raise DataError(found)
