"""What the Data pages show: rows as the model sees them, kinds of faults, cells to be changed, and what was changed already."""

import hashlib
import json
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright import api
from tunewright.data.row_fixes import RowChange
from tunewright.data.tokenized.tokenized_preview import PreviewPiece
from tunewright.errors import Problem, TunewrightError
from tunewright.i18n import N_, _
from tunewright.report import formatting
from tunewright.security import printable
from tunewright.studio import data_store, rendering
from tunewright.studio.background_looks import PendingLook
from tunewright.studio.data_store import DataEntry
from tunewright.studio.model_fetch import ModelFetch

if TYPE_CHECKING:
    from tunewright.report.sections import DataAccount

SHOWN_CHARACTERS = 4000
SHOWN_CHANGES = 200
USES = {"train": N_("to train"), "held_out": N_("held out"), "left_out": N_("left out")}
FIXES = {
    "set_cell": N_("Another value"),
    "set_row": N_("Another row"),
    "leave_out": N_("Left out"),
    "keep_first": N_("Kept the first of each"),
    "cut": N_("Cut"),
    "map_columns": N_("Columns read so"),
}
LEAVABLE = (
    "damaged", "empty", "missing_field", "role_order", "nothing_learned", "refused_by_template", "masked_out",
    "without_end_token", "leaked", "truncated", "conflict", "control_tokens", "mojibake",
)  # fmt: skip
BROKEN = LEAVABLE[:8]  # kinds of rows that a run would not take
# What a fix may set by a button: by dotted path, where it is kept with the data.
TAKEN = {"model.name": "model", "task": "task", "data.encoding": "encoding", "data.max_length": "max_length"}
COLUMNS = "data.map"


@dataclass(frozen=True)
class RowFilters:
    """Which rows are shown."""

    kind: str = ""
    q: str = ""
    page: str = ""

    @classmethod
    def of(cls, fields: Mapping[str, object]) -> "RowFilters":
        """As an address or a form has them."""
        return cls(**{name: str(fields.get(name, ""))[:200] for name in ("kind", "q", "page")})


@dataclass(frozen=True)
class KindOfRow:
    """How many rows are of a kind, what becomes of them, and whether all of them can be left out at once."""

    name: str
    label: str
    fate: str
    count: int
    is_broken: bool
    can_be_left_out: bool


@dataclass(frozen=True)
class RowCard:
    """A row, cut where it is long: as the model sees it, or as it was written where it is not used.

    `hidden` are the characters that were cut off, `file` is empty where all rows are of one.
    """

    number: int
    line: int
    file: str
    use: str
    texts: Sequence[Sequence[PreviewPiece]]
    written: str
    hidden: int
    tokens: int
    label_tokens: int
    full_length: int
    is_cut: bool
    code: str
    problems: Sequence[Problem]
    kinds: Sequence[str]
    is_changed: bool


@dataclass(frozen=True)
class Cell:
    """A value of a row as it is typed; `length` is that of all of its text."""

    name: str
    text: str
    length: int
    role: str
    is_text: bool

    @property
    def is_long(self) -> bool:
        return self.length > SHOWN_CHARACTERS


@dataclass(frozen=True)
class RowForm:
    """One row to be changed: its cells, or as it is written where it could not be read."""

    number: int
    line: int
    code: str
    problems: Sequence[Problem]
    cells: Sequence[Cell] | None
    written: str = ""


def digest_of(fix: api.RowFix) -> str:
    """What a form names a change by: its place is another one as soon as one before it is undone."""
    return hashlib.sha256(fix.model_dump_json().encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True)
class MadeChange:
    """A change that was made, by its place in the list, and the first of the rows that it changed."""

    number: int
    fix: api.RowFix
    changes: Sequence[RowChange]
    count: int

    @property
    def label(self) -> str:
        return _(FIXES[self.fix.change])

    @property
    def digest(self) -> str:
        return digest_of(self.fix)


@dataclass(frozen=True)
class ColumnChoice:
    """Which columns there are, what a column can be, and the columns by role as they are read."""

    columns: Sequence[str]
    roles: Sequence[str]
    mapped: Mapping[str, str]


@dataclass(frozen=True)
class SeenData:
    """What a look has seen. `limit` is the `max_length` that lengths are shown for, `own_limit` that of the settings."""

    account: "DataAccount"
    limit: int
    own_limit: int
    most: int
    """the largest limit that can be tried"""
    format: str
    task: str
    warnings: Sequence[Problem]
    is_stopped: bool
    """whether a run would stop here"""
    kinds: Sequence[KindOfRow]
    in_memory: int
    page: api.RowsPage
    rows: Sequence[RowCard]
    kind_label: str


