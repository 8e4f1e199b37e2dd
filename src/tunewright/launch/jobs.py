"""Jobs: a launcher's file that starts the same command on each of several machines, written, and handed to the launcher's tool.

The run's folder is not made here but by the first machine when the job starts, as a plan is made of what that machine has. So
the file lies in runs/, with the name of the run that it will start.
"""

import json
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from tunewright.config import load_config
from tunewright.config.dotted_paths import options_of, value_at
from tunewright.config.load_config import DEFAULT, LoadedConfig
from tunewright.config.run_config import RunConfig
from tunewright.config.section import AUTO
from tunewright.config.validation_problems import one_of
from tunewright.errors import ConfigError, error, errors_of, system_faults
from tunewright.i18n import N_, Phrase
from tunewright.launch import job_files
from tunewright.launch.inspect_inputs import inspect
from tunewright.launch.job_files import Job
from tunewright.launch.resolve_model import fetch_weights
from tunewright.launch.start_run import default_name, files_of, with_absolute_paths, with_files
from tunewright.planning.check_config import conflict
from tunewright.reporting import Reporter
from tunewright.rundir import atomic_io, output_targets, run_dir
from tunewright.security import command, spawn

# What the command says in words of its own, and what concerns the job alone.
NAMED = ("model.name", "data.train", "run.output_dir", "launch.nodes", "launch.job")
BY_LAUNCHER = ("launch.node_rank", "launch.main")
STDIN, STDERR = 0, 2


@dataclass(frozen=True)
class Launcher:
    """What starts jobs: how its files end and are written, the command that takes one, and where its machines have model and
    data from: the disk that they share with this one, copies of what is here, or a place of their own. `package` is one that
    the command needs here.
    """

    ending: str
    text: Callable[[Job], str]
    submit: tuple[str, ...]
    files: Literal["shared", "copied", "own"]
    package: str = ""


@dataclass(frozen=True)
class WrittenJob:
    """A job's file, its text, the command that submits it, the run's folder as its machines see it, and whether that is one of
    this machine, too.
    """

    path: Path
    text: str
    submit: tuple[str, ...]
    output: str
    is_shared: bool
    package: str


LAUNCHERS: Mapping[str, Launcher] = {
    "slurm": Launcher(".sbatch", job_files.slurm, ("sbatch",), "shared"),
    "skypilot": Launcher(".sky.yaml", job_files.skypilot, ("sky", "launch"), "copied"),
    "k8s": Launcher(".k8s.yaml", job_files.kubeflow, ("kubectl", "create", "-f"), "own"),
    "ray": Launcher(".ray.yaml", job_files.ray, tuple(command("tunewright.extras.ray_starter")), "shared", "ray"),
}


@system_faults()
def write(loaded: LoadedConfig, on: str, *, force: bool, reporter: Reporter) -> WrittenJob:
    """Write the job that trains a config on `launch.nodes` machines, with `force` even if its plan does not fit them.

    Model and data that are here are looked at before, so that their errors come now and not when the job's turn has come; what
    machines that share this one's disks would have to download is downloaded here, as they often have no network.
    Raises: ConfigError E103, E109, E115, E133; every error of model and data.
    """
    launcher = _launcher(loaded, on)
    run, root = loaded.run, run_dir.runs_root()
    output_targets.output_folder(root, is_new=False)
    place = run.run.output_dir
    folder = Path(place) if place else run_dir.new_folder(run.run.name or default_name(run), Path(root.name))
    path = root / f"{folder.name}{launcher.ending}"
    files = {option: file.resolve() for option, file in files_of(run).items()}
    there = _as_seen_there(loaded, launcher, folder, files)
    words = (*_words(there, loaded), *(["--force"] if force else []))
    job = Job(folder.name, path, there, words, files)
    text = launcher.text(job)
    if launcher.files != "own":
        inspect(run, reporter=reporter, is_measured=False)
    if launcher.files == "shared":
        fetch_weights(run.model.name, run.model.revision, offline=run.run.offline, reporter=reporter)
    atomic_io.make_folder(root)
    atomic_io.write_text(output_targets.output_file(path, is_ours=_is_job), text)
    output, is_shared = str(there.run.output_dir), launcher.files == "shared"
    return WrittenJob(path, text, (*launcher.submit, str(path)), output, is_shared, launcher.package)


