"""A device that is not the CPU, on machines that have none: `mirror`, torch's PrivateUse1 with the CPU's own kernels behind it.

A tensor of it says that it is on `mirror:0` and holds a CPU tensor in which everything is computed. As on a real device, an
operation on tensors of both is refused, but for CPU tensors without a dimension, and for CPU indices into one of the device.
Values are real, so a whole run goes through: what is asked of values (`item`, `nonzero`, `tolist`) is answered, which fake
tensors cannot. Not simulated: streams, the device's kernels and their rounding, memory.

Sources: torch/utils/backend_registration.py (a backend in Python), torch/utils/_python_dispatch.py (aliases of wrappers).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from types import SimpleNamespace
from typing import Any

import torch
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_iter, tree_map

NAME = "mirror"
Function = Callable[..., Any]
COPIES = ("aten::_to_copy", "aten::copy_", "aten::_copy_from", "aten::set_")
INDEXED = ("aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_", "aten::_unsafe_index")


class MirrorTensor(torch.Tensor):
    """A tensor on the device; `mirrored` is the CPU tensor that holds its values."""

    mirrored: torch.Tensor

    @staticmethod
    def __new__(cls, mirrored: torch.Tensor) -> "MirrorTensor":
        with torch.inference_mode(False):  # a view of a tensor from outside that mode belongs there, too
            tensor = torch.Tensor._make_wrapper_subclass(
                cls, mirrored.size(), strides=mirrored.stride(), storage_offset=mirrored.storage_offset(),
                dtype=mirrored.dtype, device=torch.device(NAME, 0), requires_grad=False,
            )  # fmt: skip
        tensor.mirrored = mirrored
        return tensor

    @classmethod
    def __torch_dispatch__(cls, func: Function, types: Sequence[type], args: Any = (), kwargs: Any = None) -> Any:
        return computed(func, args, kwargs or {})

    def tolist(self) -> Any:
        return self.mirrored.tolist()

    def storage(self) -> Any:
        """By which what shares memory is found when files are written."""
        return torch.storage.TypedStorage(
            wrap_storage=self.mirrored.untyped_storage(), dtype=self.dtype, _internal=True
        )

    def __reduce_ex__(self, protocol: Any) -> Any:
        """In a file it is a tensor like others."""
        return self.mirrored.__reduce_ex__(protocol)

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"mirror({self.mirrored!r})"


def computed(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """An operation where its tensors are. Raises: RuntimeError for tensors on two devices."""
    name = func._schema.name
    tensors = [value for value in tree_iter((args, kwargs)) if isinstance(value, torch.Tensor)]
    _refuse_two_devices(name, args, tensors)
    wanted = next((value for value in tree_iter((args, kwargs)) if isinstance(value, torch.device)), None)
    is_here = any(isinstance(tensor, MirrorTensor) for tensor in tensors)
    plain_args, plain_kwargs = tree_map(_plain, (args, kwargs))
    result = func(*plain_args, **plain_kwargs)
    stays = wanted.type == NAME if wanted else _stays(name, args, is_here)
    if is_here != stays and any(result is value for value in plain_args):
        result = result if name.endswith("_") else result.clone()  # another device is another memory
    if not stays:
        return args[0] if result is plain_args[0] else result
    result = tree_map(lambda value: MirrorTensor(value) if isinstance(value, torch.Tensor) else value, result)
    return return_and_correct_aliasing(func, args, kwargs, result) if is_here else result


def _stays(name: str, args: Any, is_here: bool) -> bool:
    """Whether the result is on the device: what is copied into a CPU tensor is not."""
    if name in COPIES and args and isinstance(args[0], torch.Tensor):
        return isinstance(args[0], MirrorTensor)
    return is_here


def _plain(value: Any) -> Any:
    """The same for the CPU's kernels."""
    if isinstance(value, torch.device) and value.type == NAME:
        return torch.device("cpu")
    return value.mirrored if isinstance(value, MirrorTensor) else value


def _refuse_two_devices(name: str, args: Any, tensors: Sequence[torch.Tensor]) -> None:
    if name in COPIES:
        return
    if name in INDEXED and isinstance(args[0], MirrorTensor):
        tensors = [args[0], *(value for value in args[2:] if isinstance(value, torch.Tensor))]
    devices = {tensor.device.type for tensor in tensors if tensor.dim() or isinstance(tensor, MirrorTensor)}
    if len(devices) > 1:
        raise RuntimeError(f"{name}: Expected all tensors to be on the same device, but found {sorted(devices)}")


class _Factories(TorchDispatchMode):
    """Makes tensors on the device where it is asked for by name, as in `torch.zeros(3, device="mirror")`."""

    def __torch_dispatch__(self, func: Function, types: Sequence[type], args: Any = (), kwargs: Any = None) -> Any:
        return computed(func, args, kwargs or {})


class _Module:
    """`torch.mirror`: one device, while `mirror_device` lasts."""

    is_there = False

    def is_initialized(self) -> bool:
        return True

    def is_available(self) -> bool:
        return self.is_there

    def device_count(self) -> int:
        return int(self.is_there)

    def current_device(self) -> int:
        return 0

    def get_device_properties(self) -> SimpleNamespace:
        return SimpleNamespace(name="a mirror")

    def _is_in_bad_fork(self) -> bool:
        return False

    def manual_seed_all(self, seed: int) -> None:
        """Random numbers are the CPU's."""

    manual_seed = manual_seed_all

    def get_rng_state(self, device: Any = None) -> torch.Tensor:
        return torch.get_rng_state()

    def set_rng_state(self, state: torch.Tensor, device: Any = None) -> None:
        torch.set_rng_state(state)

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]


MODULE = _Module()


def _empty_strided(size: Any, stride: Any, *, dtype: Any = None, **_placed: Any) -> MirrorTensor:
    return MirrorTensor(torch.empty_strided(size, stride, dtype=dtype))


def _copy_from(source: torch.Tensor, target: torch.Tensor, non_blocking: bool = False) -> torch.Tensor:
    _plain(target).copy_(_plain(source))
    return target


@cache
def register() -> Any:
    """Make the device known to torch, once in a process; it is not there yet.

    Two kernels are called below the place where operations are watched: `torch.tensor` moves what it made by them.
    """
    backend_registration._setup_privateuseone_for_python_backend(NAME, MODULE)
    kernels = torch.library.Library("aten", "IMPL")
    kernels.impl("empty_strided", _empty_strided, "PrivateUse1")
    kernels.impl("_copy_from", _copy_from, "PrivateUse1")
    return kernels


@contextmanager
def mirror_device() -> Iterator[torch.device]:
    """A time in which the device is there, and is torch's accelerator."""
    register()
    MODULE.is_there = True
    try:
        with _Factories():
            yield torch.device(NAME, 0)
    finally:
        MODULE.is_there = False
