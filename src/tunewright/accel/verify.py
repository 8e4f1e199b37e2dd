"""A fast path against its plain twin, on the first rows of the run: loss and gradients."""

from dataclasses import dataclass

import torch
from torch import nn

from tunewright.accel.loss import LossFunction, MicroBatch

# Two orders of summation in fp32 agree to about 1e-6; in bf16 the logits themselves carry 8 bits.
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 3e-2, torch.float16: 1e-2}
MAX_TOKENS = 256


@dataclass(frozen=True)
class Agreement:
    """Relative differences; `agrees` if loss and gradients are within the tolerance."""

    plain: float
    fast: float
    gradient_difference: float
    agrees: bool


def verify(model: nn.Module, plain: LossFunction, fast: LossFunction, batch: MicroBatch) -> Agreement:
    """Compare two losses on a cut of one micro-batch, dropout off, random state and gradients left as they were."""
    first = int((batch["labels"] != -100).any(0).nonzero()[0])
    end = max(MAX_TOKENS, first + MAX_TOKENS // 2)
    cut = {name: tensor[:2, :end] for name, tensor in batch.items()}
    was_training = model.training
    model.eval()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        loss_plain, gradients_plain = _loss_and_gradients(model, plain, cut)
        loss_fast, gradients_fast = _loss_and_gradients(model, fast, cut)
    model.train(was_training)
    norm = float(torch.linalg.vector_norm(gradients_plain))
    difference = float(torch.linalg.vector_norm(gradients_plain - gradients_fast)) / max(norm, 1e-12)
    tolerance = TOLERANCE[next(model.parameters()).dtype]
    agrees = (
        norm > 0
        and abs(loss_plain - loss_fast) <= tolerance * max(1.0, abs(loss_plain))
        and difference <= 10 * tolerance
    )
    return Agreement(loss_plain, loss_fast, difference, agrees)


def _loss_and_gradients(model: nn.Module, loss_function: LossFunction, batch: MicroBatch) -> tuple[float, torch.Tensor]:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    loss = loss_function(model, batch)
    gradients = torch.autograd.grad(loss, trained, allow_unused=True)
    flat = torch.cat([g.flatten().float() for g in gradients if g is not None])
    return float(loss.detach()), flat
