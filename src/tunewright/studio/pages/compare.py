"""Runs side by side: which are chosen, their curves, settings and scores, and which of them to take."""

import shlex
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tunewright import api
from tunewright.errors import Problem, TrainingError, error
from tunewright.studio import rendering
from tunewright.studio.pages import run_rows

MOST_RUNS = 12  # whose curves can be told apart


def show(request: Request) -> Response:
    """`/compare?run=a&run=b`: the chosen runs side by side, and all runs to choose from."""
    wanted = list(dict.fromkeys(request.query_params.getlist("run")))
    every = {run.name: run for run in run_rows.every()}
    chosen = [every[name] for name in wanted[:MOST_RUNS] if name in every]
    missing = [problem for name in wanted if name not in every for problem in error("E113", name=name).problems]
    records, damaged = _read(request, chosen)
    values = api.comparison_sections(records)
    return rendering.page(
        "compare_runs.html.j2",
        request,
        **{**values, "problems": [*missing, *damaged, *values["problems"]]},
        choices=run_rows.rows({}),
        chosen=[run.name for run in chosen],
        num_wanted=len(wanted),
        most=MOST_RUNS,
        command=f"tunewright compare {shlex.join(run.name for run in chosen)}",
    )


def _read(request: Request, chosen: Sequence[api.TrainedRun]) -> tuple[list[api.RunRecord], list[Problem]]:
    """What the runs' files tell, and what is wrong with those that cannot be read."""
    records: list[api.RunRecord] = []
    problems: list[Problem] = []
    for run in chosen:
        try:
            records.append(api.account(run.dir, request.app.state.studio.live.watch(run).history))
        except TrainingError as fault:
            problems.extend(fault.problems)
    return records, problems


ROUTES = [Route("/compare", show)]
