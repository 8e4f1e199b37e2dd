"""Data that ship with the package: TOML and JSON files beside this module, read by whoever needs them, when it does."""

import json
import tomllib
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


def read_toml(name: str) -> dict[str, Any]:
    """Content of a .toml file of this folder. Cost: about 0.2 ms per KiB; callers cache what they make of it."""
    return tomllib.loads((FOLDER / name).read_text(encoding="utf-8"))


def read_json(name: str) -> dict[str, object]:
    """Content of a .json file of this folder, which holds one object."""
    content: dict[str, Any] = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    return content
