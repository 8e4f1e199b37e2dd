"""Every value of a model's small files replaced by odd ones: facts and tokenizer are read, or a code says what is wrong."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hostile import CONFIG, TRIED, model_folder, mutants, tokenizer_folder, write_json
from tunewright.data.tokenized.tokenizer import load_tokenizer
from tunewright.errors import ModelError
from tunewright.inspection.model_info import read_model

ODD: tuple[Any, ...] = (None, -1, 0, 2**70, 1e308, "", "x", [], [[1]], [2**70], {}, {"a": {}}, {"content": 5}, True)
CONFIG_KEYS = (
    *CONFIG, "text_config", "encoder", "decoder", "layers_block_type", "is_encoder_decoder", "head_dim", "pad_token_id",
    "new_decoder_architecture", "multi_query", "qk_nope_head_dim",
)  # fmt: skip
PARTS = 3
TOKEN_KEYS = ("eos_token", "pad_token", "bos_token", "unk_token", "tokenizer_class", "eos_token_id", "chat_template")


def is_told(folder: Path) -> bool:
    """True if a code says what is wrong, False if everything could be read."""
    try:
        read_model(folder, "odd")
        tokenizer = load_tokenizer(folder, "chatml")
        assert tokenizer.pad_id >= 0
        tokenizer.encode("hello")
    except ModelError as fault:
        assert fault.problems[0].message()
        return True
    finally:
        TRIED["odd values"] += 1
    return False


@pytest.mark.parametrize("key", CONFIG_KEYS)
def test_odd_values_of_a_config_are_told_or_harmless(tmp_path: Path, key: str) -> None:
    folder = model_folder(tmp_path)
    for odd in ODD:
        write_json(folder / "config.json", {**CONFIG, key: odd})
        is_told(folder)


@pytest.mark.parametrize("key", TOKEN_KEYS)
@pytest.mark.parametrize("name", ["tokenizer_config.json", "generation_config.json"])
def test_odd_values_of_a_tokenizers_config_are_told_or_harmless(tmp_path: Path, name: str, key: str) -> None:
    folder = model_folder(tmp_path)
    sound = json.loads((folder / "tokenizer_config.json").read_text())
    for odd in ODD:
        write_json(folder / name, {**sound, key: odd})
        is_told(folder)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place of a tokenizer's description, but for the many entries of its vocabulary."""
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        if path != ("model", "vocab") or key in ("a", "b"):
            yield from places(part, (*path, key))


@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=pytest.mark.slow) for part in range(1, PARTS))])
def test_odd_values_anywhere_in_a_tokenizer_are_told_or_harmless(tmp_path: Path, part: int) -> None:
    """Each that is refused takes a process of its own; all together take more than a minute."""
    sound = (tokenizer_folder(tmp_path) / "tokenizer.json").read_text()
    refused = 0
    for path in list(places(json.loads(sound)))[part::PARTS]:
        for odd in (None, -1, 2**70, [], {}, "(a|a)*" * 50):
            changed = holder = json.loads(sound)
            for key in path[:-1]:
                holder = holder[key]
            holder[path[-1]] = odd
            write_json(tmp_path / "tokenizer.json", changed)
            refused += _is_refused(tmp_path)
    assert refused > 30


def test_damaged_tokenizers_are_told_or_harmless(tmp_path: Path) -> None:
    sound = (tokenizer_folder(tmp_path) / "tokenizer.json").read_bytes()
    refused = 0
    for content in mutants(sound, 200, 3000, seed=3):
        (tmp_path / "tokenizer.json").write_bytes(content)
        refused += _is_refused(tmp_path)
    assert refused > 100


def _is_refused(folder: Path) -> bool:
    TRIED["tokenizers"] += 1
    try:
        load_tokenizer(folder, "chatml").encode("hello")
    except ModelError as fault:
        assert fault.problems[0].code == "E304"
        return True
    return False
