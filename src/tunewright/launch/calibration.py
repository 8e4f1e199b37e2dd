"""What this machine makes of the plan's formula: a few real steps of the very run, measured and remembered."""

import tempfile
from pathlib import Path

from tunewright.config import load_config
from tunewright.errors import errors_of
from tunewright.inspection.machine_info import factors_path, read_factors
from tunewright.launch.start_run import create, launch, plan_for, stop, wait, wait_for_stop
from tunewright.planning.run_plan import Plan
from tunewright.planning.time_estimate import factor_key
from tunewright.reporting import Reporter
from tunewright.rundir import atomic_io
from tunewright.rundir.events import Event, LogEvent
from tunewright.rundir.run_end import end_problems
from tunewright.security import cache_faults, home, seal_object

STEPS = 5  # the first two warm up
WARM_UP = 2


def calibrate(loaded: load_config.LoadedConfig, *, reporter: Reporter) -> float:
    """Train a few steps, and keep how many times slower they were than estimated. The run itself is thrown away.

    Raises: every error that planning or training raises; TrainingError E517 where nothing can be remembered.
    """
    with cache_faults():
        atomic_io.make_folder(home())
        if refusal := atomic_io.refusal(home()):
            raise refusal
    with tempfile.TemporaryDirectory() as place:
        short = {
            "train.max_steps": STEPS,
            "train.logging_steps": 1,
            "eval.rows": 0,
            "eval.loss_rows": 1,
            "run.output_dir": str(Path(place) / "run"),
        }
        short_run = load_config.LoadedConfig(run=load_config.patch(loaded.run, short), origins=loaded.origins)
        plan = plan_for(short_run, reporter=reporter)
        run = create(short_run, plan, force=False, reporter=reporter)
        launch(run)
        try:
            wait(run)
        finally:
            if stop(run, now=True):  # whoever waited was interrupted, and the run's folder goes away
                wait_for_stop(run)
        problems = end_problems(run)
        if problems:
            raise errors_of(problems)
        factor = _slower(plan, run.read_events())
    factors = read_factors()
    key = factor_key(plan.run, plan.facts)
    factor *= factors.get(key, 1.0)  # the estimate had the old factor in it
    with cache_faults():
        atomic_io.write_cached(factors_path(), seal_object(factors_path(), {**factors, key: round(factor, 4)}))
    return factor


def _slower(plan: Plan, events: list[Event]) -> float:
    """Seconds a token over those estimated, of the steps after the first ones."""
    logs = [event for event in events if isinstance(event, LogEvent)]
    first, last = logs[WARM_UP - 1], logs[-1]
    assert plan.time is not None
    estimated = plan.time.step_seconds * plan.num_steps / plan.time.tokens
    assert first.train_seconds is not None and last.train_seconds is not None
    assert first.tokens is not None and last.tokens is not None
    return (last.train_seconds - first.train_seconds) / (last.tokens - first.tokens) / estimated
