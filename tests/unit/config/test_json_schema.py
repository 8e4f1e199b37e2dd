"""What others are told of the schema: JSON Schema, the rows of the reference, the file that `init` writes."""

from pathlib import Path
from typing import Any

import pytest

from tunewright.config.deprecated_keys import TOP, deprecated_keys
from tunewright.config.json_schema import json_schema, option_rows, template
from tunewright.config.load_config import load
from tunewright.config.preset_table import PRESETS, Level
from tunewright.config.run_config import RunConfig
from tunewright.config.schema_keys import SECTIONS, fields, old_name, options, upstream
from tunewright.config.upstream import training_arguments


def words(node: Any) -> set[str]:
    """Every keyword of a schema, names of properties left out."""
    if isinstance(node, list):
        return set().union(*map(words, node)) if node else set()
    if not isinstance(node, dict):
        return set()
    keys = set(node)
    for key, value in node.items():
        inner = list(value.values()) if key in ("properties", "$defs") else value
        keys |= words(inner) if key not in ("default", "enum", "const") else set()
    return keys


def test_the_json_schema_speaks_standard_words_only() -> None:
    assert words(json_schema()) <= {
        *("$schema", "$defs", "$ref", "title", "description", "type", "properties", "required", "additionalProperties"),
        *("default", "enum", "const", "anyOf", "items", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
        *("minLength", "maxLength", "minItems", "pattern", "propertyNames"),
    }


def test_the_json_schema_knows_upstream_names_and_nothing_internal() -> None:
    definitions = json_schema()["$defs"]
    train, peft = definitions["TrainConfig"], definitions["Lora"]
    assert {"learning_rate", "neftune_noise_alpha"} <= train["properties"].keys()
    assert {"r", "use_rslora"} <= peft["properties"].keys()
    assert not {"extra", "bf16", "gradient_checkpointing"} & train["properties"].keys()
    assert not {"extra", "method", "megatron_core"} & peft["properties"].keys()
    assert train["additionalProperties"] is peft["additionalProperties"] is False


def test_every_option_has_a_row_with_type_and_meaning() -> None:
    rows = option_rows()
    assert [row.path for row in rows] == [path for path, _field in options()]
    assert all(row.type and row.default and row.description.endswith(".") for row in rows)
    by_path = {row.path: row for row in rows}
    assert (by_path["peft.r"].type, by_path["peft.r"].default) == ("whole number >= 1, <= 4096 | auto", "auto")
    assert by_path["data.holdout"].type == "number >= 0, < 1 | text"


@pytest.mark.parametrize("level", list(PRESETS))
@pytest.mark.parametrize("data", ["support.csv", "a: b #c.jsonl", "no", "1", "表 格.csv", "x" * 100, "it's"])
def test_the_template_loads_as_what_was_asked(tmp_path: Path, level: Level, data: str) -> None:
    path = tmp_path / "support.yaml"
    path.write_text(template("smollm2", data, level), encoding="utf-8")
    run = load(config=path).run
    assert (run.model.name, run.data.train, run.preset, run.peft.r) == ("smollm2", data, level, "auto")
    assert f"#   r: {PRESETS[level].r} " in path.read_text(encoding="utf-8")


def test_what_the_template_says_as_a_comment_can_be_uncommented(tmp_path: Path) -> None:
    path = tmp_path / "support.yaml"
    text = template("smollm2", "my.jsonl", "medium")
    path.write_text("".join(f"{line.removeprefix('# ') if i else line}\n" for i, line in enumerate(text.splitlines())))
    assert load(config=path).run.peft.r == PRESETS["medium"].r


def test_every_new_name_in_the_tables_is_a_key_or_a_loadable_value() -> None:
    known = {path for path, _field in options()} | set(SECTIONS) | {f"{s}.{n}" for s in SECTIONS for n in upstream(s)}
    for section, names in deprecated_keys().renamed.items():
        for old, new in names.items():
            path, _colon, value = new.partition(": ")
            assert path in known, (section, old)
            if value:
                load(named={"model": "m", "data": "d", path: value})


def test_no_name_is_both_accepted_and_refused() -> None:
    keys = deprecated_keys()
    for table in (keys.renamed, keys.removed, keys.owned):
        for section, names in table.items():
            accepted = upstream(section) | set(fields(section)) | (set(SECTIONS) if section == TOP else set())
            assert not accepted & names.keys()
            assert all(old_name(section, name) for name in names)


def test_training_arguments_are_typed_handed_on_or_answered() -> None:
    for name in training_arguments():
        assert (name in fields("train")) + (name in upstream("train")) + (old_name("train", name) is not None) == 1, (
            name
        )


def test_the_run_is_made_of_sections_that_are_told_apart() -> None:
    assert list(SECTIONS) == ["model", "data", "peft", "train", "eval", "run", "launch"]
    assert set(SECTIONS) | set(fields(TOP)) == set(RunConfig.model_fields)
