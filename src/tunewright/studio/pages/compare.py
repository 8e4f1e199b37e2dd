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
from tunewright.studio.state import studio_of

MOST_RUNS = 12  # whose curves can be told apart


def show(request: Request) -> Response:
    """`/compare?run=a&run=b`: the chosen runs side by side, and all runs to choose from; with `in` those of a sweep."""
    groups, group = run_rows.groups(), request.query_params.get("in", "")
    if group not in groups:
        group = ""
    if group and rendering.is_partial(request):
        return rendering.page("trials.html.j2", request, trials=_trials(request, groups[group]), chosen=[])
    every = {run.name: run for run in (groups[group] if group else run_rows.every())}
    wanted = list(dict.fromkeys(request.query_params.getlist("run"))) or (list(every) if group else [])
    chosen = [every[name] for name in wanted if name in every][:MOST_RUNS]
    missing = [problem for name in wanted if name not in every for problem in error("E113", name=name).problems]
    records, damaged = _read(request, chosen)
    values = api.comparison_sections(records)
    names = [f"runs/{group}/{run.name}" if group else run.name for run in chosen]
    return rendering.page(
        "compare_runs.html.j2",
        request,
        **{**values, "problems": [*missing, *damaged, *values["problems"]]},
        choices=[] if group else run_rows.rows({}),
        trials=_trials(request, groups[group]) if group else [],
        groups=list(groups),
        group=group,
        chosen=[run.name for run in chosen],
        num_wanted=len(wanted),
        most=MOST_RUNS,
        command=f"tunewright compare {shlex.join(names)}",
    )


def _trials(request: Request, runs: Sequence[api.TrainedRun]) -> list[dict[str, object]]:
    """The runs of a sweep as they are now; of one that cannot be read its state alone."""
    trials: list[dict[str, object]] = []
    for run in runs:
        try:
            view = studio_of(request).live.watch(run).view
        except TrainingError:
            view = None
        trials.append({"name": run.name, "state": run.state, "view": view})
    return trials


def _read(request: Request, chosen: Sequence[api.TrainedRun]) -> tuple[list[api.RunRecord], list[Problem]]:
    """What the runs' files tell, and what is wrong with those that cannot be read."""
    records: list[api.RunRecord] = []
    problems: list[Problem] = []
    for run in chosen:
        try:
            records.append(api.account(run.dir, studio_of(request).live.watch(run).history))
        except TrainingError as fault:
            problems.extend(fault.problems)
    return records, problems


ROUTES = [Route("/compare", show)]
