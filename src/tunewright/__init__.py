"""Tunewright: from a model name and a file of examples to a trained, proven, usable adapter.

    import tunewright as tw

    run = tw.train(model="smollm2", data="my.jsonl")
    run.evaluate()
    run.chat("Hello")
    run.merge("merged")

Importing this package is light; names are loaded when they are used, and torch only in a process of its own.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tunewright.api import (
        TrainedRun,
        compare_runs,
        data_check,
        load_model,
        open_run,
        peft_config,
        plan,
        quickstart,
        runs,
        serve,
        train,
    )
    from tunewright.errors import TunewrightError

__version__ = "0.1.0"

__all__ = [
    "TrainedRun",
    "TunewrightError",
    "compare_runs",
    "data_check",
    "load_model",
    "open_run",
    "peft_config",
    "plan",
    "quickstart",
    "runs",
    "serve",
    "train",
]


def __dir__() -> list[str]:
    """The public names; all others are in their own modules."""
    return sorted([*__all__, "__version__"])


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'tunewright' has no attribute {name!r}")
    module = import_module("tunewright.errors") if name == "TunewrightError" else import_module("tunewright.api")
    return getattr(module, name)
