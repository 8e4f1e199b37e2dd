"""A run in this very process, for notebooks: the engine is imported inside the function that needs it."""

import _thread
import os
import time
from collections.abc import Sequence
from typing import Any

from tunewright.diagnose.rules import diagnose
from tunewright.errors.exit_codes import EXIT_INTERRUPTED, EXIT_TERMINATED
from tunewright.report.run_report import write_report
from tunewright.rundir.events import DoneEvent, FailedEvent
from tunewright.rundir.full_disk import EndingWriter
from tunewright.rundir.run_dir import RunDir, own, process_record
from tunewright.rundir.run_lock import release
from tunewright.rundir.run_queue import registered


def work(run: RunDir, callbacks: Sequence[Any] = ()) -> int:
    """Do a run's steps here: same files and events as a worker, no parent, no remedies. The exit code.

    `callbacks` are transformers' TrainerCallbacks. Raises: TrainingError E505, E518.
    """
    descriptor = own(run)
    try:
        with run.private(), registered(run):
            return _owned(run, callbacks)
    finally:
        release(descriptor)


def _owned(run: RunDir, callbacks: Sequence[Any]) -> int:
    from tunewright.engine.training.callbacks import StopFlag
    from tunewright.engine.worker import work as do_steps

    run.sweep()
    ledger = EndingWriter(run)
    ledger.update(state="running", started=time.time(), worker=process_record(os.getpid()))
    begun = time.monotonic()
    stop = StopFlag()
    stop.listen(run, at_once=_thread.interrupt_main)
    try:
        code = do_steps(run, stop, callbacks)
    except BaseException:
        ledger.close(state="stopped", worker=None)
        raise
    finally:
        stop.is_over.set()
        run.forget_requests()
    last = run.last_event()
    ended: dict[str, object] = {
        "worker": None,
        "ended": time.time(),
        "seconds": time.monotonic() - begun,
        "exit_code": code,
        "problems": last.problems if isinstance(last, FailedEvent) else [],
    }
    state = "stopped" if code in (EXIT_INTERRUPTED, EXIT_TERMINATED) else "failed" if code else "finished"
    ledger.close(state=state, result=last.result if isinstance(last, DoneEvent) else None, **ended)
    write_report(run, diagnose(run).findings)
    return code
