"""Runs behind one endpoint, by llama.cpp where it can carry them, and by their own sessions otherwise."""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec

from tunewright.errors import Problem, error, errors_of
from tunewright.extras.deploy.gguf_cache import gguf_plan, is_made
from tunewright.extras.deploy.served import Served
from tunewright.extras.export.export_plan import ExportPlan
from tunewright.extras.export.tool_wheels import LLAMA_CPP, fetch_tool
from tunewright.extras.serve.serve_options import ServeOptions
from tunewright.i18n import N_
from tunewright.reporting import SILENT, Reporter
from tunewright.rundir.run_dir import RunDir, unfit

ENGINES = ("llama", "transformers")
NOT_FOR_LLAMA = ("E603", "E620")  # what a run's own session can still serve
PARTS = ("starlette", "uvicorn", "httpx2")  # of the front; llama.cpp's wheel is looked for where it is needed


@contextmanager
def open_server(
    runs: Sequence[RunDir], options: ServeOptions, *, engine: str | None = None, quant: str | None = None,
    reporter: Reporter = SILENT,
) -> Iterator[Served]:  # fmt: skip
    """The runs loaded behind a bound port, to be served by `run`. GGUF files are made once and kept.

    Raises: ConfigError E116; ExportError E601, E620 to E622, E640 to E648; ModelError E324; TrainingError E515; HubError E706.
    """
    options.refuse_unsafe()
    _refuse_without_parts()
    _refuse_same_names(runs)
    _refuse_unfinished(runs)
    from tunewright.extras.deploy.llama_runs import by_llama, refuse_different_bases
    from tunewright.extras.deploy.session_runs import by_sessions
    from tunewright.extras.serve.llama_engine import refuse_without_engine
    from tunewright.extras.serve.run_front import bind

    bind(options.host, options.port).close()  # a port that is taken is told before files are made for minutes
    if engine not in (None, *ENGINES):
        raise error("E622", verb="serve", what=N_("an engine"), value=engine, choices=" ".join(ENGINES))
    if engine == "transformers":
        with by_sessions(runs, options) as served:
            yield served
        return
    plans = [gguf_plan(run, quant, is_alone=len(runs) == 1) for run in runs]
    problem = _refusal(plans, is_llama_wanted=engine == "llama")
    if problem is None and not all(map(is_made, plans)):
        refuse_without_engine()  # before anything is fetched
        refuse_different_bases(plans)
        fetch_tool(LLAMA_CPP, reporter)  # with it a plan sees what the converter would refuse
        plans = [gguf_plan(run, quant, is_alone=len(runs) == 1) for run in runs]
        problem = _refusal(plans, is_llama_wanted=engine == "llama")
    with by_sessions(runs, options, problem) if problem else by_llama(plans, options, reporter) as served:
        yield served


def _refusal(plans: Sequence[ExportPlan], *, is_llama_wanted: bool) -> Problem | None:
    """Why llama.cpp cannot carry the only run, which its session then serves. Raises: ExportError E646 where that is no way out."""
    plan = next((plan for plan in plans if plan.problems), None)
    if plan is None:
        return None
    problem = plan.problems[0]
    if problem.code not in NOT_FOR_LLAMA:
        raise errors_of([problem])
    if is_llama_wanted or len(plans) > 1:
        name = plan.run.name
        raise error("E646", name=name, quoted=shlex.quote(name), reason=problem.values["reason"])
    return problem


def _refuse_without_parts() -> None:
    """Raises: ExportError E601."""
    if not all(map(find_spec, PARTS)):
        raise error("E601", what="tunewright serve", extra="serve")


def _refuse_unfinished(runs: Sequence[RunDir]) -> None:
    """Raises: ConfigError E116."""
    for run in runs:
        if not run.adapter_dir.is_dir():
            raise unfit(run, "serve")


def _refuse_same_names(runs: Sequence[RunDir]) -> None:
    """Raises: ExportError E648."""
    names = [run.name for run in runs]
    for name in names:
        if names.count(name) > 1:
            raise error("E648", name=name)
