"""A fast path against its plain counterpart, on the first rows of the run: loss and gradients."""

from dataclasses import dataclass

import torch
from peft.utils.integrations import get_bnb_param_type
from torch import Tensor, nn

from tunewright.kernels.cross_entropy import LossFunction, MicroBatch

# By precision, of losses and logits. Two orders of summation in fp32 agree to about 1e-6; elsewhere logits carry 8 or 11 bits.
TOLERANCE = {"fp32": 1e-4, "mixed": 1e-2, "bf16": 3e-2, "fp16": 1e-2}
# Of gradients as vectors. SmolLM2's 30 blocks, 45 pairs of Alpaca rows: packed rows differ from padded ones by 0.04 to 0.10 in
# mixed precision and by 0.06 to 0.10 in bf16; where a row sees another one, by 0.33 to 1.08, its loss by as little as 0.0013.
GRADIENT_TOLERANCE = {"fp32": 1e-3, "mixed": 0.2, "bf16": 0.2, "fp16": 0.1}


@dataclass(frozen=True)
class LossAndGradients:
    """A loss, and the gradients of everything that is trained in one vector."""

    loss: float
    gradients: Tensor


def measure(model: nn.Module, loss_function: LossFunction, batch: MicroBatch) -> LossAndGradients:
    """Loss and gradients of one micro-batch, dropout off; random state and stored gradients stay as they were."""
    was_training, device = model.training, next(model.parameters()).device
    batch = {name: tensor.to(device) for name, tensor in batch.items()}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.eval()
    for module in model.modules():
        if isinstance(module, nn.Linear) and get_bnb_param_type(module.weight) == "8bit":
            module.train()  # in evaluation mode rounding of inputs depends on which rows are batched together
    with torch.random.fork_rng():
        loss = loss_function(model, batch)
        gradients = torch.autograd.grad(loss, trained, allow_unused=True)
    model.train(was_training)
    flat = [
        (torch.zeros_like(p) if g is None else g).flatten().float() for p, g in zip(trained, gradients, strict=True)
    ]
    return LossAndGradients(float(loss.detach()), torch.cat(flat))


def difference(plain: LossAndGradients, fast: LossAndGradients) -> tuple[float, float]:
    """Relative difference of the losses, and of the gradients as vectors."""
    norm = float(torch.linalg.vector_norm(plain.gradients))
    distance = float(torch.linalg.vector_norm(plain.gradients - fast.gradients))
    return abs(plain.loss - fast.loss) / max(1.0, abs(plain.loss)), distance / max(norm, 1e-12)


def tolerances(precision: str) -> tuple[float, float]:
    """What `difference` may be in this precision: of the losses, and of the gradients."""
    return TOLERANCE[precision], GRADIENT_TOLERANCE[precision]


def agreement(precision: str, plain: LossAndGradients, fast: LossAndGradients) -> bool:
    """True if loss and gradients are within the tolerance of the precision, and there are gradients at all."""
    pairs = zip(difference(plain, fast), tolerances(precision), strict=True)
    return bool(plain.gradients.any()) and all(distance <= allowed for distance, allowed in pairs)
