"""The check for NaN and infinity, made before anything is saved or published."""

from collections.abc import Iterable
from itertools import chain

from torch import Tensor, nn
from torch.optim import Optimizer

from tunewright.errors import error

NamedTensors = Iterable[tuple[str, Tensor]]


def first_not_finite(tensors: NamedTensors) -> str | None:
    """The name of the first tensor that holds NaN or infinity; None if all are finite."""
    return next((name for name, tensor in tensors if tensor.is_floating_point() and not tensor.isfinite().all()), None)


def check_finite(tensors: NamedTensors, step: int = 0) -> None:
    """Raises: TrainingError E511 for the first tensor that holds NaN or infinity."""
    name = first_not_finite(tensors)
    if name is not None:
        raise error("E511", name=name, step=step)


def trained_tensors(model: nn.Module) -> NamedTensors:
    """The parameters that are trained, by name."""
    return ((name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad)


def moments(optimizer: Optimizer) -> NamedTensors:
    """The tensors of an optimizer's state, named by their kind."""
    entries = chain.from_iterable(state.items() for state in optimizer.state.values())
    return ((f"optimizer.{name}", value) for name, value in entries if isinstance(value, Tensor))
