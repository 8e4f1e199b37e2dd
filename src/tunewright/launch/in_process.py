"""The one door from the torch-free side to the engine, inside functions: a run in this very process (notebooks)."""

import _thread
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tunewright.diagnose.rules import diagnose
from tunewright.errors.exit_codes import EXIT_INTERRUPTED, EXIT_TERMINATED
from tunewright.planning.run_plan import Plan
from tunewright.report.run_report import write_report
from tunewright.rundir.full_disk import EndingWriter
from tunewright.rundir.run_dir import RunDir, own, process_record
from tunewright.rundir.run_lock import release


def work(run: RunDir, callbacks: Sequence[Any] = ()) -> int:
    """Do a run's steps here: same files and events as a worker, no parent, no remedies. The exit code.

    `callbacks` are transformers' TrainerCallbacks. Raises: TrainingError E505, E518.
    """
    descriptor = own(run)
    try:
        with run.private():
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
    last = (run.read_events() or [{}])[-1]
    ended: dict[str, Any] = {
        "worker": None,
        "ended": time.time(),
        "seconds": time.monotonic() - begun,
        "exit_code": code,
        "problems": last.get("problems", []),
    }
    state = "stopped" if code in (EXIT_INTERRUPTED, EXIT_TERMINATED) else "failed" if code else "finished"
    ledger.close(state=state, result=last.get("result"), **ended)
    write_report(run, diagnose(run).findings)
    return code


def lora_config(**fields: Any) -> Any:
    """PEFT's LoraConfig, for people who go on with PEFT itself."""
    from peft import LoraConfig

    return LoraConfig(**fields)


def load_for_training(plan: Plan) -> tuple[Any, Any]:
    """PEFT model with a fresh adapter, and tokenizer, in this process."""
    from tunewright.engine.models import python_models

    return python_models.load_for_training(plan)


def put_adapter(model: Any, folder: Path) -> None:
    """Give a model in this process a trained adapter."""
    from tunewright.engine.models import python_models

    python_models.put_adapter(model, folder)


def count_parameters(model: Any) -> tuple[int, int]:
    """Trainable parameters, and all of them."""
    from tunewright.engine.models import python_models

    return python_models.count_parameters(model)


def continue_text(model: Any, tokenizer: Any, prompt: str, max_new_tokens: int) -> str:
    """Text that a model in this process writes."""
    from tunewright.engine.models import python_models

    return str(python_models.continue_text(model, tokenizer, prompt, max_new_tokens))
