"""The part of a page that background work fills, and that its stream fills anew."""

from collections.abc import Sequence
from typing import TypedDict

from tunewright import api
from tunewright.studio import work_view


class WorkFrame(TypedDict):
    """What work_frame.html.j2 shows; its forms are sent to addresses below `work_place`."""

    works: Sequence[object]
    work_place: str


def work_frame(place: str, run: api.TrainedRun | None = None) -> WorkFrame:
    """The last work of a run, or the last that was for none."""
    return {"works": work_view.shown_works(run), "work_place": place}
