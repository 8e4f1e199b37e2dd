"""The one check for numbers that are not finite, made before anything is saved or handed over."""

from collections.abc import Iterable
from itertools import chain

from torch import Tensor, nn
from torch.optim import Optimizer

from tunewright.errors import error

Named = Iterable[tuple[str, Tensor]]


def first_not_finite(tensors: Named) -> str | None:
    """The name of the first tensor that holds NaN or infinity; None if all are finite."""
    return next((name for name, tensor in tensors if tensor.is_floating_point() and not tensor.isfinite().all()), None)


def check_finite(tensors: Named, step: int = 0) -> None:
    """Raises: TrainingError E511 for the first tensor that holds NaN or infinity."""
    name = first_not_finite(tensors)
    if name is not None:
        raise error("E511", name=name, step=step)


def trained_tensors(model: nn.Module) -> Named:
    """What a training changes."""
    return ((name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad)


def moments(optimizer: Optimizer) -> Named:
    """The tensors an optimizer remembers, named by their kind."""
    remembered = chain.from_iterable(state.items() for state in optimizer.state.values())
    return ((f"optimizer.{name}", value) for name, value in remembered if isinstance(value, Tensor))
