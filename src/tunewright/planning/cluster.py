"""Several devices that are not here: `plan --device "8x h100-80"`, `plan --device "2x8 h100-80 100G"`.

What links move is a usual share of what their makers say, none of it measured: NVLink of A100 and H100, PCIe 4 elsewhere, and
between nodes what networks of these speeds reach. What `tunewright doctor --link` has measured between such devices comes first.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tunewright.inspection.machine_info import LinkSpeed

OF_ANY_CARD = {"nvidia", "tesla", "geforce"}  # a driver calls an "NVIDIA T4" a "Tesla T4"
NVLINK_CARDS = ("a100", "h100")
NVLINK, PCIE = 300e9, 20e9  # bytes a second and device
# Bytes a second and node, by the gigabits a second of its network.
NETWORKS: Mapping[int, float] = {400: 40e9, 200: 20e9, 100: 10e9, 50: 5e9, 25: 2.5e9, 10: 1.1e9, 1: 0.11e9}
USUAL_NETWORK = 100
LATENCY, NETWORK_LATENCY = 20e-6, 100e-6  # seconds of a message inside a node, and between nodes
NAME = re.compile(
    r"(?:(?P<nodes>\d{1,4})\s*x\s*(?P<each>\d{1,3})|(?P<only>\d{1,3})\s*x)\s+(?P<device>.+?)(?:\s+(?P<net>\d+)G)?"
)


@dataclass(frozen=True)
class Cluster:
    """`nodes` machines with `per_node` devices each; what moves between these, in bytes a second, and the seconds of a message.
    `measured` are those of the links, "inside" and "between" nodes, that are not usual figures."""

    nodes: int
    per_node: int
    device: str
    inside: float
    between: float
    network: int
    latency: float = LATENCY
    network_latency: float = NETWORK_LATENCY
    measured: tuple[str, ...] = ()

    @property
    def devices(self) -> int:
        return self.nodes * self.per_node

    @property
    def name(self) -> str:
        several = f"{self.nodes} x {self.per_node}" if self.nodes > 1 else str(self.per_node)
        return f"{several} x {self.device}" + (f", {self.network}G" if self.nodes > 1 else "")


def cluster_of(name: str) -> Cluster | None:
    """The devices that are meant; None for a name of one device, or for numbers that none can be."""
    match = NAME.fullmatch(name.strip())
    if match is None:
        return None
    nodes, each = int(match["nodes"] or 1), int(match["each"] or match["only"])
    network = int(match["net"] or USUAL_NETWORK)
    if not nodes or not each or network not in NETWORKS:
        return None
    device = match["device"].strip()
    inside = NVLINK if device.lower().startswith(NVLINK_CARDS) else PCIE
    return Cluster(nodes, each, device, inside, NETWORKS[network], network)


def with_measured(cluster: Cluster, links: Sequence[LinkSpeed], device_name: str) -> Cluster:
    """A cluster whose links are as they were measured between devices of this name: an "NVIDIA A100-SXM4-80GB" is an
    "NVIDIA A100 80GB"."""
    for link in links:
        if not _words(device_name) <= _words(link.device_name):
            continue
        speed, message = link.bytes_per_second, link.latency_seconds
        if link.is_between_machines:
            cluster = replace(cluster, between=speed, network_latency=message, measured=(*cluster.measured, "between"))
        else:
            cluster = replace(cluster, inside=speed, latency=message, measured=(*cluster.measured, "inside"))
    return cluster


def _words(name: str) -> set[str]:
    return set(re.split(r"[^a-z0-9]+", name.lower())) - OF_ANY_CARD
