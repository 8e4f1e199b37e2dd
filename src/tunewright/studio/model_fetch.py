"""The built-in model that a page needs first: what its download takes, how far it is, and going on when it has come.

The download is work of a process of its own, whose state is in files; a page asks for it again until it has ended.
"""

from dataclasses import dataclass

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from tunewright import api
from tunewright.studio import rendering, work_view
from tunewright.studio.work_view import ShownWork


@dataclass(frozen=True)
class ModelFetch:
    """A built-in model that is not here, or is just coming; `work` is its last download."""

    status: api.BuiltinModelStatus
    work: ShownWork | None

    @property
    def is_running(self) -> bool:
        return self.work is not None and self.work.state == "running"

    @property
    def has_failed(self) -> bool:
        """Whether the last download ended without the model."""
        return self.work is not None and self.work.state in ("failed", "stopped", "lost")


def needed(name: str) -> ModelFetch | None:
    """What has to be downloaded before a model can be used; None for one that is here, or is not built in."""
    status = api.builtin_models().get(name)
    if status is None:
        return None
    work = api.last_fetch(name)
    fetch = ModelFetch(status, work_view.shown(work) if work else None)
    # The model's folder is there a moment before its process has said so.
    return fetch if fetch.is_running or not status.is_here else None


def answer(request: Request, form: FormData, name: str, page: str) -> Response | None:
    """The answer to a form that needs a model: its download is begun, joined or stopped, and shown on the page.

    None where the model is here, so that what was asked for can begin. Raises: TrainingError E542 while other work is under way.
    """
    stopped, form_id = rendering.text_of(form, "stop"), rendering.text_of(form, "form_id")
    if stopped:
        work_view.stop(api.works(), stopped)
        return rendering.see(request, page)
    fetch = needed(name)
    if fetch is None:
        return None
    if not fetch.is_running:
        api.begin_fetch(name, form_id if api.is_work_id(form_id) else api.new_work_id())
    return rendering.see(request, page)
