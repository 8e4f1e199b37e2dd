"""Which accelerator a process sees: one. Without a launcher, transformers would spread a run over all that it finds."""

import os
from collections.abc import Mapping
from pathlib import Path

# What CUDA, HIP (which reads CUDA's too, and prefers its own) and Level Zero take: names with commas between them.
ALWAYS = ("CUDA_VISIBLE_DEVICES", "ZE_AFFINITY_MASK")
WHERE_SET = ("HIP_VISIBLE_DEVICES",)
NONE = "-1"  # no driver has a device of this number


def visible_device(index: int = 0) -> dict[str, str]:
    """The environment of a process that sees only the accelerator of this number, counted among those visible here.

    A number that there is none of leaves it none; the plan then refuses it. Not run with an accelerator.
    """
    names = [*ALWAYS, *(name for name in WHERE_SET if name in os.environ)]
    return {name: _chosen(os.environ, name, index) for name in names}


def name_of(index: int) -> str:
    """The name of the accelerator of this number that every process of this machine knows it by, whatever is visible to it."""
    visible = visible_device(index)
    return next((visible[name] for name in (*WHERE_SET, *ALWAYS) if name in os.environ), str(index))


def num_visible() -> int:
    """How many accelerators a run may use: as the environment names them, else as Linux lists NVIDIA's; 1 where nobody tells.

    Not run with an accelerator.
    """
    for name in (*WHERE_SET, *ALWAYS):
        if named := os.environ.get(name):
            return len(named.split(","))
    return max(1, len([path for path in Path("/dev").glob("nvidia[0-9]*") if path.name[6:].isdigit()]))


def _chosen(environment: Mapping[str, str], name: str, index: int) -> str:
    if name not in environment:
        return str(index)
    visible = environment[name].split(",")
    return visible[index].strip() if index < len(visible) else NONE
