"""The forms of the Data pages: bringing data, correcting columns, mending rows, and undoing it."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tunewright import api
from tunewright.config.tasks import TASKS
from tunewright.data.row_fixes import changes_rows
from tunewright.errors import TunewrightError, error
from tunewright.inspection.builtin_models import DEFAULT_MODEL
from tunewright.security import jail
from tunewright.studio import data_choices, data_store, data_view, model_fetch, rendering, uploads
from tunewright.studio.data_store import DataEntry
from tunewright.studio.data_view import RowFilters
from tunewright.studio.pages import data
from tunewright.studio.rendering import FormHandler
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
    typed = Path(text)
    name = str(typed.relative_to(root)) if typed.is_absolute() and typed.is_relative_to(root) else text
    path = jail(root, name.rstrip("/"))
    if not path.exists():
        raise error("E201", path=name, reason="")
    return _added(request, str(path), name)


def demo(request: Request, form: FormData) -> Response:
    """`POST /data/demo`: the generated rows of a task."""
    entry = data_choices.bring_demo(rendering.text_of(form, "task") or "causal_lm")
    return rendering.see(request, f"/data/{entry.id}")


def _added(request: Request, path: str, name: str) -> Response:
    """What was brought, if its first rows can be read; its page asks for the encoding where that is not UTF-8."""
    try:
        api.first_rows(api.load(named={"model.name": DEFAULT_MODEL, "data.train": path}), limit=1)
    except TunewrightError as fault:
        if any(problem.code != "E239" for problem in fault.problems):
            raise
    return rendering.see(request, f"/data/{data_store.add(path, name).id}")


async def settings(request: Request, form: FormData) -> Response:
    """`POST /data/{id}/settings`: another model, task or limit of length; the data are looked at again where that was stopped."""
    entry = await data.entry_of(request)
    values: dict[str, object] = {}
    if model := rendering.text_of(form, "model").strip():
        values["model"] = _model(model)
    if (task := rendering.text_of(form, "task")) in ("auto", *TASKS):
        values["task"] = task
    length = rendering.text_of(form, "max_length")
    if length == "auto" or rendering.number_in(length) is not None:
        values["max_length"] = rendering.number_in(length) or None
    changed = await run_in_threadpool(partial(entry.changed, **values))
    studio_of(request).data_looks.again(data.key_of(data_store.settings_of(changed)))
    return await _changed(request, form, changed)


def _model(name: str) -> str:
    """A built-in model, or a folder below the one that the studio was started in. Raises: ModelError E315, E302."""
    return name if name in api.builtin_models() else str(jail(Path.cwd(), name.rstrip("/")))


async def take(request: Request, form: FormData) -> Response:
    """`POST /data/{id}/take`: what a fix says that the page named: columns, task, model, encoding. Raises: ConfigError."""
    entry = await data.entry_of(request)
    settings = data_view.settings_in_fix(rendering.text_of(form, "take"))
    api.load(named={**data_store.settings_of(entry), **settings})
    columns = settings.pop(data_view.COLUMNS, None)
    values = {data_view.TAKEN[path]: value for path, value in settings.items()}
    values |= {"model": _model(str(values["model"]))} if "model" in values else {}
    changed = await run_in_threadpool(partial(entry.changed, **values))
    if columns:
        changed = await with_fixes(
            request, changed, [*changed.row_fixes, api.MapColumns.model_validate({"columns": columns})]
        )
    return await _changed(request, form, changed)


async def fetch(request: Request, form: FormData) -> Response:
    """`POST /data/{id}/fetch`: download the built-in model, after a card that said how large it is, or stop that."""
    entry = await data.entry_of(request)
    page = f"/data/{entry.id}"
    answer = await run_in_threadpool(model_fetch.answer, request, form, entry.model, page)
    return answer or rendering.see(request, page)


async def stop(request: Request, form: FormData) -> Response:
    """`POST /data/{id}/stop`: end a look that takes long."""
    entry = await data.entry_of(request)
    studio_of(request).data_looks.stop(data.key_of(data_store.settings_of(entry)))
    return rendering.see(request, f"/data/{entry.id}")


async def map_columns(request: Request, form: FormData) -> Response:
    """`POST /data/{id}/map`: which column plays which role, where that is not as it was recognised."""
    entry = await data.entry_of(request)
    known = await _known_columns(request, entry)
    chosen = {role: rendering.text_of(form, f"role-{role}") for roles in api.ROLES.values() for role in roles}
    columns = {role: column for role, column in chosen.items() if column and known.get(role) != column}
    fixes = [*entry.row_fixes, api.MapColumns(columns=columns)] if columns else entry.row_fixes
    return await _fixed(request, form, entry, fixes)


async def _known_columns(request: Request, entry: DataEntry) -> Mapping[str, str]:
    """The columns by role, as they are read now; none where they are not understood."""
    try:
        look = await data.seen_in(request, data_store.settings_of(entry))
    except TunewrightError:
        return {}
    return look.check.validated.loaded.format.columns


async def fix(request: Request, form: FormData) -> Response:
    """`POST /data/{id}/fix`: one change of one row, or of all rows of a kind. Raises: DataError E265 to E267."""
    entry = await data.entry_of(request)
    is_left_out = rendering.number_in(rendering.text_of(form, "row")) in entry.left_out
    if is_left_out and rendering.text_of(form, "change") == "leave_out":  # the form was sent twice
        return await _changed(request, form, entry)
    data_look = await data.seen_in(request, data_store.settings_of(entry))
    fixes = await run_in_threadpool(_fixes_of, form, data_look)
    return await _fixed(request, form, entry, [*entry.row_fixes, *fixes])


def _fixes_of(form: FormData, data_look: api.DataLook) -> list[api.RowFix]:
    """The change that a form asks for; rows have the numbers of the original."""
    change, kind = rendering.text_of(form, "change"), rendering.text_of(form, "kind_of_rows")
    if change in ("leave_out", "keep_first") and kind:
        numbers = data_look.originals(data_look.numbers_of("duplicate" if change == "keep_first" else kind))
        code = next((row.code for row in data_look.of_kind(kind)), "") if change == "leave_out" else "W211"
        return (
            [api.LeaveOut.model_validate({"change": change, "rows": tuple(numbers), "code": code})] if numbers else []
        )
    number = rendering.number_in(rendering.text_of(form, "row")) or 0
    row = data_look.row(number)
    column, value = rendering.text_of(form, "column"), rendering.text_of(form, "value").replace("\r\n", "\n")
    try:
        match change:
            case "leave_out":
                return [api.LeaveOut(rows=(number,), code=row.code)]
            case "set_row":
                return [api.SetRow(row=number, code=row.code, text=value)]
            case "set_cell":
                cells = data_look.cells(number)
                before = cells.get(column) if not isinstance(cells, str) else None
                typed = api.typed_cell(value, before, number)
                return [api.SetCell(row=number, code=row.code, column=column, value=typed)]
            case "cut":
                length = rendering.number_in(rendering.text_of(form, "characters")) or 0
                return [api.Cut(row=number, code=row.code, column=column, characters=length)]
    except ValidationError as fault:
        raise error("E267", row=number, reason=str(fault.errors()[0]["msg"])) from fault
    raise error(
        "E133", name="change", value=change, reason="set_cell, set_row, leave_out, keep_first, cut, map_columns"
    )


async def undo(request: Request, form: FormData) -> Response:
    """`POST /data/{id}/undo`: take back one change, named by its digest; with `all` every one.

    What was taken back already, in another tab or by the first of two clicks, stays so.
    """
    entry = await data.entry_of(request)
    undone, fixes = rendering.text_of(form, "fix"), entry.row_fixes
    if undone == "all":
        return await _fixed(request, form, entry, [])
    place = next((place for place, fix in enumerate(fixes) if data_view.digest_of(fix) == undone), None)
    if place is None:
        return await _changed(request, form, entry)
    return await _fixed(request, form, entry, [*fixes[:place], *fixes[place + 1 :]])


async def _fixed(request: Request, form: FormData, entry: DataEntry, fixes: list[api.RowFix]) -> Response:
    """The page after other changes were made. Raises: as `with_fixes`."""
    return await _changed(request, form, await with_fixes(request, entry, fixes))


async def with_fixes(request: Request, entry: DataEntry, fixes: list[api.RowFix]) -> DataEntry:
    """The data with other changes, written down. Raises: DataError E265 to E267, E271, and what is wrong with the original."""
    planned = entry.model_copy(update={"fixes": [fix.model_dump(mode="json") for fix in fixes]})
    fixed: dict[str, object] = {"data.map": planned.mapping} if planned.mapping else {}
    if changes_rows(fixes):
        await run_in_threadpool(api.refuse_changed, entry.mended)
        original = await data.seen_in(request, data_store.original_settings(planned))
        fixed |= (await run_in_threadpool(api.fix_rows, original, fixes)).settings
    return await run_in_threadpool(partial(planned.changed, fixed=fixed))


async def _changed(request: Request, form: FormData, entry: DataEntry) -> Response:
    if not rendering.is_partial(request):
        return rendering.see(request, f"/data/{entry.id}")
    return await data.answer("data_look.html.j2", request, await data.page_of(request, entry, _shown(form)))


def _shown(form: FormData) -> RowFilters:
    """Which rows were shown beside the form."""
    return RowFilters.of({name: rendering.text_of(form, name) for name in ("kind", "q", "page")})


def _keeping(handler: FormHandler) -> FormHandler:
    """The handler of a form in a page that stays: what was refused is said above it."""

    async def kept(request: Request, form: FormData) -> Response:
        try:
            return await handler(request, form)
        except TunewrightError as fault:
            if not rendering.is_partial(request):
                raise
            page = await data.page_of(request, await data.entry_of(request), _shown(form))
            return await data.answer("data_look.html.j2", request, replace(page, refused=fault.problems), 409)

    return kept


def _in_turn(handler: FormHandler) -> FormHandler:
    """The handler of a form that changes what is known of data, after those that came before it."""

    async def changing(request: Request, form: FormData) -> Response:
        async with studio_of(request).data_changes[request.path_params["id"]]:
            return await handler(request, form)

    return changing


def _of_rows(handler: FormHandler) -> FormHandler:
    """The handler of a form that changes rows: without the model by which they are looked at the page says that it is missing."""

    async def changing(request: Request, form: FormData) -> Response:
        entry = await data.entry_of(request)
        if await run_in_threadpool(model_fetch.needed, entry.model):
            return rendering.see(request, f"/data/{entry.id}")
        return await handler(request, form)

    return changing


ROUTES = [
    Route("/data", rendering.posted(upload, max_files=MOST_SENT), methods=["POST"]),
    Route("/data/path", rendering.posted(from_folder), methods=["POST"]),
    Route("/data/demo", rendering.posted(demo), methods=["POST"]),
    *(
        Route(f"/data/{{id}}/{name}", rendering.read_form(_keeping(handler)), methods=["POST"])
        for name, handler in [
            ("settings", _in_turn(settings)), ("take", _in_turn(take)), ("fetch", fetch), ("stop", stop),
            ("map", _of_rows(_in_turn(map_columns))), ("fix", _of_rows(_in_turn(fix))), ("undo", _of_rows(_in_turn(undo))),
        ]
    ),
]  # fmt: skip
