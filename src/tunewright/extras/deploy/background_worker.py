"""One piece of background work: `python -m tunewright.extras.deploy.background_worker FOLDER`. Torch-free.

What it is and what became of it is in FOLDER/work.json (rundir/background_work.py). A file `stop` there ends it.
"""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tunewright.errors import TunewrightError, error, of_system
from tunewright.extras.eject import peft_script
from tunewright.extras.export import export_run
from tunewright.i18n import speaking
from tunewright.launch.resolve_model import fetch_model
from tunewright.launch.session_client import SessionClient
from tunewright.planning.memory_estimate import stored_bytes
from tunewright.reporting import Reporter
from tunewright.rundir import output_targets, run_lock
from tunewright.rundir.background_work import BackgroundWork, Kind, WorkRecord
from tunewright.rundir.run_dir import RunDir, folder_bytes
from tunewright.rundir.session_protocol import MergeRequest, MergeResult
from tunewright.security import redact

logger = logging.getLogger(__name__)

SESSION = "tunewright.extras.session_worker"
LOOK_SECONDS = 0.3
WRITE_SECONDS = 0.5
Outcome = Mapping[str, object]


class StoppedError(BaseException):
    """Somebody asked for the end. Not an Exception, so that nothing on the way takes it for a failure."""


@dataclass
class WorkReporter:
    """Writes progress and notes into work.json, at most twice a second."""

    work: BackgroundWork
    _written: float = field(default=0.0, init=False)

    def progress(self, done: int, total: int) -> None:
        if time.monotonic() - self._written > WRITE_SECONDS:
            self.work.update(done=done, total=total)
            self._written = time.monotonic()

    def note(self, text: str) -> None:
        self.work.update(note=redact(text), done=0, total=0)


@contextmanager
def _session(run: RunDir) -> Iterator[SessionClient]:
    """The process that holds the model; who stops does not wait for what it does."""
    with SessionClient(run, module=SESSION) as session:
        try:
            yield session
        except StoppedError:
            session.end()
            raise


def export(record: WorkRecord, reporter: Reporter) -> Outcome:
    """The run in another engine's format, compared with the run where an engine for it is here."""
    run = RunDir(Path(record.run))
    with _session(run) as session:
        result = export_run.export(
            run, session, record.options["to"], record.target,
            as_=record.options.get("as"), quant=record.options.get("quant"), reporter=reporter,
        )  # fmt: skip
    return {
        "target": result.place,
        "bytes": sum(file.bytes for file in result.record.files.values()),
        "command": result.start_command(),
        "proof": result.proof,
    }


def merge(record: WorkRecord, reporter: Reporter) -> Outcome:
    """Base and adapter as one plain folder, whose answers were compared with the adapter's."""
    run = RunDir(Path(record.run))
    plan = run.plan()
    num_bytes = stored_bytes(plan.facts.model, plan.run.model.precision, "none")
    output_targets.output_folder(record.target, num_bytes=num_bytes)
    with _session(run) as session:
        result = session.request(MergeRequest(record.target), MergeResult, reporter)
    figures = {"prompts": result.prompts, "equal": result.equal, "max_logit_difference": result.max_logit_difference}
    return {"target": result.path, "bytes": result.bytes, "figures": {name: float(n) for name, n in figures.items()}}


def eject(record: WorkRecord, reporter: Reporter) -> Outcome:
    """The run as a plain script with its rows."""
    run = RunDir(Path(record.run))
    script = peft_script.eject(run, Path(record.target))
    return {"bytes": folder_bytes(script.parent)}


def fetch(record: WorkRecord, reporter: Reporter) -> Outcome:
    """A model on this machine."""
    folder = fetch_model(record.what, reporter=reporter)
    return {"target": str(folder), "bytes": folder_bytes(folder)}


OPERATIONS: Mapping[Kind, Callable[[WorkRecord, Reporter], Outcome]] = {
    "export": export,
    "merge": merge,
    "eject": eject,
    "fetch": fetch,
}


def perform(work: BackgroundWork) -> None:
    """Do it, and write what became of it."""
    record, started = work.record(), time.monotonic()
    try:
        with speaking(record.lang):
            outcome = dict(OPERATIONS[record.do](record, WorkReporter(work)))
        outcome["state"] = "done"
    except StoppedError:
        outcome = {"state": "stopped"}
    except TunewrightError as fault:
        outcome = {"state": "failed", "problems": list(fault.problems)}
    except OSError as fault:
        logger.exception("the disk refused")
        outcome = {"state": "failed", "problems": list(of_system(fault, record.target).problems)}
    except Exception as fault:
        logger.exception("it failed")
        unknown = error("E802", reason=redact(f"{type(fault).__name__}: {fault}"))
        outcome = {"state": "failed", "problems": list(unknown.problems)}
    work.update(**outcome, note="", seconds=round(time.monotonic() - started, 1))


def main() -> None:
    """Entry of the process."""
    work = BackgroundWork(Path(sys.argv[1]))
    run_lock.own(work.folder)
    signal.signal(signal.SIGTERM, _stop)
    threading.Thread(target=_await_request, args=(work,), daemon=True).start()
    try:
        perform(work)
    except StoppedError:  # between two things
        work.update(state="stopped", note="")
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(os.getpgid(0), signal.SIGTERM)  # a converter that was left half way


def _stop(_number: int, _frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise StoppedError


def _await_request(work: BackgroundWork) -> None:
    while not work.is_asked_to_stop():
        time.sleep(LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
