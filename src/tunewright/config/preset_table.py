"""Presets by how hard the task is: roles of layers, rank, alpha. No model's layer names are here.

Source: lesson 94 (S11, S22); dropout and alpha keep to its ranges (0.05 to 0.1; alpha twice the rank).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tunewright.i18n import N_

Level = Literal["simple", "medium", "complex"]
Role = Literal["q", "k", "v", "o", "gate", "up", "down"]

ROLES: Mapping[Role, str] = {
    "q": N_("query"),
    "k": N_("key"),
    "v": N_("value"),
    "o": N_("attention output"),
    "gate": N_("MLP gate"),
    "up": N_("MLP up"),
    "down": N_("MLP down"),
}


@dataclass(frozen=True)
class Preset:
    """What one level means, in roles of layers."""

    level: Level
    roles: tuple[Role, ...]
    r: int
    lora_alpha: int
    meaning: str


PRESETS: dict[Level, Preset] = {
    "simple": Preset("simple", ("q", "v"), 8, 16, N_("style, format, a few categories: query and value layers")),
    "medium": Preset("medium", ("q", "k", "v", "o"), 16, 32, N_("the usual choice: all attention layers")),
    "complex": Preset(
        "complex",
        ("q", "k", "v", "o", "gate", "up", "down"),
        32,
        64,
        N_("new skills or knowledge: all linear layers of attention and MLP"),
    ),
}
