"""Runs behind their own sessions: what llama.cpp cannot carry, and what labels."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tunewright.config.methods import virtual_tokens
from tunewright.config.tasks import TASKS
from tunewright.errors import Problem
from tunewright.extras.deploy.served import Served
from tunewright.extras.deploy.served_model import served_model
from tunewright.extras.serve.open_front import session_front
from tunewright.extras.serve.serve_options import ServeOptions
from tunewright.extras.serve.session_backend import ServedSession
from tunewright.launch.session_client import SessionClient
from tunewright.planning.run_plan import Plan
from tunewright.rundir.base_fingerprint import refuse_changed_base
from tunewright.rundir.run_dir import RunDir

SESSION = "tunewright.extras.session_worker"


@contextmanager
def by_sessions(runs: Sequence[RunDir], options: ServeOptions, problem: Problem | None = None) -> Iterator[Served]:
    """The runs, each by its session, which its first request starts; `problem` is why not by llama.cpp.

    Raises: ExportError E642, E644; ModelError E324; TrainingError E515.
    """
    sessions = {}
    for run in runs:
        refuse_changed_base(run.plan(), run.name)
        sessions[run.name] = _session(run)
    models = [served_model(run, options) for run in runs]
    context = min(_context(run.plan()) for run in runs)
    with session_front(sessions, models, context, options) as front:
        config, names = runs[0].plan().run, tuple(sessions)
        yield Served(
            front.url, "transformers", names, context, config.model.precision, TASKS[config.task].writes,
            options.api_key_file, problem, front,
        )  # fmt: skip


def _session(run: RunDir) -> ServedSession:
    plan = run.plan()
    has_several_labels = plan.facts.data.problem_type == "multi_label_classification"
    return ServedSession(SessionClient(run, module=SESSION), plan.run.task, has_several_labels)


def _context(plan: Plan) -> int:
    """What the model reads beside what it has learned to put in front."""
    return plan.facts.model.max_position_embeddings - virtual_tokens(plan.run.peft)
