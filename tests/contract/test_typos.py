"""A typing error in any key is found at its line, and the key that was meant is named."""

import random
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

from tunewright.config.deprecated_keys import TOP
from tunewright.config.load_config import load, to_yaml
from tunewright.config.methods import Lora
from tunewright.config.run_config import RunConfig
from tunewright.config.schema_keys import SECTIONS, fields, old_name, upstream
from tunewright.errors import ConfigError

EXAMPLE = load(
    named={"model": "smollm2", "data": "support.csv"},
    sets=["train.neftune_noise_alpha=5", "train.adam_epsilon=0.1", "peft.use_rslora=true"],
).run


def keys_of(text: str) -> Iterator[tuple[int, str, str]]:
    """Line number, section and key of every line of a written config."""
    section = TOP
    for number, line in enumerate(text.splitlines(), 1):
        indent = len(line) - len(line.lstrip())
        key, colon, _value = line.strip().partition(":")
        if not colon or indent > 2:
            continue
        if indent == 0:
            section = key if key in SECTIONS else TOP
            yield number, TOP, key
        else:
            yield number, section, key


def typos(key: str, chance: random.Random) -> set[str]:
    """A letter deleted, replaced, doubled, and swapped with its neighbour."""
    i, j = chance.randrange(len(key)), chance.randrange(max(1, len(key) - 1))
    deleted, replaced = key[:i] + key[i + 1 :], key[:i] + chance.choice(string.ascii_lowercase) + key[i + 1 :]
    doubled, swapped = key[: i + 1] + key[i:], key[:j] + key[j : j + 2][::-1] + key[j + 2 :]
    return {deleted, replaced, doubled, swapped} - {key, ""}


def is_known(section: str, key: str) -> bool:
    own = set(fields(section)) | upstream(section) | (set(RunConfig.model_fields) if section == TOP else set())
    return key in own or old_name(section, key) is not None


def cases() -> list[tuple[int, str, str, str]]:
    chance = random.Random(7)
    rows = []
    for line, section, key in keys_of(to_yaml(EXAMPLE)):
        rows += [(line, section, key, typo) for typo in sorted(typos(key, chance)) if not is_known(section, typo)]
    return rows


def test_every_key_of_the_example_is_tried() -> None:
    tried = {(section, key) for _line, section, key, _typo in cases()}
    own = {(TOP, key) for key in RunConfig.model_fields} | {
        (s, key) for s in SECTIONS for key in fields(s) if s != "peft"
    }
    own |= {("peft", key) for key in fields("peft") if key in Lora.model_fields}
    assert own <= tried


def test_a_typo_in_any_key_gives_its_line_and_the_right_key(tmp_path: Path) -> None:
    text, path, wrong = to_yaml(EXAMPLE).splitlines(), tmp_path / "support.yaml", []
    for line, section, key, typo in cases():
        indent = "" if section == TOP else "  "
        changed = [*text[: line - 1], text[line - 1].replace(f"{indent}{key}:", f"{indent}{typo}:", 1), *text[line:]]
        path.write_text("\n".join(changed), encoding="utf-8")
        with pytest.raises(ConfigError) as caught:
            load(config=path)
        problems = [p for p in caught.value.problems if p.code == "E102"]
        got = [(p.where.line, p.where.column, p.values["key"], p.values.get("suggestion")) for p in problems]
        if got != [(line, len(indent) + 1, typo, key)]:
            wrong.append((section, key, typo, got))
    assert wrong == []