@dataclass(frozen=True)
class DataPage:
    """Data with the changes made to them, and how far the look at them is: its model comes, it goes on, or what it has seen."""

    entry: DataEntry
    filters: RowFilters
    changes: Sequence[MadeChange]
    command: str
    python: str
    models: Sequence[str]
    fetch: ModelFetch | None = None
    looking: PendingLook[api.DataLook] | None = None
    seen: SeenData | None = None
    columns: ColumnChoice | None = None
    first: Sequence[Mapping[str, str]] = ()
    """the first rows as they are written, each cell cut"""
    problems: Sequence[Problem] = ()
    refused: Sequence[Problem] = ()
    """why a change was not made"""

    def take(self, fix: str) -> str:
        """What a button does that takes the fix of a problem, in words; empty for a fix that no button can take."""
        settings = settings_in_fix(fix)
        columns = settings.pop(COLUMNS, None)
        assert columns is None or isinstance(columns, dict)
        words = [f"{column} → {role}" for role, column in (columns or {}).items()]
        names = {"task": _("task"), "model.name": _("model"), "data.encoding": _("encoding")}
        return ", ".join([*words, *(f"{names.get(path, path)} {value}" for path, value in settings.items())])


def settings_in_fix(fix: str) -> dict[str, object]:
    """The settings of data that the flags of a fix stand for, by dotted path; none for a fix that is anything else."""
    settings = api.settings_in(fix, "lora") or {}
    return settings if settings.keys() <= {*TAKEN, COLUMNS} else {}


def data_page(
    entry: DataEntry,
    filters: RowFilters,
    outcome: PendingLook[api.DataLook] | ModelFetch,
    *,
    max_length: int | None = None,
    refused: Sequence[Problem] = (),
) -> DataPage:
    """The page as it is now; lengths as `max_length` would cut them where that is given."""
    page = DataPage(
        entry,
        filters,
        _made_changes(entry),
        _command(entry),
        _python(entry),
        list(api.builtin_models()),
        refused=refused,
    )
    if isinstance(outcome, ModelFetch):
        page = replace(page, fetch=outcome)
    try:
        if isinstance(outcome, ModelFetch):
            return replace(page, first=_first_rows(entry))
        if not outcome.has_ended:
            return replace(page, looking=outcome, first=_first_rows(entry))
        look = outcome.result()
    except TunewrightError as fault:
        first = _first_rows_if_any(entry)
        return replace(page, problems=fault.problems, columns=_columns_as_read(entry, first), first=first)
    return replace(page, columns=_columns(look), seen=_seen(entry, filters, look, max_length))


def _columns(look: api.DataLook) -> ColumnChoice:
    form, task = look.check.validated.loaded.format, look.check.validated.summary.task
    return ColumnChoice(sorted({*form.columns.values(), *form.unused}), api.ROLES[task], form.columns)


def _columns_as_read(entry: DataEntry, first: Sequence[Mapping[str, str]]) -> ColumnChoice | None:
    """What a correction of columns can choose from where the rows are not understood; None where they cannot be read."""
    if not first:
        return None
    roles = next((roles for task, roles in api.ROLES.items() if task == entry.task), api.ROLES["causal_lm"])
    return ColumnChoice(list(dict.fromkeys(name for row in first for name in row)), roles, entry.mapping)


def _first_rows_if_any(entry: DataEntry) -> list[dict[str, str]]:
    """The same; nothing where they cannot be read."""
    try:
        return _first_rows(entry)
    except TunewrightError:
        return []


def _first_rows(entry: DataEntry) -> list[dict[str, str]]:
    """The first rows as they are written, by column, each cell cut."""
    rows = api.first_rows(api.load(named=data_store.settings_of(entry)))
    return [{name: as_text(value)[:SHOWN_CHARACTERS] for name, value in row.value.items()} for row in rows]


