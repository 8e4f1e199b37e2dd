"""The device that a run computes on, and what it can do: CUDA (ROCm too), MPS, XPU by `torch.accelerator`, else the CPU.

Everything that depends on the kind of device is asked here. A process sees one accelerator (inspection/visible_device.py), so
devices have no index. Only the CPU's branches were run; those of accelerators were read in torch 2.13.
"""

import torch

CPU = torch.device("cpu")
OWN_MEMORY = ("cuda", "xpu")  # kinds with memory beside the machine's, and an allocator of torch that counts it
# Of CUDA's cards those from Ampere on; the kernels of torch.nn.attention.varlen are for them too.
BF16_CAPABILITY = (8, 0)


def device() -> torch.device:
    """The accelerator of this process, or the CPU."""
    return torch.accelerator.current_accelerator(check_available=True) or CPU


def is_on_cpu() -> bool:
    """Whether this process computes on the CPU."""
    return device().type == "cpu"


def name() -> str:
    """What the device is called; `CPU` without an accelerator. Not run on one."""
    kind = device().type
    if kind == "cpu":
        return "CPU"
    return "Apple GPU" if kind == "mps" else str(torch.get_device_module(kind).get_device_properties().name)


def memory_bytes() -> int:
    """All memory of the accelerator; 0 for a CPU. Of Apple's, which share the machine's, what Metal advises. Not run on one."""
    kind = device().type
    if kind == "cpu":
        return 0
    return torch.mps.recommended_max_memory() if kind == "mps" else torch.accelerator.get_memory_info()[1]


def computes_bf16() -> bool:
    """Whether bf16 is computed by the device itself, and not imitated in fp32. Not run on an accelerator."""
    kind = device().type
    if kind in OWN_MEMORY:
        return bool(torch.get_device_module(kind).is_bf16_supported(including_emulation=False))
    return True


def has_varlen_attention() -> bool:
    """Whether torch.nn.attention.varlen computes here: of torch 2.13's kernels only CUDA's do. Not run on one.

    On ROCm the same calls exist; whether they agree is found before step 1, as everywhere.
    """
    if device().type != "cuda":
        return False
    return bool(torch.version.hip) or torch.cuda.get_device_capability() >= BF16_CAPABILITY


def pins_memory() -> bool:
    """Whether batches in pages that cannot be moved reach the device faster; Apple's shares the memory."""
    return device().type in OWN_MEMORY


def synchronize() -> None:
    """Wait until the accelerator has done all that it was given. Not run on one."""
    if not is_on_cpu():
        torch.accelerator.synchronize()


def peak_bytes() -> int | None:
    """The most memory that tensors took on the accelerator; None where nobody counts. Not run on one."""
    return torch.accelerator.max_memory_allocated() if device().type in OWN_MEMORY else None


def release_memory() -> None:
    """Give what the accelerator's allocator holds and nobody uses back to the device. Not run on one."""
    if device().type == "mps":
        torch.mps.empty_cache()
    elif device().type in OWN_MEMORY:
        torch.accelerator.empty_cache()
