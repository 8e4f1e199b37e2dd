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
    from tunewright.api import TrainedRun as TrainedRun
    from tunewright.api import compare_runs as compare_runs
    from tunewright.api import data_check as data_check
    from tunewright.api import load_model as load_model
    from tunewright.api import open_run as open_run
    from tunewright.api import peft_config as peft_config
    from tunewright.api import plan as plan
    from tunewright.api import quickstart as quickstart
    from tunewright.api import runs as runs
    from tunewright.api import train as train
    from tunewright.errors import TunewrightError as TunewrightError

__version__ = "0.1.0"

_NAMES = {
    "train": "api", "plan": "api", "quickstart": "api", "open_run": "api", "runs": "api", "data_check": "api",
    "compare_runs": "api", "load_model": "api",
    "peft_config": "api", "TrainedRun": "api", "TunewrightError": "errors",
}  # fmt: skip
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
    "train",
]


def __dir__() -> list[str]:
    """What is meant for use; everything else is found by its own module."""
    return sorted([*__all__, "__version__"])


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module 'tunewright' has no attribute {name!r}")
    return getattr(import_module(f"tunewright.{_NAMES[name]}"), name)
