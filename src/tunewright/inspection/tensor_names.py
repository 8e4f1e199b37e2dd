"""Names of tensors as a sentence lists them."""

from collections.abc import Sequence

NAMED = 4


def listed(names: Sequence[str]) -> str:
    """The first of the names, and dots for the others."""
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")


def natural(name: str) -> list[tuple[bool, int, str]]:
    """Order in which block 10 comes after block 9."""
    parts = name.split(".")
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]
