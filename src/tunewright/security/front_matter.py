"""The metadata block on top of a stranger's README.md: plain values, and nothing from a file that does not hold."""

from pathlib import Path

import yaml

from tunewright.security.yaml_scan import has_alias

_MAX_BYTES = 64 * 2**10  # real ones have a few; PyYAML reads a megabyte in seconds
_FENCE = "---"


def front_matter(path: Path) -> dict[str, object]:
    """The block's values; empty where there is none, or none that can be read. It is an extra that no run depends on."""
    if not path.is_file():  # a pipe would never end
        return {}
    try:
        with path.open("rb") as file:
            lines = file.read(_MAX_BYTES).decode("utf-8-sig", errors="ignore").splitlines()
        if not lines or lines[0].rstrip() != _FENCE:
            return {}
        end = next(number for number, line in enumerate(lines[1:], 1) if line.rstrip() == _FENCE)
        block = "\n".join(lines[1:end])
        if has_alias(block):
            return {}
        values = yaml.safe_load(block)
    except (OSError, StopIteration, yaml.YAMLError, ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}