def as_text(value: object) -> str:
    """The value of a cell as it is typed: text as it is, everything else as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _command(entry: DataEntry) -> str:
    """The same look from a shell."""
    values = data_store.settings_of(entry)
    sets = [
        f"{key}={value}" for key, value in values.items() if key in ("data.holdout", "data.max_length", "data.encoding")
    ]
    train = values["data.train"] if isinstance(values["data.train"], str) else entry.train
    words = ["tunewright", "data", "check", train, "--model", entry.model]
    words += ["--task", entry.task] if entry.task != "auto" else []
    words += [word for role, column in entry.mapping.items() for word in ("--map", f"{role}={column}")]
    words += [word for text in sets for word in ("--set", text)]
    return printable(shlex.join(words))


def _python(entry: DataEntry) -> str:
    """The same look from Python."""
    values = printable(repr(data_store.settings_of(entry)))
    return (
        f"from tunewright import api\nlook = api.look_at_rows(api.load(named={values}))\nlook.page(kind='empty').rows"
    )


def _made_changes(entry: DataEntry) -> list[MadeChange]:
    by_fix: dict[int, list[RowChange]] = {}
    for change in api.changes_in(_first_path(entry)):
        by_fix.setdefault(change.fix, []).append(change)
    return [
        MadeChange(number, fix, by_fix.get(number, [])[:SHOWN_CHANGES], len(by_fix.get(number, [])))
        for number, fix in enumerate(entry.row_fixes, 1)
    ]


def _first_path(entry: DataEntry) -> str:
    """The path of the first source of mended rows; "" where there are none."""
    train = entry.fixed.get("data.train")
    first = train[0] if isinstance(train, list) and train else train
    path = first.get("path") if isinstance(first, dict) else first
    return path if isinstance(path, str) else ""


def _seen(entry: DataEntry, filters: RowFilters, look: api.DataLook, max_length: int | None) -> SeenData:
    summary, loaded = look.check.validated.summary, look.check.validated.loaded
    page = look.page(filters.kind, filters.q, rendering.number_in(filters.page) or 1)
    changed = {change.row for change in api.changes_in(_first_path(entry))}
    has_files = len({row.file for row in look.rows}) > 1
    return SeenData(
        account=api.data_account(look, max_length),
        limit=max_length or summary.max_length,
        own_limit=summary.max_length,
        most=min(summary.positions, max(summary.lengths["longest"], summary.max_length, 16)),
        format=loaded.format.describe(),
        task=summary.task,
        warnings=[problem for problem in (*look.check.stopping, *look.check.warnings) if not problem.where.line],
        is_stopped=bool(look.check.stopping),
        kinds=[_kind(kind, count) for kind, count in look.counts.items()],
        in_memory=len(look.rows),
        page=page,
        rows=[_card(shown, changed, has_files) for shown in page.rows],
        kind_label=_(formatting.KINDS[filters.kind][0]) if filters.kind in formatting.KINDS else "",
    )


def _kind(kind: str, count: int) -> KindOfRow:
    label, fate = formatting.KINDS[kind]
    return KindOfRow(kind, _(label), _(fate), count, kind in BROKEN, kind in LEAVABLE)


def _card(shown: api.ShownRow, changed: Collection[int], has_files: bool) -> RowCard:
    row, texts, hidden = shown.row, [], max(0, len(shown.written) - SHOWN_CHARACTERS)
    left = SHOWN_CHARACTERS
    for text in shown.texts:
        pieces = []
        for piece in text:
            hidden += max(0, len(piece.text) - left)
            if left and piece.text:
                pieces.append(
                    piece if len(piece.text) <= left else piece.model_copy(update={"text": piece.text[:left]})
                )
            left = max(0, left - len(piece.text))
        texts.append(pieces)
    return RowCard(
        number=shown.original,
        line=row.line,
        file=Path(row.file).name if has_files else "",
        use=row.use,
        texts=[pieces for pieces in texts if pieces],
        written=shown.written[:SHOWN_CHARACTERS],
        hidden=hidden,
        tokens=sum(len(encoded.input_ids) for encoded in row.tokens),
        label_tokens=sum(encoded.num_label_tokens for encoded in row.tokens),
        full_length=max((encoded.full_length for encoded in row.tokens), default=0),
        is_cut=any(encoded.is_truncated for encoded in row.tokens),
        code=row.code,
        problems=row.problems,
        kinds=[_(formatting.KINDS[kind][0]) for kind in formatting.KINDS if kind in row.kinds],
        is_changed=shown.original in changed,
    )


def row_form(look: api.DataLook, number: int) -> RowForm:
    """The cells of a row as they are typed. Raises: DataError E265."""
    row, cells = look.row(number), look.cells(number)
    if isinstance(cells, str):
        return RowForm(number, row.line, row.code, row.problems, None, cells)
    columns = look.check.validated.loaded.format.columns
    names = dict.fromkeys((*cells, *(name for name in columns.values() if "." not in name)))
    roles = {column: role for role, column in columns.items()}
    return RowForm(
        number, row.line, row.code, row.problems, [_cell(name, cells.get(name), roles.get(name, "")) for name in names]
    )


def _cell(name: str, value: object, role: str) -> Cell:
    text = as_text(value)
    return Cell(name, text[:SHOWN_CHARACTERS], len(text), role, isinstance(value, str | None))
