"""Settings that are passed on, tried before a run begins: their patterns, and the parts that upstream makes of them.

Torch is not imported here: a process of its own does it, within limits (engine/training/dry_run.py). It takes some seconds,
so only runs with such settings are tried, and what was accepted once is remembered; without any, nothing reaches upstream
that the tests have not proved.
"""

import hashlib
import json
from contextlib import suppress
from importlib.metadata import distributions
from pathlib import Path

from tunewright.config.run_config import RunConfig
from tunewright.errors import ConfigError, Problem, error
from tunewright.i18n import _
from tunewright.inspection.model_info import ModelInfo
from tunewright.planning.passthrough_settings import passed_on, patterns
from tunewright.planning.run_plan import Plan
from tunewright.reporting import Reporter
from tunewright.rundir import atomic_io
from tunewright.security import home, tried
from tunewright.security.regex_timeout import pattern_fault

FORMAT = 1  # one more whenever more is tried
SECONDS = 120
WAIT_SECONDS = 600
MEGABYTES = 8192


def check_patterns(run: RunConfig, model: ModelInfo) -> None:
    """Raises: ConfigError E143 for a pattern that takes too long on the names of the model's layers."""
    names = [path for group in (*model.linear, *model.vocabulary) for path in group.paths]
    for key, texts in patterns(run).items():
        if reason := pattern_fault(texts, names):
            raise error("E143", key=key, reason=reason)


def try_settings(plan: Plan, reporter: Reporter) -> None:
    """Raises: ConfigError E141, E145 for each setting that upstream refuses, E142 if that could not be seen in time."""
    names = passed_on(plan.run)
    if not names:
        return
    mark = _mark(plan)
    if mark.is_file():
        return
    reporter.note(_("Trying the settings that are passed on: {names}").format(names=", ".join(names)))
    request = {"plan": plan.model_dump(mode="json"), "seconds": SECONDS, "megabytes": MEGABYTES}
    answer = tried("tunewright.engine.training.dry_run", request, wait_seconds=WAIT_SECONDS)
    if answer is None:
        raise error("E142", keys=", ".join(names), seconds=SECONDS, gib=MEGABYTES // 1024)
    if answer["problems"]:
        raise ConfigError(Problem.from_record(record) for record in answer["problems"])
    with suppress(OSError):  # where it cannot be remembered they are tried again
        atomic_io.make_folder(mark.parent)
        atomic_io.mark(mark)


def _mark(plan: Plan) -> Path:
    """The empty file that says that these settings were accepted, for this model and with all that is installed."""
    run = plan.run.model_dump(mode="json", exclude={"run"})
    facts = [plan.facts.model.digest, plan.facts.data.labels, plan.facts.data.problem_type, plan.facts.is_on_cpu]
    sizes = [plan.num_steps, plan.effective_batch, list(plan.fast_paths)]
    installed = sorted(f"{package.name} {package.version}" for package in distributions())
    content = json.dumps([FORMAT, run, facts, sizes, installed], sort_keys=True)
    return home() / "tried" / f"settings-{hashlib.sha256(content.encode()).hexdigest()[:32]}"
