"""An environment of its own that sees the packages of this one without being able to change them."""

import subprocess
import sys
import sysconfig
import venv
from collections.abc import Sequence
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src"
PYTHON = Path("bin") / "python"
# An import hook as a line of a .pth file: a sitecustomize.py may stand in the way of ours.
REFUSAL = "the clean environment refuses to import"
REFUSING = f'''"""Refuses one package, wherever it may lie."""

import sys


class Refuse:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] == "{{package}}":
            raise ImportError(f"{REFUSAL} {{{{name}}}}")


sys.meta_path.insert(0, Refuse)
'''


def make(folder: Path, *, packages: Sequence[str] = (), refused: str = "") -> Path:
    """The python of a new environment with more packages, and with one that cannot be imported."""
    venv.create(folder, with_pip=bool(packages), symlinks=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = folder / "lib" / version / "site-packages"
    (site / "shared.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    if refused:
        (site / "refusing.py").write_text(REFUSING.format(package=refused))
        (site / "refusing.pth").write_text("import refusing\n")
    python = folder / PYTHON
    if packages:
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", *packages]
        subprocess.run(pip, check=True)
    return python
