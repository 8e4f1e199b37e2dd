"""Loss and gradients of one model and its rows, by every way there is here and on the CPU: `parity.py MODEL ROWS FOLDER`.

The adapter is drawn once, both of its matrices, so that every gradient is something. Prints JSON.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel

from tunewright import api
from tunewright.data.tokenized.tokenizer import TextTokenizer, load_tokenizer
from tunewright.engine.models.load_model import load_base
from tunewright.engine.models.peft_adapter import attach_adapter, planned_config
from tunewright.engine.system import device
from tunewright.engine.training.dataset import prepare
from tunewright.engine.training.loss_backends import LossBackend, fast_backends, plain_backend, unsupported_reason
from tunewright.kernels.document_attention import CannotPack
from tunewright.kernels.kernel_agreement import LossAndGradients, difference, measure, tolerances
from tunewright.kernels.packing import attend_by_document
from tunewright.planning.run_plan import Plan
from tunewright.rundir.run_dir import RunDir

ROWS = 6


def compare(what: str, precision: str, plain: LossAndGradients, other: LossAndGradients) -> dict[str, Any]:
    """How far two computations are from each other, and how far they may be."""
    (loss, gradients), (loss_allowed, gradients_allowed) = difference(plain, other), tolerances(precision)
    return {
        "what": what, "loss": loss, "loss_allowed": loss_allowed, "gradients": gradients,
        "gradients_allowed": gradients_allowed, "agrees": loss <= loss_allowed and gradients <= gradients_allowed,
    }  # fmt: skip


def of_precision(precision: str, model_folder: str, rows: str, folder: Path) -> Iterator[dict[str, Any]]:
    """The comparisons in one precision."""
    named = {
        "model.name": model_folder, "data.train": rows, "data.holdout": 0, "model.precision": precision,
        "peft.lora_dropout": 0.0, "eval.rows": 0,
    }  # fmt: skip
    plan: Plan = api.plan(api.load(named=named))
    text: TextTokenizer = load_tokenizer(Path(model_folder), None)
    folder.mkdir(parents=True, exist_ok=True)
    train = prepare(plan, RunDir(folder), text).train[:ROWS]
    model = attach_adapter(load_base(plan, text), planned_config(plan), seed=0)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.copy_(torch.empty(parameter.shape).normal_(0, 0.02))
    plain = plain_backend(plan, train)
    reference = measure(model, plain.loss, plain.collate(train, text.pad_id))
    for backend in fast_backends(plan):
        name = f"{precision}: {'+'.join(backend.paths)} against padded, all logits"
        if reason := unsupported_reason(backend, plan, model):
            yield {"what": name, "not_run": reason}
            continue
        try:
            yield compare(name, precision, reference, _by(backend, model, train, text))
        except CannotPack as fault:
            yield {"what": name, "not_run": str(fault)}
    if device.is_on_cpu():
        yield {"what": f"{precision}: the device against the CPU", "not_run": "no accelerator here"}
        return
    model.to("cpu")
    on_cpu = measure(model, plain.loss, plain.collate(train, text.pad_id))
    here = LossAndGradients(reference.loss, reference.gradients.cpu())
    yield compare(f"{precision}: the device against the CPU", precision, on_cpu, here)


def _by(backend: LossBackend, model: PeftModel, train: list[Any], text: TextTokenizer) -> LossAndGradients:
    undo = attend_by_document(model, backend.attention) if backend.attention else None
    try:
        return measure(model, backend.loss, backend.collate(train, text.pad_id))
    finally:
        if undo:
            undo()


def main() -> None:
    model, rows, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    found = [one for precision in ("fp32", "bf16") for one in of_precision(precision, model, rows, folder / precision)]
    print(json.dumps({"compared": found}))


if __name__ == "__main__":
    main()
