"""Stands in for lm-evaluation-harness: one task, `counts`, that asks a model for the loss of a text and looks around."""

import importlib.util
import random

from lm_eval import utils

__version__ = "0.0-fake"


def simple_evaluate(model, tasks, task_manager, limit, bootstrap_iters, log_samples):
    """Results in the harness's shape; the value is the mean of the model's logits on fixed tokens."""
    if "fails" in tasks:
        raise ConnectionError("cannot reach\nthe Hub")
    try:
        importlib.import_module("evaluate")
        can_run_scripts = True
    except ImportError:
        can_run_scripts = False
    escapes = utils.env.from_string("{{ ''.__class__.__mro__ | length }}")
    try:
        escapes.render()
        is_sandboxed = False
    except Exception:
        is_sandboxed = True
    random.seed(0)
    values = {
        "alias": "counts", "sample_len": 4, "acc,none": model.mean_logit(), "acc_stderr,none": 0.5,
        "ppl,none": float("inf"), "ppl_stderr,none": "N/A", "scripts,none": float(can_run_scripts),
        "sandboxed,none": float(is_sandboxed), "positions,none": model.max_length,
    }  # fmt: skip
    return {
        "results": dict.fromkeys(tasks, values),
        "versions": dict.fromkeys(tasks, 1.0),
        "n-shot": dict.fromkeys(tasks, 0),
        "n-samples": {name: {"original": 9, "effective": limit or 9} for name in tasks},
        "higher_is_better": {name: {"acc": True, "ppl": False} for name in tasks},
    }
