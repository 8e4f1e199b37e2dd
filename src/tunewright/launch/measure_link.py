"""The link between two processes of this machine, or between machines, measured once and kept for plans."""

import json
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tunewright.errors import Problem, error, errors_of, system_faults
from tunewright.i18n import N_, _
from tunewright.inspection.machine_info import LinkSpeed, link_path, num_cpus, read_machine
from tunewright.inspection.visible_device import visible_device
from tunewright.launch.inspect_inputs import ensure_probe
from tunewright.launch.worker_group import meeting
from tunewright.reporting import Reporter
from tunewright.rundir import atomic_io, rank_files
from tunewright.security import cache_faults, command, seal_object, spawn

PROCESSES_HERE = 2
MEETING_SECONDS = 300  # in which the other machine has to come
MEASURED_WITHIN = 60


@system_faults()
def measure_link(nodes: int, node_rank: int, main: str, *, reporter: Reporter) -> LinkSpeed:
    """Measure the link between two processes here, or with several `nodes` between them, where each runs this: they meet at
    `main`, HOST:PORT of the first. Two GPUs were not tried.

    Raises: TrainingError E527 if the others do not come, E528 if there is one GPU alone; E517.
    """
    ensure_probe(reporter)
    machine = read_machine(Path.cwd())
    is_on_cpu = machine.probe is None or machine.probe.device == "cpu"
    here = 1 if nodes > 1 else PROCESSES_HERE
    if not is_on_cpu and machine.num_devices < here:
        raise error("E528")
    reporter.note(_("Waiting for the other machine") if nodes > 1 else _("Measuring the link between two processes"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        place, answer_file = main if nodes > 1 else str(folder / "meeting"), folder / "answer.json"
        processes = _start(folder, answer_file, nodes * here, node_rank * here, here, place)
        try:
            _wait(processes)
        except subprocess.TimeoutExpired as fault:
            reason = N_("the measurement did not end")
            raise error("E527", main=place, seconds=MEETING_SECONDS + MEASURED_WITHIN, reason=reason) from fault
        if not answer_file.is_file():
            raise error("E802", reason=N_("a process that measured the link ended without a word"))
        answer = json.loads(answer_file.read_text())
    if "link" not in answer:
        raise errors_of([Problem.from_record(record) for record in answer["problems"]])
    link = LinkSpeed.model_validate(answer["link"])
    path = link_path(is_between_machines=link.is_between_machines)
    with cache_faults():
        atomic_io.write_cached(path, seal_object(path, link.model_dump(mode="json")))
    return link


def _start(folder: Path, answer_file: Path, world: int, first: int, here: int, place: str) -> Sequence[Any]:
    """So many processes `here` of `world`, of which the first here writes `answer_file`."""
    shared = meeting(world, first, place, MEETING_SECONDS) | {"OMP_NUM_THREADS": str(max(1, num_cpus() // here))}
    return [
        spawn(
            command("tunewright.engine.system.link_probe", str(answer_file)),
            environment=shared
            | visible_device(number)
            | {
                rank_files.RANK: str(first + number),
                rank_files.LOCAL_RANK: str(number),
                rank_files.STATE: str(folder / f"{number}.json"),
            },
        )
        for number in range(here)
    ]


def _wait(processes: Sequence[Any]) -> None:
    """Until all have ended. Raises: TimeoutExpired where one does not; then none is left."""
    deadline = time.monotonic() + MEETING_SECONDS + MEASURED_WITHIN
    try:
        for process in processes:
            process.wait(max(0.0, deadline - time.monotonic()))
    finally:
        for process in processes:
            process.kill()
            process.wait()
