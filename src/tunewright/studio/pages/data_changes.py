"""The forms of the Data pages: bringing data, correcting columns, mending rows, and undoing it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tunewright import api
from tunewright.config.tasks import TASKS
from tunewright.data.row_fixes import changes_rows
from tunewright.errors import TunewrightError, error
from tunewright.security import jail
from tunewright.studio import data_store, rendering, uploads
from tunewright.studio.data_store import DataEntry
from tunewright.studio.pages import data
from tunewright.studio.state import studio_of

MOST_SENT = 1000  # files that are taken in to be counted


def upload(request: Request, form: FormData) -> Response:
    """`POST /data`: files, as one data set. Raises: DataError E202, E269, and what the first rows show."""
    files = [part for part in form.getlist("files") if isinstance(part, UploadFile)]
    path, name = uploads.store(files)
    try:
        return _added(request, path, name)
    except TunewrightError:
        if not data_store.is_held(path):  # what was brought before may be in use
            uploads.drop(path)
        raise


def from_folder(request: Request, form: FormData) -> Response:
    """`POST /data/path`: a path below the folder that the studio was started in.

    Raises: ModelError E315 for one that leads elsewhere, DataError E201 for one that is not there.
    """
    text = rendering.text_of(form, "path").strip()
    root = Path.cwd()
    given = Path(text)
    name = str(given.relative_to(root)) if given.is_absolute() and given.is_relative_to(root) else text
    path = jail(root, name.rstrip("/"))
    if not path.exists():
        raise error("E201", path=name, reason="")
    return _added(request, str(path), name)


def demo(request: Request, form: FormData) -> Response:
    """`POST /data/demo`: the generated rows of a task."""
    task = rendering.text_of(form, "task") or "causal_lm"
    run = api.quickstart_request(task=task).run
    assert isinstance(run.data.train, str)
    holdout = run.data.holdout if run.data.holdout != "auto" else None
    entry = data_store.add(run.data.train, f"demo {task}", model=run.model.name, task=run.task, holdout=holdout)
    return rendering.see(request, f"/data/{entry.id}")


def _added(request: Request, path: str, name: str) -> Response:
    """What was brought, if its first rows can be read."""
    api.first_rows(api.load(named={"model.name": data_store.MODEL, "data.train": path}), limit=1)
    return rendering.see(request, f"/data/{data_store.add(path, name).id}")


def settings(request: Request, form: FormData) -> Response:
    """`POST /data/{id}/settings`: another model, task or limit of length."""
    entry = data_store.entry(request.path_params["id"])
    values: dict[str, Any] = {}
    if model := rendering.text_of(form, "model").strip():
        values["model"] = _model(model)
    if (task := rendering.text_of(form, "task")) in ("auto", *TASKS):
        values["task"] = task
    length = rendering.text_of(form, "max_length")
    if length == "auto" or rendering.number_in(length) is not None:
        values["max_length"] = rendering.number_in(length) or None
    return _changed(request, form, entry.changed(**values))


def _model(name: str) -> str:
    """A built-in model, or a folder below the one that the studio was started in. Raises: ModelError E315, E302."""
    return name if name in api.builtin_models() else str(jail(Path.cwd(), name.rstrip("/")))


def fetch(request: Request, form: FormData) -> Response:
    """`POST /data/{id}/fetch`: the built-in model, after a card that said how large it is."""
    entry = data_store.entry(request.path_params["id"])
    if entry.model in api.builtin_models():
        api.fetch(entry.model)
    return rendering.see(request, f"/data/{entry.id}")


def stop(request: Request, form: FormData) -> Response:
    """`POST /data/{id}/stop`: end a look that takes long."""
    entry = data_store.entry(request.path_params["id"])
    data.looking_at(request, entry, patience=0).stop()
    return rendering.see(request, f"/data/{entry.id}")


def map_columns(request: Request, form: FormData) -> Response:
    """`POST /data/{id}/map`: which column plays which role, where that is not as it was recognised."""
    entry = data_store.entry(request.path_params["id"])
    known = data.known_columns(request, entry)
    chosen = {role: rendering.text_of(form, f"role-{role}") for roles in api.ROLES.values() for role in roles}
    columns = {role: column for role, column in chosen.items() if column and known.get(role) != column}
    fixes = [*entry.row_fixes, api.MapColumns(columns=columns)] if columns else entry.row_fixes
    return _fixed(request, form, entry, fixes)


def fix(request: Request, form: FormData) -> Response:
    """`POST /data/{id}/fix`: one change of one row, or of all rows of a kind. Raises: DataError E265 to E267."""
    entry = data_store.entry(request.path_params["id"])
    data_look = data.looking_at(request, entry).result()
    return _fixed(request, form, entry, [*entry.row_fixes, *_asked(form, data_look)])


def _asked(form: FormData, data_look: api.DataLook) -> list[api.RowFix]:
    """The change that a form asks for; rows have the numbers of the original."""
    change, kind = rendering.text_of(form, "change"), rendering.text_of(form, "kind_of_rows")
    if change in ("leave_out", "keep_first") and kind:
        rows = data_look.of_kind("duplicate" if change == "keep_first" else kind)
        numbers = tuple(data_look.original(row) for row in rows)
        code = next((row.code for row in rows), "") if change == "leave_out" else "W211"
        return [api.LeaveOut.model_validate({"change": change, "rows": numbers, "code": code})] if numbers else []
    number = rendering.number_in(rendering.text_of(form, "row")) or 0
    row = data_look.row(number)
    values: dict[str, Any] = {"row": number, "code": row.code}
    column, value = rendering.text_of(form, "column"), rendering.text_of(form, "value").replace("\r\n", "\n")
    try:
        match change:
            case "leave_out":
                return [api.LeaveOut(rows=(number,), code=row.code)]
            case "set_row":
                return [api.SetRow(**values, text=value)]
            case "set_cell":
                cells = data_look.cells(number)
                before = cells.get(column) if not isinstance(cells, str) else None
                return [api.SetCell(**values, column=column, value=api.typed_cell(value, before, number))]
            case "cut":
                length = rendering.number_in(rendering.text_of(form, "characters")) or 0
                return [api.Cut(**values, column=column, characters=length)]
    except ValidationError as fault:
        raise error("E267", row=number, reason=str(fault.errors()[0]["msg"])) from fault
    raise data.unknown_change(change)


def undo(request: Request, form: FormData) -> Response:
    """`POST /data/{id}/undo`: take back one change, with `all` every one."""
    entry = data_store.entry(request.path_params["id"])
    place = rendering.text_of(form, "fix")
    fixes = [one for number, one in enumerate(entry.row_fixes, 1) if place != "all" and str(number) != place]
    return _fixed(request, form, entry, fixes)


def _fixed(request: Request, form: FormData, entry: DataEntry, fixes: list[api.RowFix]) -> Response:
    """The page after other changes were made. Raises: as `with_fixes`."""
    return _changed(request, form, with_fixes(request, entry, fixes))


def with_fixes(request: Request, entry: DataEntry, fixes: list[api.RowFix]) -> DataEntry:
    """The data with other changes, written down. Raises: DataError E265 to E267, and what is wrong with the original."""
    planned = entry.model_copy(update={"fixes": [fix.model_dump(mode="json") for fix in fixes]})
    fixed: dict[str, Any] = {"data.map": planned.mapping} if planned.mapping else {}
    if changes_rows(fixes):
        original = studio_of(request).looks.at(api.load(named=data_store.original_settings(planned)), patience=None)
        fixed |= api.fix_rows(original.result(), fixes).settings
    return planned.changed(fixed=fixed)


def _changed(request: Request, form: FormData, entry: DataEntry) -> Response:
    if not rendering.is_partial(request):
        return rendering.see(request, f"/data/{entry.id}")
    return rendering.page("data_look.html.j2", request, **data.look_values(request, entry, shown=_shown(form)))


def _shown(form: FormData) -> dict[str, str]:
    """Which rows were shown beside the form."""
    return {name: rendering.text_of(form, name) for name in ("kind", "q", "page")}


def _keeping(handler: Callable[[Request, FormData], Response]) -> Callable[[Request, FormData], Response]:
    """The handler of a form in a page that stays: what was refused is said above it."""

    def kept(request: Request, form: FormData) -> Response:
        try:
            return handler(request, form)
        except TunewrightError as fault:
            if not rendering.is_partial(request):
                raise
            entry = data_store.entry(request.path_params["id"])
            values = data.look_values(request, entry, shown=_shown(form))
            return rendering.page("data_look.html.j2", request, status=409, refused=fault.problems, **values)

    return kept


ROUTES = [
    Route("/data", rendering.posted(upload, max_files=MOST_SENT), methods=["POST"]),
    Route("/data/path", rendering.posted(from_folder), methods=["POST"]),
    Route("/data/demo", rendering.posted(demo), methods=["POST"]),
    *(
        Route(f"/data/{{id}}/{name}", rendering.posted(_keeping(handler)), methods=["POST"])
        for name, handler in [
            ("settings", settings), ("fetch", fetch), ("stop", stop), ("map", map_columns), ("fix", fix), ("undo", undo),
        ]
    ),
]  # fmt: skip
