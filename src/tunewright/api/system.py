"""This machine: versions, hardware, what is missing."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

from tunewright.inspection import machine_info
from tunewright.inspection.builtin_models import BUNDLED
from tunewright.inspection.machine_info import LinkSpeed
from tunewright.inspection.requirements import Requirement, too_old
from tunewright.inspection.system_check import meanings
from tunewright.launch import builtin_folders, inspect_inputs
from tunewright.launch import devices as placing
from tunewright.launch.builtin_folders import BuiltinModelStatus
from tunewright.launch.devices import Device
from tunewright.launch.measure_link import measure_link
from tunewright.launch.resolve_model import hub_answers
from tunewright.reporting import SILENT, Reporter
from tunewright.rundir import file_names
from tunewright.security import home, printable, redact


def doctor(*, online: bool = False, measures: bool = True, reporter: Reporter = SILENT) -> Requirement:
    """What this machine offers; with `measures` its speed is measured if that was never done, with `online` the Hub is asked."""
    problems = too_old()
    if measures and not any(problem.code == "E803" for problem in problems):
        inspect_inputs.ensure_probe(reporter)
    models = {name: any((home() / "models").glob(f"{name}-*")) for name in BUNDLED}
    machine = machine_info.read_machine(Path.cwd())
    versions = machine_info.versions()
    consequences = meanings(machine, versions, hub_answers() if online else None)
    return Requirement(machine, versions, models, tuple(problems), tuple(consequences))


def link(nodes: int = 1, node_rank: int = 0, main: str = "", *, reporter: Reporter = SILENT) -> LinkSpeed:
    """The link between two processes of this machine, or between `nodes`, of which each calls this: measured, and kept for plans.

    `main` is HOST:PORT of the first machine. Two GPUs were not tried.
    Raises: TrainingError E527 if another machine does not come, E528 where there is one GPU alone; E517.
    """
    return measure_link(nodes, node_rank, main, reporter=reporter)


def devices_named(text: str) -> list[Device]:
    """The devices of `--devices`: `all`, or numbers with commas between them, of GPUs or, without any, of cores.

    Raises: ConfigError E133.
    """
    inspect_inputs.ensure_probe(SILENT)
    machine = machine_info.read_machine(Path.cwd())
    is_on_cpu = machine.probe is None or machine.probe.device == "cpu"
    return placing.named(text, is_on_cpu=is_on_cpu, num_gpus=machine.num_devices)


class Environment(TypedDict):
    """What a bug report needs."""

    schema: int
    versions: Mapping[str, str]
    machine: Mapping[str, object]
    """A `MachineInfo` as JSON."""


def environment() -> Environment:
    """Versions and machine, for a bug report."""
    machine = machine_info.read_machine(Path.cwd())
    return {
        "schema": file_names.SCHEMA,
        "versions": machine_info.versions(),
        "machine": machine.model_dump(mode="json"),
    }


def bug_report() -> str:
    """The same as a text to paste: nothing of rows, no path, no key."""
    machine = machine_info.read_machine(Path.cwd())
    fields = machine.model_dump(mode="json", exclude={"probe", "links"})
    lines = [f"{name} {value}" for name, value in (*machine_info.versions().items(), *fields.items())]
    if probe := machine.probe:
        lines.append(f"device {probe.device} {probe.device_name} {probe.flops}")
    return printable(redact("\n".join(lines))) + "\n"


def builtin_models() -> dict[str, BuiltinModelStatus]:
    """The built-in models by name: what fetching each would send, and what it takes here."""
    return {status.model.name: status for status in builtin_folders.statuses()}


def remove_model(name: str) -> int:
    """Remove a built-in model from this machine; the bytes that are free now.

    Raises: ModelError E302; TrainingError E505 while a run on it is live, E517.
    """
    return builtin_folders.remove(name)