@system_faults()
def submit(job: WrittenJob) -> None:
    """Hand a job to its launcher's tool and wait for that; it may ask, and what it says goes to the terminal.

    Raises: TrainingError E531 where the tool is not there, E532 where it ends with an error; ExportError E601 without its package.
    """
    if job.package and find_spec(job.package) is None:
        raise error("E601", what=f"--on {job.package}", extra=job.package)
    tool, *arguments = job.submit
    values = {"tool": Path(tool).name, "path": str(job.path), "command": shlex.join(job.submit)}
    program = shutil.which(tool)
    if program is None:
        raise error("E531", **values)
    process = spawn([program, *arguments], stdin=STDIN, stdout=STDERR, stderr=STDERR)
    try:
        code = process.wait()
    except KeyboardInterrupt:
        code = process.wait()  # it was told, too, and may have something to end
    if code:
        raise error("E532", code=code, **values)


def _launcher(loaded: LoadedConfig, on: str) -> Launcher:
    """Raises: ConfigError E133 for an unknown name, E109 for a config that does not suit a job."""
    if on not in LAUNCHERS:
        raise error("E133", name="--on", reason=one_of(LAUNCHERS), value=on)
    problems = [
        conflict(
            f"--on {on}", path, N_("a launcher tells each machine itself"), Phrase(N_("leave out {name}"), name=path)
        )
        for path in BY_LAUNCHER
        if loaded.origins[path] != DEFAULT
    ]
    if loaded.run.launch.nodes == AUTO or loaded.origins["launch.nodes"] == DEFAULT:
        reason = N_("a job has to say how many machines it wants")
        problems.append(conflict(f"--on {on}", f"launch.nodes={loaded.run.launch.nodes}", reason, "--nodes 2"))
    if problems:
        raise errors_of(problems)
    return LAUNCHERS[on]


def _is_job(path: Path) -> bool:
    """Whether a file is one that was written here, so that it may be written anew."""
    return job_files.HEAD in path.read_text(encoding="utf-8", errors="replace")


def _as_seen_there(loaded: LoadedConfig, launcher: Launcher, folder: Path, files: Mapping[str, Path]) -> RunConfig:
    """The config with the paths of a launcher's machines, and the run's folder."""
    run = loaded.run
    if launcher.files == "shared":
        changes: dict[str, object] = {"run.output_dir": str(folder.expanduser().resolve())}
        if loaded.origins["run.offline"] == DEFAULT:
            changes["run.offline"] = True
        return load_config.patch(with_absolute_paths(run), changes)
    if launcher.files == "copied":
        is_whole = folder.is_absolute() or folder.parts[0] == "~"
        carried = {path: job_files.carried(path, file) for path, file in files.items()}
        output = {"run.output_dir": str(folder if is_whole else Path("~") / folder)}
        return load_config.patch(with_files(run, carried), output)
    return run


def _words(there: RunConfig, loaded: LoadedConfig) -> Iterator[str]:
    """The command of each machine: with every value that is not the default, and all that only the machine knows left to it."""
    yield from ("train", _operand(there.model.name))
    if there.data.has_only_paths:
        yield from map(_operand, there.data.paths)
    else:
        yield from ("--set", _typed("data.train", value_at(there, "data.train")))
    here = dict(options_of(loaded.run))
    for path, value in options_of(there):
        if path not in NAMED and (loaded.origins.get(path, DEFAULT) != DEFAULT or value != here[path]):
            yield from ("--set", _typed(path, value))
    yield from ("--nodes", "auto", "-o", str(there.run.output_dir))


def _operand(word: str) -> str:
    return f"./{word}" if word.startswith("-") else word


def _typed(path: str, value: object) -> str:
    """PATH=VALUE as `--set` reads it back: text as it is where that is read as the same text, else JSON."""
    if isinstance(value, str):
        with suppress(ConfigError):
            if load_config.parse_set(f"{path}={value}") == (path, value):
                return f"{path}={value}"
    return f"{path}={json.dumps(value, ensure_ascii=False)}"
