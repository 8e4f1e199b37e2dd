"""The schema for others: JSON Schema for editors and forms, rows for the reference, the file that `init` writes.

The only text about an option is its `Field(description=...)`; everything here is made of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from tunewright.config.preset_table import PRESETS, Level
from tunewright.config.run_config import DataSource, RunConfig
from tunewright.config.schema_keys import SECTIONS, fields, options, upstream
from tunewright.config.section import MOST
from tunewright.config.written_config import as_value
from tunewright.i18n import N_, _, language, width

# JSON Schema's words for limits that pydantic leaves under its own where a validator precedes the type
_LIMITS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
_SIGNS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
_KINDS = {"integer": N_("whole number"), "number": N_("number"), "string": N_("text")}
_KINDS |= {"array": N_("list"), "object": N_("mapping")}


@dataclass(frozen=True)
class OptionRow:
    """One own option, as the reference shows it; `choices` are all words that it may be, if it may be nothing else."""

    path: str
    type: str
    default: str
    description: str
    choices: tuple[str, ...] = ()


def json_schema() -> dict[str, object]:
    """JSON Schema of a config file, with descriptions in this process's language.

    Upstream's names are among the properties of `train` and `peft`, without a type: upstream checks their values.
    """
    schema = RunConfig.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    for section, models in SECTIONS.items():
        definition = schema["$defs"][models[0].__name__]
        handed_on = {"description": _("Passed on to transformers or peft unchanged.")}
        definition["properties"] = _own_properties(schema, section) | {
            name: dict(handed_on) for name in sorted(upstream(section))
        }
        definition["description"] = schema["properties"][section]["description"]
        for other in models[1:]:
            del schema["$defs"][other.__name__]
    source = schema["$defs"][DataSource.__name__]
    source["description"] = _("One source of training rows, and how many of its rows are taken.")
    # One mapping with the fields of all methods: which of them go together is checked when the file is read.
    schema["properties"]["peft"] = {"$ref": f"#/$defs/{SECTIONS['peft'][0].__name__}"}
    for section, short in (("model", "name"), ("data", "train")):
        reference = {"$ref": schema["properties"][section]["$ref"]}
        text = {"type": "string", "description": fields(section)[short].description}
        schema["properties"][section] = {
            "anyOf": [text, reference],
            "description": schema["properties"][section]["description"],
        }
    cleaned: dict[str, object] = _clean(schema)
    return cleaned | {"title": "Tunewright", "description": _("What Tunewright is asked to do.")}


def option_rows() -> list[OptionRow]:
    """Every own option in the order of the file; type, default and description in this process's language."""
    return list(_rows(language()))


@cache
def _rows(_language: str) -> tuple[OptionRow, ...]:
    schema = RunConfig.model_json_schema()
    rows = []
    for path, field in options():
        section, _dot, key = path.partition(".")
        properties = _own_properties(schema, section) if key else schema["properties"]
        default = _("required") if field.is_required() else as_value(field.get_default(call_default_factory=True))
        cleaned = _clean(properties[key or section])
        about = _(field.description or "")
        rows.append(OptionRow(path, _type(cleaned), default, about, _choices(cleaned) or ()))
    return tuple(rows)


def _own_properties(schema: dict[str, Any], section: str) -> dict[str, object]:
    """The own options of a section as pydantic describes them, over all its models."""
    properties: dict[str, object] = {}
    for model in SECTIONS[section]:
        properties = schema["$defs"][model.__name__]["properties"] | properties
    return {name: properties[name] for name in fields(section)}


