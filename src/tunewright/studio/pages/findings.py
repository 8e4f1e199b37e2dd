"""What is wrong with a run, and its remedies carried out by a button; the run's page shows the cards."""

from collections.abc import Callable, Sequence
from typing import TypedDict

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tunewright import api
from tunewright.errors import error
from tunewright.rundir.finding import Finding, Remedy
from tunewright.studio import rendering
from tunewright.studio.pages import runs
from tunewright.studio.pages.run_rows import run_named
from tunewright.studio.state import studio_of


class FindingCards(TypedDict):
    """What findings.html.j2 shows of a run."""

    name: str
    findings: Sequence[Finding]
    can_go_on_with: Callable[[Remedy], bool]
    flags_of: Callable[[Remedy], str]


def cards(run: api.TrainedRun, findings: Sequence[Finding]) -> FindingCards:
    return {
        "name": run.name,
        "findings": findings,
        "can_go_on_with": lambda remedy: api.can_go_on_with(run, remedy),
        "flags_of": lambda remedy: api.flags(remedy.patch),
    }


def show(request: Request) -> Response:
    """`/runs/{name}/findings`: the cards alone."""
    run = run_named(request.path_params["name"])
    return rendering.page("findings.html.j2", request, **cards(run, api.diagnose(run.dir).findings))


def apply(request: Request, form: FormData) -> Response:
    """`POST /runs/{name}/apply`: a remedy, named by the code of its finding and its number there, in a new run or in this one."""
    run = run_named(request.path_params["name"])
    remedy = _remedy(run, rendering.text_of(form, "code"), rendering.text_of(form, "remedy"))
    with studio_of(request).starting(rendering.text_of(form, "form_id")) as is_first:
        if not is_first:
            return rendering.see(request, "/")
        if rendering.text_of(form, "how") == "continue":
            api.apply_remedy(run, remedy, "continue")
            return rendering.see(request, rendering.run_address(run.name))
        return runs.begin(request, api.remedied(run, remedy))


def _remedy(run: api.TrainedRun, code: str, number: str) -> Remedy:
    """Raises: ConfigError E111 for a finding that the run does not have, as after it went on."""
    place = rendering.number_in(number)
    for finding in api.diagnose(run.dir).findings:
        if finding.code == code and place is not None and place < len(finding.remedies):
            return finding.remedies[place]
    raise error("E111", word=code or "-")


ROUTES = [
    Route("/runs/{name}/findings", show),
    Route("/runs/{name}/apply", rendering.posted(apply), methods=["POST"]),
]
