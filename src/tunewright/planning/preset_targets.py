"""What the presets come to: for a family by the table, for a model by its tensors, with what they train."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from tunewright.config.preset_table import PRESETS, Preset, Role
from tunewright.errors import ConfigError, Problem
from tunewright.inspection.architectures import FAMILIES, Names, Roles, expert_parameters, names_of, roles_of
from tunewright.inspection.model_info import ModelInfo
from tunewright.planning.check_config import lora_parameters, no_preset


@dataclass(frozen=True)
class PresetRow:
    """One level of a family; the counts are those of a model, if one was inspected."""

    family: str
    preset: Preset
    roles: Roles
    experts: Names
    trainable_parameters: int | None = None
    num_parameters: int | None = None

    @property
    def target_modules(self) -> list[str]:
        return names_of(self.roles, self.preset.roles)

    @property
    def target_parameters(self) -> list[str]:
        """Experts are MLP layers: a level without those leaves them alone."""
        return list(self.experts) if "down" in self.preset.roles else []

    @property
    def has_variants(self) -> bool:
        """True if a role has several names, of which one model may have only some."""
        return any(len(self.roles.get(role, ())) > 1 for role in self.preset.roles)

    def played_by(self, name: str) -> list[Role]:
        """The roles of this level that a name plays."""
        return [role for role in self.preset.roles if name in self.roles.get(role, ())]

    def to_json(self) -> dict[str, object]:
        counts = {"trainable_parameters": self.trainable_parameters, "num_parameters": self.num_parameters}
        return {
            "family": self.family,
            "level": self.preset.level,
            "r": self.preset.r,
            "lora_alpha": self.preset.lora_alpha,
            "roles": {role: list(self.roles[role]) for role in self.preset.roles if role in self.roles},
            "target_modules": self.target_modules,
            "target_parameters": self.target_parameters,
            **{name: count for name, count in counts.items() if count is not None},
        }


def all_rows() -> list[PresetRow]:
    """Every level of every family that presets fit."""
    return [
        row for name, family in FAMILIES.items() if family.roles for row in _rows(name, family.roles, family.experts)
    ]


def _rows(name: str, roles: Roles, experts: Names) -> list[PresetRow]:
    return [PresetRow(name, preset, roles, experts) for preset in PRESETS.values()]


def find_row(word: str) -> PresetRow:
    """The row of FAMILY/LEVEL. Raises: ConfigError E123."""
    return row_of(word, all_rows())


def row_of(word: str, among: Sequence[PresetRow]) -> PresetRow:
    """The row of FAMILY/LEVEL among some. Raises: ConfigError E123."""
    rows = {f"{row.family}/{row.preset.level}": row for row in among}
    if word in rows:
        return rows[word]
    family, _slash, level = word.partition("/")
    families, levels = [row.family for row in rows.values()], list(PRESETS)
    near = [family] if family in families else get_close_matches(family.lower(), families, 1)
    values = {"suggestion": f"{near[0]}/{(*get_close_matches(level, levels, 1), 'medium')[0]}"} if near else {}
    raise ConfigError([Problem("E123", values={"word": word, **values})])


def rows_of(model: ModelInfo) -> list[PresetRow]:
    """Every level for a model, by the names that it really has. Raises: ConfigError E109 for a family without presets."""
    roles, is_known = roles_of(model)
    if is_known and not roles:
        raise ConfigError([no_preset("preset", model)])
    rows = _rows(model.model_type, roles, tuple(expert_parameters(model)))
    return [
        PresetRow(
            row.family,
            row.preset,
            row.roles,
            row.experts,
            lora_parameters(model, row.target_modules, row.target_parameters, row.preset.r),
            model.num_parameters,
        )
        for row in rows
    ]
