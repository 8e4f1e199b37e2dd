"""The last look at a run's adapter: what stands on the disk is what was trained, and the model works with it."""

import math
from collections.abc import Mapping
from dataclasses import replace

import torch
from peft import PeftModel
from torch import Tensor

from tunewright.engine.evaluation.evaluator import Evaluator
from tunewright.engine.export.save_model import with_start
from tunewright.engine.models.load_model import adapter_tensors, read_adapter
from tunewright.errors import ModelError, error
from tunewright.i18n import N_
from tunewright.rundir import atomic_io
from tunewright.rundir.checkpoints import damage
from tunewright.rundir.run_dir import RunDir

FEW_TOKENS = 4


def check_readback(model: PeftModel, run: RunDir, taken: Mapping[str, Tensor], test: Evaluator) -> None:
    """Compare the published adapter with the model in memory, and let it answer one held-out row.

    Raises: TrainingError E513; the adapter is then taken away again.
    """
    reason = _difference(model, run, taken) or _silence(model, test)
    if reason:
        atomic_io.remove_folder(run.adapter_dir)
        raise error("E513", reason=reason, name=run.name)


def _difference(model: PeftModel, run: RunDir, taken: Mapping[str, Tensor]) -> str:
    """What is wrong with the files, in a phrase; empty if every bit is as in memory."""
    fault = damage(run.adapter_dir)
    if fault:
        return fault
    try:
        stored = read_adapter(run.adapter_dir)
    except ModelError as broken:
        return broken.problems[0].message()
    expected = with_start(adapter_tensors(model), taken)
    odd = sorted(set(stored) ^ set(expected)) or [
        name for name, tensor in expected.items() if not torch.equal(stored[name], tensor.detach().cpu())
    ]
    return odd[0] if odd else ""


def _silence(model: PeftModel, test: Evaluator) -> str:
    """Why the model is of no use; empty if it reads a held-out row and answers it, or if there is none."""
    one = replace(test, rows=test.rows[:1], answers=min(1, test.answers), max_new_tokens=FEW_TOKENS)
    works = not one.rows or math.isfinite(one.evaluate(model).scores["held_out_loss"])
    return "" if works else N_("its held-out loss is not a number")
