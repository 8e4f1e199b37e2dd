"""Data: what is in files, row by row, and what becomes of each. The forms that change something are in `data_changes`."""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from tunewright import api
from tunewright.config.tasks import TASKS
from tunewright.data.looked_rows import LookedRow
from tunewright.data.row_fixes import RowChange
from tunewright.errors import TunewrightError, error
from tunewright.i18n import N_, _
from tunewright.report import formatting
from tunewright.security import printable
from tunewright.studio import data_store, rendering, uploads
from tunewright.studio.background_looks import PendingLook
from tunewright.studio.data_store import DataEntry
from tunewright.studio.state import studio_of

SHOWN_CHARACTERS = 4000
SHOWN_CHANGES = 200
PAGE_SECONDS = 1.5  # that a page waits for a look before it shows a bar and the first rows
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


def index(request: Request) -> Response:
    """`/data`: where data come from, and those that were brought before."""
    return rendering.page(
        "data_index.html.j2",
        request,
        entries=data_store.every(),
        folder=str(Path.cwd()),
        most_files=uploads.MAX_FILES,
        most_bytes=uploads.MAX_BYTES,
    )


def show(request: Request) -> Response:
    """`/data/{id}`: the account, the findings, and the first rows; a bar and the rows as written while they are looked at."""
    entry = data_store.entry(request.path_params["id"])
    return rendering.page("data.html.j2", request, **look_values(request, entry))


def look(request: Request) -> Response:
    """`/data/{id}/look`: the same without the frame, for a page that waits."""
    entry = data_store.entry(request.path_params["id"])
    if not rendering.is_partial(request):
        return RedirectResponse(f"/data/{entry.id}", 303)
    return rendering.page("data_look.html.j2", request, **look_values(request, entry, patience=0.2))


def rows(request: Request) -> Response:
    """`/data/{id}/rows?kind&q&page`: fifty rows; a whole page where nothing but that was asked for."""
    entry = data_store.entry(request.path_params["id"])
    values = look_values(request, entry)
    is_part = rendering.is_partial(request) and "page" in values
    return rendering.page("data_rows.html.j2" if is_part else "data.html.j2", request, **values)


def lengths(request: Request) -> Response:
    """`/data/{id}/lengths?max_length`: how many rows another limit would cut."""
    entry = data_store.entry(request.path_params["id"])
    values = look_values(request, entry)
    is_part = rendering.is_partial(request) and "account" in values
    return rendering.page("data_lengths.html.j2" if is_part else "data.html.j2", request, **values)


def row(request: Request) -> Response:
    """`/data/{id}/rows/{number}`: one row, its cells to be changed."""
    entry = data_store.entry(request.path_params["id"])
    values = {
        "entry": entry,
        "filters": filters(request.query_params),
        **row_values(request, entry, request.path_params["number"]),
    }
    return rendering.page(
        "data_cells.html.j2" if rendering.is_partial(request) else "data_row.html.j2", request, **values
    )


def looking_at(request: Request, entry: DataEntry, patience: float | None = None) -> PendingLook:
    """The look at the data with their changes made. Raises: TunewrightError for settings that do not fit."""
    return studio_of(request).looks.at(api.load(named=data_store.settings(entry.id)), patience)


def filters(given: Mapping[str, Any]) -> dict[str, str]:
    """Which rows are shown, from an address or a form."""
    return {name: str(given.get(name, ""))[:200] for name in ("kind", "q", "page")}


