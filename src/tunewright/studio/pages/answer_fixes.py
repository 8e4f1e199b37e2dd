"""A held-out row that turns out to be wrong: left out of the data that it came from, in the list of changes of the Data page."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tunewright import api
from tunewright.i18n import N_, _
from tunewright.report import formatting
from tunewright.reporting import Reporter
from tunewright.security import home
from tunewright.studio import data_store, rendering
from tunewright.studio.data_store import DataEntry
from tunewright.studio.pages import data_changes, run_rows
from tunewright.studio.state import studio_of

OBSTACLES: Mapping[str, str] = {
    "hub": N_(
        "These rows lie on the Hub, and single rows of it cannot be left out. Save them as a file, and bring that on the Data page."
    ),
    "several": N_(
        "These rows were mixed from several sources. Open the file with this row on the Data page, and leave the row out there."
    ),
    "reading": N_(
        "These rows were read with settings that the Data page does not have: split, encoding, sample_by or control_characters. "
        "Save them as JSON lines in UTF-8, and bring that file on the Data page."
    ),
    "gone": N_("The data of this run are no longer where they were."),
    "changed": N_(
        "The data have changed since this run was trained, so its row numbers may name other rows. "
        "Look for the row by its words on the Data page, and leave it out there."
    ),
    "outside": N_(
        "The data lie outside the folder that the studio was started in, and the page reads no others. "
        "Start it in a folder above them, or bring the file on the Data page."
    ),
    "other_holdout": N_(
        "On the Data page these rows have another file of held-out rows, so the row's number there is not known."
    ),
}


@dataclass(frozen=True)
class RowFate:
    """What can be done about a row. `obstacle` says in words why it cannot be left out; `changes` is where that was done."""

    file: str
    is_of_own_file: bool
    obstacle: str = ""
    changes: str = ""


def fate(run: api.TrainedRun, row: int) -> RowFate:
    """Whether a held-out row of a run can be left out of its data, or is. Raises: TrainingError E525 for a damaged run."""
    brought = api.data_of_run(run.dir)
    entry, obstacle = _known(brought.train), _obstacle(brought)
    has_same_numbers = not brought.fixes and not brought.held_out_file
    is_left_out = entry is not None and has_same_numbers and row in entry.left_out
    return RowFate(
        file=formatting.file_name(brought.held_out_file or brought.train),
        is_of_own_file=bool(brought.held_out_file),
        obstacle=_(OBSTACLES[obstacle]) if obstacle else "",
        changes=_changes_address(entry) if entry and is_left_out else "",
    )


async def leave_out(request: Request, form: FormData) -> Response:
    """`POST /runs/{name}/answers/{row}/leave-out`: one more change of the run's data; then the list of these changes.

    Raises: TrainingError E525 for a damaged run, DataError E265 for no such row, and what is wrong with the data.
    """
    row, run = request.path_params["row"], await run_in_threadpool(run_rows.run_named, request.path_params["name"])
    brought = await run_in_threadpool(api.data_of_run, run.dir)
    if await run_in_threadpool(_obstacle, brought):
        return rendering.see(request, rendering.run_address(run.name, f"/answers/{row}"))
    look = await _seen_by(request, run, brought)
    async with studio_of(request).data_changes[data_store.id_of(brought.train)]:
        entry, fixes = await run_in_threadpool(_without_row, run.name, brought, look, row)
        if len(fixes) > len(entry.row_fixes):
            entry = await data_changes.with_fixes(request, entry, fixes)
    return rendering.see(request, _changes_address(entry))


async def _seen_by(request: Request, run: api.TrainedRun, brought: api.RunData) -> api.DataLook:
    """What a look at the data that a run read has seen. Raises: what is wrong with the data."""
    studio = studio_of(request)

    def look(reporter: Reporter) -> api.DataLook:
        return api.look_at_rows(brought.loaded, held=studio.held_looks, reporter=reporter)

    key = ("run", run.path)
    studio.data_looks.again(key)
    pending = studio.data_looks.at(key, look)
    await pending.ended()
    return pending.result()


def _without_row(run: str, brought: api.RunData, look: api.DataLook, row: int) -> tuple[DataEntry, list[api.RowFix]]:
    """The data of a run on the Data page, and their fixes with one more, unless the row is left out already."""
    number, known = api.number_in_data(look, row), _known(brought.train)
    entry = _with_held_out(known, brought) if known else _new(brought)
    if number in entry.left_out:
        return entry, entry.row_fixes
    fixes = entry.row_fixes if known else api.fixes_from(list(brought.fixes))
    return entry, [*fixes, *_columns(entry, brought), api.LeaveOut(rows=(number,), answers_of=run)]


def _changes_address(entry: DataEntry) -> str:
    return f"/data/{entry.id}#fixes-title"


def _known(train: str) -> DataEntry | None:
    """The data at this path, as the Data page has them."""
    return next((entry for entry in data_store.every() if entry.train == train), None)


def _obstacle(brought: api.RunData) -> str:
    """Why a row cannot be left out, as a key of OBSTACLES; "" where it can."""
    if brought.obstacle:
        return brought.obstacle
    entry = _known(brought.train)
    if not all(_is_within_reach(path) for path in (brought.train, brought.held_out_file) if path):
        return "outside"
    other = entry.holdout if entry else None
    is_other = isinstance(other, str) and bool(brought.held_out_file) and other != brought.held_out_file
    return "other_holdout" if is_other else ""


def _is_within_reach(path: str) -> bool:
    """Whether the page may read a path: one that was brought, or below the start folder or our own."""
    place = Path(path).resolve()
    return _known(path) is not None or any(place.is_relative_to(root.resolve()) for root in (Path.cwd(), home()))


def _new(brought: api.RunData) -> DataEntry:
    """The data, new on the Data page, for the model and the task of the run."""
    run = brought.loaded.run
    is_ours = run.model.name in api.builtin_models() or _is_within_reach(run.model.name)
    model = {"model": run.model.name} if is_ours else {}
    name = formatting.file_name(brought.train)
    return data_store.add(brought.train, name, task=run.task, holdout=brought.holdout, **model)


def _with_held_out(entry: DataEntry, brought: api.RunData) -> DataEntry:
    """The data with the run's file of held-out rows."""
    has_it = not brought.held_out_file or entry.holdout == brought.held_out_file
    return entry if has_it else entry.changed(holdout=brought.held_out_file)


def _columns(entry: DataEntry, brought: api.RunData) -> list[api.RowFix]:
    """How the run read the columns, where the page does not know that."""
    columns = brought.loaded.run.data.map
    missing = {role: name for role, name in columns.items() if entry.mapping.get(role) != name}
    return [api.MapColumns(columns=missing)] if missing else []


ROUTES = [Route("/runs/{name}/answers/{row:row}/leave-out", rendering.read_form(leave_out), methods=["POST"])]
