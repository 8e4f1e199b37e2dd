"""`python -m tunewright.extras.ray_starter JOB`: a Ray cluster starts a job's command, once on each of several machines.

Ray finds machines and starts; the run is the command's own, with its checkpoints and its group of processes. Where a machine is
lost, the others are stopped, and the same command is started again on as many machines, once the cluster has them.
"""

import os
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from subprocess import TimeoutExpired
from types import FrameType
from typing import Any

import ray
import yaml
from ray.exceptions import RayActorError, RayError
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from tunewright.errors.exit_codes import EXIT_FAILED, EXIT_TERMINATED
from tunewright.security import spawn

MOST_LOSSES = 10  # of machines, in one job
POLL_SECONDS = 1.0
STOP_SECONDS = 120  # in which a command saves a checkpoint; then it is ended
STDOUT, STDERR = 1, 2


class Machine:
    """The command on one machine; an actor of Ray."""

    def place(self) -> str:
        """An address of this machine and a port that is free there now."""
        with socket.socket() as probe:
            probe.bind(("", 0))
            return f"{ray.util.get_node_ip_address()}:{probe.getsockname()[1]}"

    def start(self, words: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start the command; Ray shows what it says."""
        self.process = spawn(words, stdout=STDOUT, stderr=STDERR, environment=environment)

    def poll(self) -> int | None:
        """The command's exit code; None while it runs."""
        return self.process.poll()

    def stop(self) -> None:
        """Ask the command to save and end, and wait for that."""
        for _request in range(2):  # the second one ends it at once
            self.process.terminate()
            with suppress(TimeoutExpired):
                self.process.wait(STOP_SECONDS)


def start(nodes: int, resources: Mapping[str, float], words: Sequence[str]) -> int:
    """Start the command on so many machines until it has ended on all; the first one's exit code."""
    for _loss in range(MOST_LOSSES + 1):
        group = placement_group([dict(resources)] * nodes, strategy="STRICT_SPREAD")
        try:
            ray.get(group.ready())  # however long the cluster takes
            code = _once(_machines(group, resources, nodes), words)
        finally:
            remove_placement_group(group)
        if code is not None:
            return code
    return EXIT_FAILED


def _machines(group: Any, resources: Mapping[str, float], nodes: int) -> list[Any]:
    others = {name: amount for name, amount in resources.items() if name not in ("CPU", "GPU")}
    actor = ray.remote(num_cpus=resources.get("CPU", 0), num_gpus=resources.get("GPU", 0), resources=others)(Machine)
    places = [PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=number) for number in range(nodes)]
    return [actor.options(scheduling_strategy=place).remote() for place in places]


def _once(machines: Sequence[Any], words: Sequence[str]) -> int | None:
    """The first machine's exit code; None if one was lost. The variables are torchrun's, which `--nodes auto` reads."""
    try:
        address, _colon, port = ray.get(machines[0].place.remote()).rpartition(":")
        shared = {"PET_NNODES": str(len(machines)), "PET_MASTER_ADDR": address, "PET_MASTER_PORT": port}
        ray.get([
            machine.start.remote(list(words), {**shared, "PET_NODE_RANK": str(number)})
            for number, machine in enumerate(machines)
        ])  # fmt: skip
        while True:
            codes = ray.get([machine.poll.remote() for machine in machines])
            if None not in codes:
                return int(codes[0])
            time.sleep(POLL_SECONDS)
    except RayActorError:
        return None
    finally:
        for stopping in [machine.stop.remote() for machine in machines]:
            with suppress(RayError):
                ray.get(stopping)


def _on_signal(number: int, frame: FrameType | None) -> None:
    sys.exit(EXIT_TERMINATED)


def main() -> None:
    """Entry of the process: see a job through that `tunewright train --on ray` has written."""
    job = yaml.safe_load(Path(sys.argv[1]).read_text(encoding="utf-8"))
    signal.signal(signal.SIGTERM, _on_signal)
    ray.init(address=os.environ.get("RAY_ADDRESS", "auto"))
    sys.exit(start(job["nodes"], job["resources"], job["command"]))


if __name__ == "__main__":
    main()
