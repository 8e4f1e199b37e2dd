"""What several devices bring a run: memory of each and time of a step, by strategy, in closed form. Not measured on GPUs.

S frozen weights as stored, T trained numbers, B the weights of one block, R embeddings and head, A activations and logits
of a micro-batch, C the device's own, n devices that share one copy, W all devices, m micro-batches of one device.

- ddp: every device holds all. C + S + 16 T + A; moves 2 (W-1)/W x 4 T once a step.
- fsdp2: each holds a share of the blocks, and all that is trained. C + (S - R)/n + 2 B + R + 16 T + A; moves m x 2 (S - R) (n-1)/n
  inside the node, and what ddp moves. Shares are of one node's devices (HSDP, where there are several nodes).
- fsdp2_offload: shares lie in the host's memory. C + 2 B + R + 16 T + A; moves m x 2 (S - R)/n over PCIe on top.

What a device holds is within a hundredth of what torch's own trackers count (benchmarks/scale/MEMORY.md).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from tunewright.config.load_config import patch
from tunewright.config.resolved_config import ResolvedConfig
from tunewright.i18n import N_
from tunewright.planning.cluster import PCIE, Cluster
from tunewright.planning.flops import work
from tunewright.planning.memory_estimate import BLOCKS_AT_ONCE
from tunewright.planning.resolve import GPU_MICRO_BATCH_TOKENS, effective_batch, estimate_for, trained_by
from tunewright.planning.run_plan import InspectedFacts, Plan, ScalePlan, ScaleRow
from tunewright.planning.time_estimate import LAYER_SECONDS, STEP_SECONDS, step_rate

# Rows are dealt by their lengths, so that the fullest device has about so much more to do than the mean one.
DEALING = 1.02
# A strategy that needs less is not taken if another one is so much faster.
SLOWER = 1.3
BYTES_A_TRAINED = 16  # value, gradient and two moments in fp32


@dataclass(frozen=True)
class _Sizes:
    """The letters of the docstring, in bytes but for T; `compute` seconds of all products of a step on one device, and `micro`
    micro-batches of a step."""

    stored: int
    trained: int
    block: int
    rest: int
    activations: int
    own: int
    compute: float
    micro: int
    blocks: int


def on_cluster(plan: Plan, cluster: Cluster) -> Plan:
    """A plan made for one device of a cluster, with what the others bring; it fits if any strategy does."""
    scale = scale_out(plan.run, plan.facts, cluster)
    return plan.model_copy(update={"scale": scale, "fits": scale.chosen is not None})


def scale_out(run: ResolvedConfig, facts: InspectedFacts, cluster: Cluster) -> ScalePlan:
    """Each strategy on a cluster of the devices that `facts` were made for."""
    rows = tuple(_rows(run, facts, cluster))
    chosen = _chosen(rows)
    tokens = round(effective_batch(run) * min(facts.data.mean_length, run.data.max_length))
    useful = max(1, min(cluster.devices, tokens // GPU_MICRO_BATCH_TOKENS))
    return ScalePlan(
        devices=cluster.name, count=cluster.devices, rows=rows, useful=useful, tokens=tokens,
        chosen=f"{chosen.strategy} {chosen.quantization}" if chosen else None, verdict=_verdict(chosen, useful, cluster),
        inside=cluster.inside, between=cluster.between if cluster.nodes > 1 else None, measured=cluster.measured,
    )  # fmt: skip


def _verdict(chosen: ScaleRow | None, useful: int, cluster: Cluster) -> str:
    if chosen is None:
        return N_("nothing fits these devices: take larger ones, shorter rows, or a smaller model")
    if chosen.times <= 1.0 and chosen.strategy == "ddp":
        return N_("more devices make a step of this size slower: one is enough")
    if useful < cluster.devices and chosen.strategy == "ddp":
        return N_(
            "a step fills {useful} of {count} devices; train as many candidates at once (compare --devices all), or ask for a "
            "larger batch"
        )
    return N_("a step keeps all of them busy")


def _chosen(rows: tuple[ScaleRow, ...]) -> ScaleRow | None:
    """The first that fits, unless a later one of the same weights is much faster; 4 bits come after all of full weights."""
    fitting = [row for row in rows if row.fits]
    if not fitting:
        return None
    first = fitting[0]
    same = [row for row in fitting if row.quantization == first.quantization]
    fastest = min(same, key=lambda row: row.step_seconds)
    return fastest if first.step_seconds > SLOWER * fastest.step_seconds else first


def _rows(run: ResolvedConfig, facts: InspectedFacts, cluster: Cluster) -> Iterator[ScaleRow]:
    room = facts.room_bytes
    for quantization in dict.fromkeys(("none", run.model.quantization, "4bit")):
        stored = patch(run, {"model.quantization": quantization, "launch.strategy": "ddp"})
        sizes = _sizes(stored, facts)
        alone = _seconds(sizes, 1, 0.0, 0.0)
        for strategy, held, moved, seconds in _strategies(sizes, cluster):
            if quantization != "none" and strategy != "ddp":
                continue  # bitsandbytes' weights are not sharded; read, not run
            yield ScaleRow(
                strategy=strategy, quantization=quantization, device_bytes=round(held), moved_bytes=round(moved),
                step_seconds=seconds, times=alone / seconds, fits=held <= room,
            )  # fmt: skip


def _sizes(run: ResolvedConfig, facts: InspectedFacts) -> _Sizes:
    model, memory, todo = facts.model, estimate_for(run, facts), work(run, facts)
    parts, blocks = memory.parts, model.num_layers + model.num_decoder_layers
    stored = parts["weights"]
    inside = 1 - model.num_outside_blocks / max(1, model.num_parameters)
    return _Sizes(
        stored=stored,
        trained=trained_by(run, facts),
        block=round(stored * inside / max(1, blocks)),
        rest=round(stored * (1 - inside)),
        activations=parts.get("activations", 0) + parts.get("loss", 0),
        own=parts["libraries"],
        compute=todo.step / step_rate(run, facts),
        micro=todo.micro_batches,
        blocks=blocks,
    )


def _strategies(s: _Sizes, cluster: Cluster) -> Iterator[tuple[str, float, float, float]]:
    """Name, bytes held by a device, bytes moved by it, seconds of a step."""
    count, each, nodes = cluster.devices, cluster.per_node, cluster.nodes
    gradients, trained = 4.0 * s.trained, BYTES_A_TRAINED * s.trained
    micro = math.ceil(s.micro / count)
    latency = 2 * math.log2(count) * (cluster.network_latency if nodes > 1 else cluster.latency) if count > 1 else 0.0
    reduced = 2 * (count - 1) / count * gradients
    # Between nodes a ring moves what one device moves, once for each node.
    link = cluster.inside if nodes == 1 else min(cluster.inside, cluster.between)
    yield "ddp", s.own + s.stored + trained + s.activations, reduced, _seconds(s, count, reduced / link, latency)
    if each == 1:
        return
    blocks = s.stored - s.rest
    live = s.own + BLOCKS_AT_ONCE * s.block + s.rest + trained + s.activations
    gathered = micro * 2 * blocks * (each - 1) / each
    moving = gathered / cluster.inside + reduced / link
    yield "fsdp2", live + blocks / each, gathered + reduced, _seconds(s, count, moving, latency)
    fetched = micro * 2 * blocks / each
    yield "fsdp2_offload", live, gathered + reduced + fetched, _seconds(s, count, moving + fetched / PCIE, latency)


def _seconds(s: _Sizes, count: int, moving: float, latency: float) -> float:
    """A step on so many devices: products and moving overlap, what begins and ends a layer does not."""
    dealing = DEALING if count > 1 else 1.0
    micro = math.ceil(s.micro / count)
    return (
        max(s.compute / count * dealing, moving)
        + micro * s.blocks * LAYER_SECONDS["gpu"]
        + STEP_SECONDS["gpu"]
        + latency
    )
