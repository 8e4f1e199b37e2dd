"""The check of a run's saved adapter: the files hold what was trained, and the model works with it."""

import math
from collections.abc import Mapping
from dataclasses import replace

import torch
from peft import PeftModel
from torch import Tensor

from tunewright.engine.evaluation.evaluator import Evaluator
from tunewright.engine.export.save_model import with_initial_weights
from tunewright.engine.models.load_model import adapter_tensors, read_adapter
from tunewright.errors import ModelError, error
from tunewright.i18n import N_
from tunewright.rundir import atomic_io
from tunewright.rundir.checkpoints import damage
from tunewright.rundir.run_dir import RunDir

FEW_TOKENS = 4


def verify_saved_adapter(
    model: PeftModel,
    run: RunDir,
    initial_weights: Mapping[str, Tensor],
    evaluator: Evaluator,
    *,
    has_written: bool = True,
) -> None:
    """Compare the published adapter with the model in memory, and let the model answer one held-out row.

    Of processes that share the base one has written the adapter, and all let the model answer.
    Raises: TrainingError E513; the adapter is then removed.
    """
    reason = _file_fault(model, run, initial_weights) if has_written else ""
    reason = reason or _evaluation_fault(model, evaluator)
    if reason:
        if has_written:
            atomic_io.remove_folder(run.adapter_dir)
        raise error("E513", reason=reason, name=run.name)


def _file_fault(model: PeftModel, run: RunDir, initial_weights: Mapping[str, Tensor]) -> str:
    """What is wrong with the files, in a phrase; empty if they are bit-equal to the model in memory."""
    fault = damage(run.adapter_dir)
    if fault:
        return fault
    try:
        stored = read_adapter(run.adapter_dir)
    except ModelError as broken:
        return broken.problems[0].message()
    expected = with_initial_weights(adapter_tensors(model), initial_weights)
    different = sorted(set(stored) ^ set(expected)) or [
        name for name, tensor in expected.items() if not torch.equal(stored[name], tensor.detach().cpu())
    ]
    return different[0] if different else ""


def _evaluation_fault(model: PeftModel, evaluator: Evaluator) -> str:
    """What is wrong with the model; empty if its loss on a held-out row is finite, or if there is no such row."""
    single = replace(
        evaluator, rows=evaluator.rows[:1], num_answers=min(1, evaluator.num_answers), max_new_tokens=FEW_TOKENS
    )
    works = not single.rows or math.isfinite(single.evaluate(model).scores["held_out_loss"])
    return "" if works else N_("its held-out loss is not a number")
