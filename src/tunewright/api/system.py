"""This machine: versions, hardware, what is missing."""

from pathlib import Path
from typing import Any

from tunewright.inspection import machine_info
from tunewright.inspection.builtin_models import BUNDLED, Wheel
from tunewright.inspection.machine_info import LinkSpeed
from tunewright.inspection.requirements import Requirement, too_old
from tunewright.inspection.system_check import meanings
from tunewright.launch import devices as placing
from tunewright.launch import inspect_inputs
from tunewright.launch.devices import Device
from tunewright.launch.measure_link import measure_link
from tunewright.launch.resolve_model import hub_answers
from tunewright.reporting import SILENT, Reporter
from tunewright.rundir import file_names
from tunewright.security import home


def doctor(*, online: bool = False, reporter: Reporter = SILENT) -> Requirement:
    """What this machine offers; its speed is measured if that was never done. The Hub is asked only with `online`."""
    problems = too_old()
    if not any(problem.code == "E803" for problem in problems):
        inspect_inputs.ensure_probe(reporter)
    models = {name: any((home() / "models").glob(f"{name}-*")) for name in BUNDLED}
    machine = machine_info.read_machine(Path.cwd())
    versions = machine_info.versions()
    consequences = meanings(machine, versions, hub_answers() if online else None)
    return Requirement(machine, versions, models, tuple(problems), tuple(consequences))


def builtin_models() -> dict[str, dict[str, object]]:
    """The models that come with Tunewright, by name: `title`, whether it `is_here`, `num_bytes` of its download, `licence`."""
    models = {}
    for name, model in BUNDLED.items():
        wheel = model.source if isinstance(model.source, Wheel) else BUNDLED[model.source].source
        assert isinstance(wheel, Wheel)
        models[name] = {
            "title": model.title,
            "is_here": any((home() / "models").glob(f"{name}-*")),
            "num_bytes": wheel.num_bytes,
            "licence": model.licence,
        }
    return models


def link(nodes: int = 1, node_rank: int = 0, main: str = "", *, reporter: Reporter = SILENT) -> LinkSpeed:
    """The link between two processes of this machine, or between `nodes`, of which each calls this: measured, and kept for plans.

    `main` is HOST:PORT of the first machine. Two GPUs were not tried.
    Raises: TrainingError E527 if another machine does not come, E528 where there is one GPU alone; E517.
    """
    return measure_link(nodes, node_rank, main, reporter=reporter)


def devices_named(text: str) -> list[Device]:
    """The devices of `--devices`: `all`, or numbers with commas between them, of GPUs or, without any, of cores.

    Raises: ConfigError E103.
    """
    inspect_inputs.ensure_probe(SILENT)
    machine = machine_info.read_machine(Path.cwd())
    is_on_cpu = machine.probe is None or machine.probe.device == "cpu"
    return placing.named(text, is_on_cpu=is_on_cpu, num_gpus=machine.num_devices)


def environment() -> dict[str, Any]:
    """Versions and machine, for a bug report."""
    machine = machine_info.read_machine(Path.cwd())
    return {
        "schema": file_names.SCHEMA,
        "versions": machine_info.versions(),
        "machine": machine.model_dump(mode="json"),
    }
