"""Whether this machine can do the work: the oldest versions that work and are safe, and what is below them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from tunewright.errors import Problem
from tunewright.inspection.machine_info import MachineInfo
from tunewright.inspection.system_check import SystemFinding

FLOORS: Mapping[str, str] = {
    "torch": "2.10",
    "transformers": "5.3",
    "datasets": "5.2",
    "jinja2": "3.1.6",
}


def too_old(floors: Mapping[str, str] = FLOORS) -> list[Problem]:
    """E801 for each package below its floor, E803 for each that is missing."""
    return list(_problems(floors))


def _problems(floors: Mapping[str, str]) -> Iterator[Problem]:
    for package, wanted in floors.items():
        try:
            installed = version(package)
        except PackageNotFoundError:
            yield Problem("E803", values={"package": package, "wanted": wanted})
            continue
        if _numbers(installed) < _numbers(wanted):
            yield Problem("E801", values={"package": package, "found": installed, "wanted": wanted})


def _numbers(text: str) -> tuple[int, ...]:
    """The release of a version, without its suffix: 2.13.0+cpu is (2, 13, 0)."""
    release = re.match(r"\d+(\.\d+)*", text)
    return tuple(int(part) for part in release[0].split(".")) if release else ()


@dataclass(frozen=True)
class Requirement:
    """This machine as a run would find it: facts, versions, built-in models that are here, what all that means, what is wrong."""

    machine: MachineInfo
    versions: Mapping[str, str]
    models: Mapping[str, bool]
    problems: tuple[Problem, ...]
    meanings: tuple[SystemFinding, ...] = ()

    def to_json(self) -> dict[str, object]:
        return {
            "schema": 1,
            "machine": self.machine.model_dump(mode="json"),
            "versions": dict(self.versions),
            "models": dict(self.models),
            "meanings": [meaning.to_json() for meaning in self.meanings],
            "problems": [problem.to_json() for problem in self.problems],
        }
