"""Settings that are passed on, tried before a run begins: their patterns, and the parts that upstream makes of them.

Torch is not imported here: a process of its own does it, within limits (engine/training/dry_run.py). It takes some seconds,
so only runs with such settings are tried; without any, nothing reaches upstream that the tests have not proved.
"""

from tunewright.config.run_config import RunConfig
from tunewright.errors import ConfigError, Problem, error
from tunewright.i18n import _
from tunewright.inspection.model_info import ModelInfo
from tunewright.planning.passthrough_settings import passed_on, patterns
from tunewright.planning.run_plan import Plan
from tunewright.reporting import Reporter
from tunewright.security import tried
from tunewright.security.regex_timeout import pattern_fault

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
    reporter.note(_("Trying the settings that are passed on: {names}").format(names=", ".join(names)))
    request = {"plan": plan.model_dump(mode="json"), "seconds": SECONDS, "megabytes": MEGABYTES}
    answer = tried("tunewright.engine.training.dry_run", request, wait_seconds=WAIT_SECONDS)
    if answer is None:
        raise error("E142", keys=", ".join(names), seconds=SECONDS, gib=MEGABYTES // 1024)
    if answer["problems"]:
        raise ConfigError(Problem.from_record(record) for record in answer["problems"])
