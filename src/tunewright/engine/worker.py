"""The worker's entry: `python -m tunewright.engine.worker RUN` does the steps of a run's plan that are not done yet.

Its events, results and log are the run's files; its exit code is that of the error catalogue.
"""

import faulthandler
import logging
import os
import signal
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers

from tunewright.engine.system import device
from tunewright.engine.system.oom import ran_out, reason_of
from tunewright.engine.system.ranks import ALONE, PeerLost, Ranks, end_with_parent, named_by_parent
from tunewright.engine.training.callbacks import StopFlag, peak_rss_bytes
from tunewright.engine.training.evaluation_run import EvaluationRunner
from tunewright.engine.training.train_adapter import TrainingResult, train
from tunewright.errors import TunewrightError, error, of_system, unexpected
from tunewright.kernels.cpu_matmul import planned_matmul
from tunewright.rundir import run_lock
from tunewright.rundir.event_log import EventLog
from tunewright.rundir.full_disk import keep_talking, last_words, reserve_of
from tunewright.rundir.rank_files import PEER_LOST, events_path
from tunewright.rundir.records import RunResult
from tunewright.rundir.run_dir import RunDir, owned

logger = logging.getLogger(__name__)

LOADER_DIED = "DataLoader worker (pid"  # torch/utils/data/dataloader.py and torch's handler of SIGCHLD say it


def configure_logging(ranks: Ranks = ALONE) -> None:
    """Standard error of this process is the run's log: Tunewright writes what it does there, libraries their warnings."""
    handler = logging.StreamHandler()
    who = f"[{ranks.rank}] " if ranks.world > 1 else ""
    handler.setFormatter(logging.Formatter(f"{who}%(asctime)s %(levelname)s %(name)s: %(message)s"))
    package = logging.getLogger("tunewright")
    package.addHandler(handler)
    package.setLevel(logging.INFO)
    warnings.simplefilter("default")
    transformers.utils.logging.set_verbosity_warning()
    transformers.utils.logging.disable_progress_bar()
    logging.captureWarnings(True)


def work(
    run: RunDir, stop: StopFlag, callbacks: Sequence[transformers.TrainerCallback] = (), ranks: Ranks = ALONE
) -> int:
    """Do the run's steps; the exit code. A failure is an event, and in the log."""
    events = EventLog(events_path(run.path, ranks.rank))
    started = time.perf_counter()
    reserve = reserve_of(run, "worker" if ranks.is_first else f"worker-{ranks.rank}")
    reserve.hold()
    try:
        return _work(run, events, stop, callbacks, started, ranks)
    finally:
        last_words(events, reserve)


def _work(run: RunDir, events: EventLog, stop: StopFlag, callbacks: Sequence[Any], started: float, ranks: Ranks) -> int:
    try:
        plan = run.plan()
        runner = EvaluationRunner(run, stop, events)
        with planned_matmul(plan.fast_paths, runner.reporter("start")):
            outcome = train(plan, runner, callbacks, ranks)
        if ranks.is_first:
            events.write("done", result=result(run, outcome, time.perf_counter() - started))
        return 0
    except PeerLost as fault:
        logger.error("%s", fault)
        if stop.signal:
            return _failed(events, error("E509", step=events.step, name=run.name), stop)
        return PEER_LOST
    except TunewrightError as fault:
        return _failed(events, fault, stop)
    except Exception as fault:
        logger.exception("the run failed at step %d", events.step)
        if LOADER_DIED in str(fault):
            return _failed(events, error("E514", step=events.step, reason=reason_of(fault), name=run.name), stop)
        if ran_out(fault):
            return _failed(events, error("E404", step=events.step, reason=reason_of(fault), name=run.name), stop)
        if isinstance(fault, OSError):
            return _failed(events, of_system(fault, run.path), stop)
        return _failed(events, unexpected(fault), stop)


def result(run: RunDir, outcome: TrainingResult, total_seconds: float) -> RunResult:
    """The result that `--json`, the report and comparisons read."""
    before, after = outcome.before, outcome.after
    return RunResult(
        before=before.scores if before else None,
        after=after.scores if after else None,
        baseline=outcome.baseline,
        rows=after.rows if after else 0,
        held_out_rows=after.held_out_rows if after else 0,
        seconds={
            "train": round(outcome.train_seconds, 3),
            "evaluate_before": before.seconds if before else 0.0,
            "evaluate_after": after.seconds if after else 0.0,
            "total": round(total_seconds, 3),
        },
        tokens=outcome.tokens,
        tokens_per_second=outcome.tokens / outcome.train_seconds if outcome.train_seconds else None,
        peak_rss_bytes=peak_rss_bytes(),
        peak_device_bytes=device.peak_bytes(),
        steps=outcome.steps,
        best_step=outcome.best_step,
        trainable_parameters=outcome.trainable_parameters,
        adapter=str(run.adapter_dir),
        adapter_bytes=sum(file.stat().st_size for file in run.adapter_dir.glob("adapter_model*")),
    )


def _failed(events: EventLog, fault: TunewrightError, stop: StopFlag) -> int:
    was_stopped = stop.signal and fault.problems[0].code == "E507"
    code = 128 + stop.signal if was_stopped else fault.exit_code
    logger.error("%s", fault)
    events.write("failed", problems=list(fault.problems), exit_code=code)
    return code


def end_at_once() -> None:
    """End this process as its parent would."""
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Entry of the process; standard output and error are the run's log."""
    keep_talking()
    run = RunDir(Path(sys.argv[1]))
    if run_lock.own(run.path) is None:
        sys.exit(owned(run).exit_code)
    end_with_parent()
    ranks = named_by_parent()
    stop = StopFlag(is_shared=ranks.world > 1)
    stop.install()
    stop.listen(run, at_once=end_at_once)
    configure_logging(ranks)
    logger.info(
        "worker %d: torch %s, transformers %s, %d threads",
        os.getpid(),
        torch.__version__,
        transformers.__version__,
        torch.get_num_threads(),
    )
    if ranks.world == 1:
        sys.exit(work(run, stop))
    faulthandler.register(signal.SIGUSR1)  # whoever finds this process hanging asks where
    code = work(run, stop, ranks=ranks)
    logging.shutdown()
    os._exit(code)  # threads of a process group whose peer is gone would wait for it


if __name__ == "__main__":
    main()