def template(model: str, data: str, level: Level, values: Mapping[str, object] | None = None) -> str:
    """The commented config that `tunewright init` writes: what most people change, each line with its meaning.

    `values` are further ones by their paths. What the preset decides is a comment, so that another preset, or
    `--preset`, decides it again.
    """
    preset = PRESETS[level]
    rows: list[tuple[str, str, str]] = [
        ("model", as_value(model), "model.name"),
        ("data", "", ""),
        ("  train", as_value(data), "data.train"),
        ("  holdout", "auto", "data.holdout"),
        ("method", "lora", "method"),
        ("preset", level, "preset"),
        ("# peft", "", ""),
        ("#   r", str(preset.r), "peft.r"),
        ("#   lora_alpha", str(preset.lora_alpha), "peft.lora_alpha"),
        ("train", "", ""),
        ("  num_train_epochs", "auto", "train.num_train_epochs"),
        ("  learning_rate", "auto", "train.learning_rate"),
    ]
    for path, value in (values or {}).items():
        rows = _with_value(rows, path, value)
    lines = [(f"{key}: {value}".rstrip(), path) for key, value, path in rows]
    column = min(40, max(width(line) for line, path in lines if path)) + 2
    meanings = {path: _(field.description or "") for path, field in (*options(), *_sections())}
    head = _("every key: `tunewright explain KEY`; check: `tunewright config validate FILE`; `auto`: the plan decides")
    text = [f"# {head}"]
    text += [
        f"{line}{' ' * max(2, column - width(line))}# {meanings.get(path, path)}" if path else line
        for line, path in lines
    ]
    return "\n".join(text) + "\n"


def _with_value(rows: Sequence[tuple[str, str, str]], path: str, value: Any) -> list[tuple[str, str, str]]:
    """The lines with one more value, in its section, which is begun if it is not there; one that is there is changed."""
    section, _dot, key = path.partition(".")
    name, *inner = key.split(".")
    for part in reversed(inner):
        value = {part: value}
    line = (f"  {name}" if key else section, as_value(value), path)
    if path in (row[2] for row in rows if not row[0].startswith("#")):
        return [(row[0], line[1], path) if row[2] == path else row for row in rows]
    if not key:
        return [*rows[:1], line, *rows[1:]]
    heads = [index for index, row in enumerate(rows) if row[0] == section]
    if not heads:
        return [*rows, (section, "", ""), line]
    (head,) = heads
    opening = [(section, "", ""), ("  name", *rows[head][1:])] if rows[head][1] else [rows[head]]
    end = head + 1
    while end < len(rows) and rows[end][0].startswith("  "):
        end += 1
    return [*rows[:head], *opening, *rows[head + 1 : end], line, *rows[end:]]


def _sections() -> list[tuple[str, Any]]:
    return [(name, RunConfig.model_fields[name]) for name in SECTIONS]


def _clean(node: Any) -> Any:
    """Without pydantic's titles, with standard words for limits and translated descriptions."""
    if isinstance(node, list):
        return [_clean(item) for item in node]
    if not isinstance(node, dict):
        return node
    cleaned = {}
    for key, value in node.items():
        if key == "title" and isinstance(value, str):
            continue
        if key == "description" and isinstance(value, str):
            cleaned[key] = _(value)
        elif key in ("default", "enum", "const"):
            cleaned[key] = value
        else:
            cleaned[_LIMITS.get(key, key)] = _clean(value)
    return cleaned


def _choices(schema: dict[str, Any]) -> tuple[str, ...] | None:
    """The words that a value may be; None where it may be something else."""
    if "anyOf" in schema:
        branches = [_choices(branch) for branch in schema["anyOf"]]
        return None if None in branches else tuple(word for branch in branches for word in branch or ())
    if "const" in schema:
        return (str(schema["const"]),)
    if "enum" in schema:
        return tuple(schema["enum"])
    return ("true", "false") if schema.get("type") == "boolean" else None


def _type(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " | ".join(_type(branch) for branch in schema["anyOf"])
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return " | ".join(schema["enum"])
    if schema["type"] == "boolean":
        return "true | false"
    if schema["type"] == "null":
        return "null"
    values = {name: schema[name] for name in _SIGNS if schema.get(name, MOST) != MOST}  # which all counts have
    limits = [f"{_SIGNS[name]} {value if isinstance(value, int) else f'{value:g}'}" for name, value in values.items()]
    kind = _KINDS[schema["type"]]
    return " ".join([_(kind), ", ".join(limits)]).strip()
