"""Which machine of several this is, as a launcher has written into the environment: Slurm, SkyPilot, Kubeflow.

Read with `--nodes auto` alone: of an allocation of several machines one may be used by itself.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from tunewright.config.load_config import patch
from tunewright.config.run_config import RunConfig
from tunewright.config.section import AUTO

# What `--nodes auto` finds, which may be something else at each start.
PLACE = ("launch.nodes", "launch.node_rank", "launch.main")
PORT = 29500  # torchrun's
PORTS = 1000  # jobs of Slurm that share a machine take ports of their own
FIRST_OF_LIST = re.compile(r"([^,\[]+)(?:\[(\d+))?")


def node_of(environment: Mapping[str, str] = os.environ) -> dict[str, object] | None:
    """`launch.nodes`, `launch.node_rank` and `launch.main` by the variables of a launcher; None without one.

    Slurm comes last, as SkyPilot's machines and Ray's may be those of one of its jobs.
    """
    for node in (_torchrun(environment), _skypilot(environment), _slurm(environment)):
        if node:
            count, rank, main = node
            return dict(zip(PLACE, (int(count), int(rank), main), strict=True))
    return None


def placed(run: RunConfig, environment: Mapping[str, str] = os.environ) -> RunConfig:
    """The config on this machine: `--nodes auto` as its launcher says, and a folder beside the first machine's for each other one,
    as they may share a disk.
    """
    if run.launch.nodes != AUTO:
        return run
    node = node_of(environment) or {"launch.nodes": 1}
    number = node.get("launch.node_rank")
    if number and run.run.output_dir:
        node["run.output_dir"] = f"{Path(run.run.output_dir)}-node{number}"
    return patch(run, node)


def _slurm(environment: Mapping[str, str]) -> tuple[str, str, str] | None:
    """SLURM_NODEID is set for each task of `srun`; the list of nodes is written as a[01-03],b7."""
    if "SLURM_NODEID" not in environment or "SLURM_NNODES" not in environment:
        return None
    first = FIRST_OF_LIST.match(environment.get("SLURM_JOB_NODELIST", ""))
    host = first[1] + (first[2] or "") if first else "localhost"
    port = PORT + int(environment.get("SLURM_JOB_ID", "0")) % PORTS
    return environment["SLURM_NNODES"], environment["SLURM_NODEID"], f"{host}:{port}"


def _skypilot(environment: Mapping[str, str]) -> tuple[str, str, str] | None:
    if "SKYPILOT_NODE_RANK" not in environment or "SKYPILOT_NODE_IPS" not in environment:
        return None
    hosts = environment["SKYPILOT_NODE_IPS"].split()
    return str(len(hosts)), environment["SKYPILOT_NODE_RANK"], f"{hosts[0]}:{PORT}"


def _torchrun(environment: Mapping[str, str]) -> tuple[str, str, str] | None:
    """The PET_ variables of Kubeflow's trainer, and of our starter in Ray, which are torchrun's options."""
    if "PET_NODE_RANK" not in environment or "PET_MASTER_ADDR" not in environment:
        return None
    port = environment.get("PET_MASTER_PORT", str(PORT))
    count = environment.get("PET_NNODES", "1").rpartition(":")[2]  # 2, or 2:4
    return count, environment["PET_NODE_RANK"], f"{environment['PET_MASTER_ADDR']}:{port}"
