"""The start of a worker: `python -m tunewright.engine.lean_start RUN` is the worker without packages that its plan does not use.

PEFT and transformers import bitsandbytes and datasets wherever they are installed, a quarter of what a worker imports, and
almost no run uses them. Here they are as if they were not: None in `sys.modules` is Python's own way to say so.
"""

import gc
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tunewright.data.train_eval_split import reads_tables
from tunewright.errors import TunewrightError
from tunewright.planning.run_plan import Plan
from tunewright.rundir.run_dir import RunDir

# In the names of optimizers that are bitsandbytes'.
ITS_OPTIMIZERS = ("8bit", "4bit", "bnb", "paged")


def unused_packages(plan: Plan) -> Iterator[str]:
    """Packages that this run can do without."""
    run = plan.run
    is_quantized = run.model.quantization != "none" or "loftq" in run.peft.model_dump_json()
    if not is_quantized and not any(word in run.train.optim for word in ITS_OPTIMIZERS):
        yield "bitsandbytes"
    if not reads_tables(run.data):
        yield "datasets"


def main() -> None:
    """Entry of the process: as tunewright.engine.worker."""
    with suppress(TunewrightError):  # the worker reports a plan that cannot be read
        for package in unused_packages(RunDir(Path(sys.argv[1])).plan()):
            sys.modules.setdefault(package, None)  # type: ignore[arg-type]

    # Half a million objects are made by these imports and none of them is garbage: to look for some took a fifth of the time.
    gc.disable()
    from tunewright.engine import worker

    gc.freeze()
    gc.enable()
    worker.main()


if __name__ == "__main__":
    main()
