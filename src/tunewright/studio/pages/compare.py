"""Runs side by side: which are chosen, their curves, settings and scores, and which of them to take; and what a sweep has found."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from tunewright import api
from tunewright.errors import Problem, TrainingError, error
from tunewright.rundir.run_dir import LIVE
from tunewright.rundir.run_progress import ProgressView
from tunewright.studio import rendering
from tunewright.studio.pages import run_rows
from tunewright.studio.state import studio_of

MOST_RUNS = 12  # whose curves can be told apart


@dataclass(frozen=True)
class TrialRow:
    """A run of a sweep or a grid as it is now; of one that cannot be read its state alone."""

    name: str
    state: str
    view: ProgressView | None


@dataclass(frozen=True)
class Search:
    """The sweep of a folder, where the folder has one; `problems` say what cannot be read of it."""

    sections: api.SweepSections | None = None
    problems: Sequence[Problem] = ()


def show(request: Request) -> Response:
    """`/compare?run=a&run=b`: the chosen runs side by side, and all runs to choose from; with `in` those of a sweep."""
    groups, group = _groups(request)
    if group and rendering.is_partial(request):
        return rendering.page("trials.html.j2", request, trials=_trials(request, groups[group]), chosen=[])
    every = {run.name: run for run in (groups[group] if group else run_rows.every())}
    search = _search(group)
    selected = list(dict.fromkeys(request.query_params.getlist("run")))
    wanted = selected or (_worth_showing(list(every), search.sections) if group else [])
    chosen = [every[name] for name in wanted if name in every][:MOST_RUNS]
    missing = [problem for name in wanted if name not in every for problem in error("E113", name=name).problems]
    records, damaged = _read(request, chosen)
    values = api.comparison_sections(records)
    names = [f"runs/{group}/{run.name}" if group else run.name for run in chosen]
    trials = _trials(request, groups[group]) if group else []
    return rendering.page(
        "compare_runs.html.j2",
        request,
        **{**values, "problems": [*missing, *damaged, *values["problems"]]},
        choices=[] if group else run_rows.rows({}),
        trials=trials,
        is_live=any(trial.state in LIVE for trial in trials),
        search=search,
        groups=list(groups),
        group=group,
        chosen=[run.name for run in chosen],
        num_wanted=len(wanted),
        is_selection=not selected and len(wanted) < len(every),
        most=MOST_RUNS,
        command=f"tunewright compare {shlex.join(names)}",
        linked={} if group else {run.name: rendering.run_address(run.name) for run in chosen},
    )


def show_search(request: Request) -> Response:
    """`/compare/search?in=sweep`: what the search has found by now, as the part of the page."""
    groups, group = _groups(request)
    if not group or not rendering.is_partial(request):
        return RedirectResponse(f"/compare?in={rendering.quoted(group)}" if group else "/compare", 303)
    is_live = any(run.state in LIVE for run in groups[group])
    return rendering.page("search.html.j2", request, search=_search(group), is_live=is_live)


def _groups(request: Request) -> tuple[dict[str, list[api.TrainedRun]], str]:
    """The sweeps and grids that there are, and the one that the address names; "" where it names none."""
    groups, group = run_rows.groups(), request.query_params.get("in", "")
    return groups, group if group in groups else ""


def _search(group: str) -> Search:
    """The sweep of a group by its exact name. Of a grid, and of no group, nothing."""
    if not group:
        return Search()
    try:
        return Search(api.sweep_sections(Path("runs", group)))
    except TrainingError as fault:
        return Search(problems=fault.problems)


def _worth_showing(names: list[str], sections: api.SweepSections | None) -> list[str]:
    """All runs of a group, or of a sweep with more than can be told apart the best ones, in their order."""
    best = set(sections.best_names(MOST_RUNS)) if sections and len(names) > MOST_RUNS else set()
    return [name for name in names if name in best] or names


def _trials(request: Request, runs: Sequence[api.TrainedRun]) -> list[TrialRow]:
    trials: list[TrialRow] = []
    for run in runs:
        try:
            view = studio_of(request).live.watch(run).view
        except TrainingError:
            view = None
        trials.append(TrialRow(run.name, run.state, view))
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


ROUTES = [Route("/compare", show), Route("/compare/search", show_search)]