def look_values(
    request: Request, entry: DataEntry, patience: float | None = None, shown: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What the page shows: the look where it has ended, how far it is where not, or what is wrong."""
    chosen = filters(request.query_params if shown is None else shown)
    values: dict[str, Any] = {"entry": entry, "filters": chosen, "problems": [], **_settings_values(entry)}
    models = api.builtin_models()
    if entry.model in models and not models[entry.model].is_here:
        return {**values, "absent": models[entry.model]}
    try:
        looking = looking_at(request, entry, PAGE_SECONDS if patience is None else patience)
        if not looking.ended.is_set():
            return {**values, "looking": looking, "first": _first_rows(entry)}
        data_look = looking.result()
    except TunewrightError as fault:
        return {**values, "problems": list(fault.problems), **_columns_as_read(entry)}
    return {**values, **_found_values(request, entry, data_look, chosen)}


def command(entry: DataEntry) -> str:
    """The same look from a shell."""
    values = data_store.settings(entry.id)
    sets = [
        f"{key}={value}" for key, value in values.items() if key in ("data.holdout", "data.max_length", "data.encoding")
    ]
    train = values["data.train"] if isinstance(values["data.train"], str) else entry.train
    mapping = entry.mapping
    words = ["tunewright", "data", "check", train, "--model", entry.model]
    words += ["--task", entry.task] if entry.task != "auto" else []
    words += [word for role, column in mapping.items() for word in ("--map", f"{role}={column}")]
    words += [word for text in sets for word in ("--set", text)]
    return printable(shlex.join(words))


def python(entry: DataEntry) -> str:
    """The same look from Python."""
    values = printable(repr(data_store.settings(entry.id)))
    return (
        f"from tunewright import api\nlook = api.look_at_rows(api.load(named={values}))\nlook.page(kind='empty').rows"
    )


def known_columns(request: Request, entry: DataEntry) -> Mapping[str, str]:
    """The columns by role, as they are read now; none where they are not understood."""
    try:
        return looking_at(request, entry).result().check.validated.loaded.format.columns
    except TunewrightError:
        return {}


def _columns_as_read(entry: DataEntry) -> dict[str, Any]:
    """What a correction of columns can choose from where the rows are not understood; nothing where they cannot be read."""
    try:
        rows = _first_rows(entry)
    except TunewrightError:
        return {}
    columns = list(dict.fromkeys(name for row in rows for name in row))
    roles = next((roles for task, roles in api.ROLES.items() if task == entry.task), api.ROLES["causal_lm"])
    return {"columns": columns, "roles": roles, "mapped": entry.mapping, "first": rows}


def _settings_values(entry: DataEntry) -> dict[str, Any]:
    changes = api.changes_in(_first_path(entry.fixed.get("data.train")))
    by_fix: dict[int, list[RowChange]] = {}
    for change in changes:
        by_fix.setdefault(change.fix, []).append(change)
    listed = [
        {"number": number, "fix": fix, "kind": fix.change, "changes": by_fix.get(number, [])[:SHOWN_CHANGES],
         "count": len(by_fix.get(number, []))}
        for number, fix in enumerate(entry.row_fixes, 1)
    ]  # fmt: skip
    return {
        "models": api.builtin_models(), "tasks": TASKS, "fixes": listed, "fix_names": FIXES, "as_text": as_text,
        "command": command(entry), "python": python(entry),
    }  # fmt: skip


def _first_path(train: object) -> str:
    """The path of the first source of mended rows; "" where there are none."""
    first = train[0] if isinstance(train, list) and train else train
    path = first.get("path") if isinstance(first, dict) else first
    return path if isinstance(path, str) else ""


def _first_rows(entry: DataEntry) -> list[dict[str, str]]:
    """The first rows as they are written, by column, each cell cut."""
    data_look = api.first_rows(api.load(named=data_store.settings(entry.id)))
    return [{name: _cut(as_text(value))[0] for name, value in row.value.items()} for row in data_look]


def as_text(value: object) -> str:
    """The value of a cell as it is typed: text as it is, everything else as JSON."""
    return (
        "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    )


def _cut(text: str) -> tuple[str, int]:
    """The beginning of a text, and how many characters were left out."""
    return text[:SHOWN_CHARACTERS], max(0, len(text) - SHOWN_CHARACTERS)


def _found_values(
    request: Request, entry: DataEntry, data_look: api.DataLook, chosen: dict[str, str]
) -> dict[str, Any]:
    summary, loaded = data_look.check.validated.summary, data_look.check.validated.loaded
    max_length = rendering.number_in(request.query_params.get("max_length", "")) or None
    number = rendering.number_in(chosen["page"]) or 1
    page = data_look.page(chosen["kind"], chosen["q"], number)
    changed = {change.row for change in api.changes_in(_first_path(entry.fixed.get("data.train")))}
    has_files = len({row.file for row in data_look.rows}) > 1
    return {
        "account": api.data_account(data_look, max_length),
        "limit": max_length or summary.max_length,
        "account_limit": summary.max_length,
        "uses": USES,
        "most": min(summary.positions, max(summary.lengths["longest"], summary.max_length, 16)),
        "format": loaded.format.describe(),
        "roles": api.ROLES[summary.task],
        "mapped": dict(loaded.format.columns),
        "columns": sorted({*loaded.format.columns.values(), *loaded.format.unused}),
        "task": summary.task,
        "told": [
            problem for problem in (*data_look.check.stopping, *data_look.check.warnings) if not problem.where.line
        ],
        "is_stopped": bool(data_look.check.stopping),
        "kinds": _kinds(data_look),
        "in_memory": len(data_look.rows),
        "page": page,
        "rows": [_row(shown, changed, has_files) for shown in page.rows],
        "kind_label": _(formatting.KINDS[chosen["kind"]][0]) if chosen["kind"] in formatting.KINDS else "",
    }


def _kinds(data_look: api.DataLook) -> list[dict[str, Any]]:
    return [
        {
            "name": kind,
            "label": _(formatting.KINDS[kind][0]),
            "fate": _(formatting.KINDS[kind][1]),
            "count": count,
            "is_broken": kind in BROKEN,
            "can_be_left_out": kind in LEAVABLE,
        }
        for kind, count in data_look.counts.items()
    ]


def _row(shown: Any, changed: set[int], has_files: bool) -> dict[str, Any]:
    """A row for a template: cut where it is long, its problems in the reader's language."""
    row: LookedRow = shown.row
    left, texts = SHOWN_CHARACTERS, []
    hidden = 0
    for text in shown.texts:
        pieces = []
        for piece in text:
            hidden += max(0, len(piece.text) - left)
            if left and piece.text:
                pieces.append({"text": piece.text[:left], "is_learned": piece.is_learned})
            left = max(0, left - len(piece.text))
        texts.append(pieces)
    return {
        "number": shown.original,
        "line": row.line,
        "file": Path(row.file).name if has_files else "",
        "use": row.use,
        "texts": [pieces for pieces in texts if pieces],
        "written": _cut(shown.written)[0],
        "hidden": hidden + _cut(shown.written)[1],
        "tokens": sum(len(one.input_ids) for one in row.tokens),
        "label_tokens": sum(one.num_label_tokens for one in row.tokens),
        "full_length": max((one.full_length for one in row.tokens), default=0),
        "is_cut": any(one.is_truncated for one in row.tokens),
        "code": row.code,
        "problems": row.problems,
        "kinds": [_(formatting.KINDS[kind][0]) for kind in formatting.KINDS if kind in row.kinds],
        "is_changed": shown.original in changed,
    }


def row_values(request: Request, entry: DataEntry, number: int) -> dict[str, Any]:
    """The cells of a row as they are typed. Raises: DataError E265, and what is wrong with the data."""
    data_look = looking_at(request, entry).result()
    looked = data_look.row(number)
    cells = data_look.cells(number)
    values: dict[str, Any] = {"number": number, "line": looked.line, "problems": looked.problems, "code": looked.code}
    if isinstance(cells, str):
        return {**values, "cells": None, "written": cells}
    names = dict.fromkeys(
        (*cells, *(name for name in data_look.check.validated.loaded.format.columns.values() if "." not in name))
    )
    roles = {column: role for role, column in data_look.check.validated.loaded.format.columns.items()}
    shown = []
    for name in names:
        text = as_text(cells.get(name))
        shown.append({
            "name": name, "text": text[:SHOWN_CHARACTERS], "is_long": len(text) > SHOWN_CHARACTERS, "length": len(text),
            "role": roles.get(name, ""), "is_text": isinstance(cells.get(name), str | None),
        })  # fmt: skip
    return {**values, "cells": shown, "written": ""}


def unknown_change(name: str) -> TunewrightError:
    """E103 for a form that was not made by a page of ours."""
    return error("E103", key="change", value=name, reason="set_cell, set_row, leave_out, keep_first, cut, map_columns")


ROUTES = [
    Route("/data", index),
    Route("/data/{id}", show),
    Route("/data/{id}/look", look),
    Route("/data/{id}/rows", rows),
    Route("/data/{id}/lengths", lengths),
    Route("/data/{id}/rows/{number:row}", row),
]
