"""The files by which launchers start one command on each of several machines: Slurm's script, SkyPilot's task, Kubeflow's TrainJob.

What a person writes under `launch.job` is in the launcher's own words, and goes before what is written here.
"""

import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tunewright.config.run_config import RunConfig
from tunewright.errors import Problem, error, errors_of
from tunewright.i18n import N_
from tunewright.planning.check_config import conflict
from tunewright.security import is_control

HEAD = "# Made by tunewright train --on"
# Two minutes before the time is up all machines are asked to stop, which they do with a checkpoint.
STOP_SECONDS = 120
SBATCH_OPTION = re.compile(r"[a-z][a-z0-9-]*")
TITLE_LETTERS = 36  # Kubernetes adds to the name, and takes 63 in all
ON_THE_MACHINES = "~/tunewright"  # where SkyPilot puts what it is given
RUNTIME = "torch-distributed"  # comes with Kubeflow's trainer


@dataclass(frozen=True)
class Job:
    """What is to be started: a run by its name, the file that says so, the config as the machines see it, the words of the
    command, and the local files that the config names, by option.
    """

    name: str
    place: Path
    config: RunConfig
    words: Sequence[str]
    files: Mapping[str, Path]

    @property
    def title(self) -> str:
        """The name as SkyPilot and Kubernetes take it: letters, digits and hyphens."""
        return "tunewright-" + re.sub(r"[^a-z0-9]+", "-", self.name.lower())[-TITLE_LETTERS:].strip("-")


def slurm(job: Job) -> str:
    """The script that `sbatch` takes. Its own Python is called by its path, as machines of a cluster share their disks.

    `srun` must not end the others when one machine has ended: the first may be saving.
    Raises: ConfigError E103 for what is no option of sbatch.
    """
    options = {
        "job-name": job.title,
        "nodes": job.config.launch.nodes,
        "ntasks-per-node": 1,
        "output": str(job.place.with_suffix(".out")).replace("%", "%%"),
        "open-mode": "append",
        "signal": f"TERM@{STOP_SECONDS}",
        "requeue": True,
        **job.config.launch.job,
    }
    if problems := [_no_option(name, value) for name, value in options.items() if not _is_option(name, value)]:
        raise errors_of(problems)
    lines = [
        f"#SBATCH --{name}" if value is True else f"#SBATCH --{name}={shlex.quote(str(value))}"
        for name, value in options.items()
        if value is not None and value is not False
    ]
    cores = (
        "${SLURM_CPUS_PER_TASK:+--cpus-per-task=$SLURM_CPUS_PER_TASK}"  # which srun no longer takes over from sbatch
    )
    start = f"srun --ntasks-per-node=1 --kill-on-bad-exit=0 --label {cores} \\\n  "
    words = shlex.join([sys.executable, "-P", "-m", "tunewright", *job.words])
    return "\n".join(["#!/bin/bash", HEAD, *lines, "", start + words, ""])


def _is_option(name: str, value: object) -> bool:
    is_line = not isinstance(value, dict | list) and not any(map(is_control, str(value)))
    return bool(SBATCH_OPTION.fullmatch(name)) and is_line


def _no_option(name: str, value: object) -> Problem:
    reason = N_("must be an option of sbatch with a value of one line, as in {partition: gpu}")
    return Problem("E103", values={"key": f"launch.job.{name}", "reason": reason, "value": repr(value)})


def skypilot(job: Job) -> str:
    """The task that `sky launch` takes; local files go to the machines with it.

    Raises: ConfigError E109 where nothing says how Tunewright comes onto the machines.
    """
    user_values = job.config.launch.job
    resources = user_values.get("resources")
    if "setup" not in user_values and not (isinstance(resources, dict) and "image_id" in resources):
        reason = N_("the machines are new, and Tunewright has to come onto them")
        fix = "--set launch.job.setup='pip install ...'   # or launch.job.resources.image_id=docker:..."
        raise errors_of([conflict("--on skypilot", "launch.job", reason, fix)])
    task = {
        "name": job.title,
        "num_nodes": job.config.launch.nodes,
        "file_mounts": {carried(path, file): str(file) for path, file in job.files.items()},
        "run": shlex.join(["tunewright", *job.words]),
    }
    return _yaml(_merged({key: value for key, value in task.items() if value}, user_values))


def carried(path: str, file: Path) -> str:
    """Where a local file or folder is on SkyPilot's machines, by the option that names it."""
    return f"{ON_THE_MACHINES}/{path}/{file.name}"


def kubeflow(job: Job) -> str:
    """The TrainJob that `kubectl create` takes; model and data are in its image or volumes, by the names of the command.

    Raises: ConfigError E109 without an image, or without a folder that outlives the pods.
    """
    user_values = job.config.launch.job
    train_job: dict[str, Any] = {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": {"name": job.title},
        "spec": {
            "runtimeRef": {"name": RUNTIME},
            "trainer": {"numNodes": job.config.launch.nodes, "command": ["tunewright", *job.words]},
        },
    }
    whole = _merged(train_job, user_values)
    spec = whole["spec"]
    problems = []
    if spec["runtimeRef"] == {"name": RUNTIME} and "image" not in spec["trainer"]:
        reason = N_("an image with Tunewright in it, or a runtime of your own that has one, has to be named")
        fix = "--set launch.job.spec.trainer.image=REGISTRY/IMAGE"
        problems.append(conflict("--on k8s", "launch.job", reason, fix))
    if not job.config.run.output_dir:
        reason = N_("what a pod writes is lost with it, so the run's folder must be on a volume")
        problems.append(conflict("--on k8s", "run.output_dir", reason, "-o /VOLUME/NAME"))
    if problems:
        raise errors_of(problems)
    return _yaml(whole)


def ray(job: Job) -> str:
    """What extras/ray_starter.py takes: how many machines, what is taken of each, and the command."""
    ours = {"nodes": job.config.launch.nodes, "resources": {"CPU": 1}}
    return _yaml(
        _merged(ours, job.config.launch.job) | {"command": [sys.executable, "-P", "-m", "tunewright", *job.words]}
    )


def _merged(ours: Mapping[str, Any], theirs: Mapping[str, Any], place: str = "launch.job") -> dict[str, Any]:
    """Both mappings in one, with theirs before ours. Raises: ConfigError E103 for a value where ours is a mapping."""
    both = {**ours, **theirs}
    for key in ours.keys() & theirs.keys():
        path, value = f"{place}.{key}", theirs[key]
        if isinstance(ours[key], Mapping):
            if not isinstance(value, Mapping):
                raise error("E103", key=path, reason=N_("must be a mapping, as in {key: value}"), value=repr(value))
            both[key] = _merged(ours[key], value, path)
    return both


def _yaml(value: Mapping[str, Any]) -> str:
    return f"{HEAD}\n" + yaml.safe_dump(dict(value), sort_keys=False, allow_unicode=True, width=10_000)
