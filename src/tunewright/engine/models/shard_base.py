"""A frozen base whose blocks are shared out among the processes of a machine: FSDP2, torch's `fully_shard`.

Each process holds a share of each block's weights; a block is whole for as long as it computes, on the way forward and back. What
is trained is whole in each process, so that steps, checkpoints and resuming are those of one process. So are embeddings, norms and
heads outside of the blocks: a pass needs them from its beginning to its end, and shares of them would only be memory on top.

Every pass through a sharded model is one of all processes of the machine (docs/decisions/0016-fsdp2.md). Not run on a GPU.
"""

import logging
from collections.abc import Iterable, Iterator
from typing import Any

import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import CPUOffloadPolicy, FSDPModule, OffloadPolicy, fully_shard

# The one part of it that is not public, as its base class is not: what gathers unless it is replaced.
from torch.distributed.fsdp._fully_shard._fsdp_collectives import DefaultAllGather
from torch.distributed.tensor import DTensor
from transformers.modeling_layers import GradientCheckpointingLayer

from tunewright.config.run_config import Strategy
from tunewright.engine.system.device import device, pins_memory
from tunewright.engine.system.ranks import Ranks
from tunewright.errors import error

logger = logging.getLogger(__name__)


class _WatchedAllGather(DefaultAllGather):
    """Gathers the shares of a block; says meanwhile that this process waits for others, and raises PeerLost where one is gone."""

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks

    def __call__(self, *tensors_and_group: Any, **options: Any) -> dist.Work | None:
        with self._ranks.waiting("all_gather"):
            return super().__call__(*tensors_and_group, **options)


def shard_base(
    model: nn.Module, frozen: Iterable[nn.Parameter], ranks: Ranks, processes: int, strategy: Strategy
) -> None:
    """Share out the blocks of a model that lies in the host's memory, block by block, and put all else on this process's device.

    `frozen` are the parameters that the base had before it got an adapter; of these only what is not trained is shared out, among
    the `processes` of each machine. Cost: one whole block on the device. Raises: ModelError E332 for a model without known blocks;
    PeerLost.
    """
    blocks = dict(_blocks(model))
    if not blocks:
        raise error("E332", architecture=type(model).__name__)
    mesh = DeviceMesh.from_group(ranks.group_of_machine(processes), device().type)
    is_offloaded = strategy == "fsdp2_offload"
    policy = CPUOffloadPolicy(pin_memory=pins_memory()) if is_offloaded else OffloadPolicy()
    shared = {parameter for parameter in frozen if not parameter.requires_grad and parameter.dim()}
    for block in blocks:
        ignored = {parameter for parameter in block.parameters() if parameter not in shared}
        for parameter in shared.intersection(block.parameters()):
            parameter.data = parameter.data.contiguous()
        # Never kept whole between passes, whichever module torch finds to be the outermost.
        sharded = fully_shard(
            block, mesh=mesh, reshard_after_forward=True, offload_policy=policy, ignored_params=ignored
        )
        sharded.set_custom_all_gather(_WatchedAllGather(ranks))
    for stack in dict.fromkeys(blocks.values()):
        # Without weights of its own: it only lets blocks be gathered while the one before computes.
        fully_shard(stack, mesh=mesh, ignored_params=set(stack.parameters()))
    for tensor in (*model.parameters(), *model.buffers()):
        if not isinstance(tensor, DTensor):
            # Copies: the checkpoint's file would stay mapped as long as one tensor is a view of it.
            tensor.data = tensor.data.to(device(), copy=True)
    held, whole = share_bytes(model)
    logger.info("%s: %d of %d bytes of %d blocks lie here", strategy, held, whole, len(blocks))


def _blocks(model: nn.Module) -> Iterator[tuple[nn.Module, nn.Module]]:
    """Each block, and what calls it: the layers that transformers can checkpoint, of nested ones the outermost."""
    modules, last = dict(model.named_modules()), ""
    for name, module in modules.items():
        if isinstance(module, GradientCheckpointingLayer) and not (last and name.startswith(f"{last}.")):
            last = owner = name
            while owner == name or isinstance(modules[owner], nn.ModuleList):
                owner = owner.rpartition(".")[0]
            yield module, modules[owner]


def share_bytes(model: nn.Module) -> tuple[int, int]:
    """Bytes of what is shared out of a model: those of this process's share, and all."""
    shared = [parameter for parameter in model.parameters() if isinstance(parameter, DTensor)]
    return sum(p.to_local().nbytes for p in shared), sum(p.numel() * p.element_size() for p in shared)


def forget_pass(model: nn.Module) -> None:
    """Be ready for the next pass after one that failed half way; does nothing for a model that is not sharded."""
    roots: list[str] = []
    for name, module in model.named_modules():
        if isinstance(module, FSDPModule) and not (roots and name.startswith(f"{roots[-1]}.")):
            roots.append(name)
            module.reset_iter_state()
