"""The one door from the torch-free side to the engine, inside functions: a run in this very process (notebooks)."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tunewright.compare.report import write_report
from tunewright.errors import error
from tunewright.planning.plan import Plan
from tunewright.rundir import layout
from tunewright.rundir.store import RunDir, process_record


def work(run: RunDir, callbacks: Sequence[Any] = ()) -> int:
    """Do a run's steps here: same files and events as a worker, no parent, no remedies. The exit code.

    `callbacks` are transformers' TrainerCallbacks.
    """
    from tunewright.engine.watch import StopFlag
    from tunewright.engine.worker import work as do_steps

    try:
        with run.private(), FileLock(run.file(layout.LOCK), timeout=0):
            run.sweep()
            run.update_info(state="running", started=time.time(), worker=process_record(os.getpid()))
            try:
                code = do_steps(run, StopFlag(), callbacks)
            except BaseException:
                run.update_info(state="stopped", worker=None)
                raise
            last = run.read_events()[-1]
            ended: dict[str, Any] = {
                "worker": None,
                "ended": time.time(),
                "exit_code": code,
                "problems": last.get("problems", []),
            }
            state = "finished" if code == 0 else "failed"
            run.update_info(state=state, result=last.get("result"), **ended)
            write_report(run)
            return code
    except Timeout as taken:
        raise error("E505", pid="?", name=run.name) from taken


def lora_config(**fields: Any) -> Any:
    """PEFT's LoraConfig, for people who go on with PEFT itself."""
    from peft import LoraConfig

    return LoraConfig(**fields)


def load_for_training(plan: Plan) -> tuple[Any, Any]:
    """PEFT model with a fresh adapter, and tokenizer, in this process."""
    from tunewright.engine import notebook

    return notebook.load_for_training(plan)


def put_adapter(model: Any, folder: Path) -> None:
    """Give a model in this process a trained adapter."""
    from tunewright.engine import notebook

    notebook.put_adapter(model, folder)


def count_parameters(model: Any) -> tuple[int, int]:
    """Trainable parameters, and all of them."""
    from tunewright.engine import notebook

    return notebook.count_parameters(model)


def continue_text(model: Any, tokenizer: Any, prompt: str, max_new_tokens: int) -> str:
    """Text that a model in this process writes."""
    from tunewright.engine import notebook

    return str(notebook.continue_text(model, tokenizer, prompt, max_new_tokens))
