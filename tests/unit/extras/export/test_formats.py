"""The table of formats: every row has a writer, words in both languages, and an extra that exists."""

import tomllib
from pathlib import Path
from typing import get_args

import pytest

from tunewright.errors import ExportError
from tunewright.extras.export.export_run import WRITERS
from tunewright.extras.export.formats import FORMATS, Engine, ExportPackage, FormatName, format_of, missing
from tunewright.extras.export.gguf_limits import BITS, FALLBACK

EXTRAS = tomllib.loads((Path(__file__).parents[4] / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def test_every_format_has_a_row_and_a_writer() -> None:
    assert set(FORMATS) == set(get_args(FormatName)) == set(WRITERS)
    for name, row in FORMATS.items():
        assert row.name == name and row.tasks and row.ways and row.engine in get_args(Engine)


def test_every_type_of_gguf_has_a_size() -> None:
    for row in FORMATS.values():
        if row.is_gguf:
            assert set(row.quants) <= set(BITS) and row.quants[0] == "q8_0"
            assert set(row.quantizer) == set(row.quants) - {"q8_0", "f16", "bf16", "f32"}
    assert set(FALLBACK) <= set(BITS) and set(FALLBACK.values()) <= set(BITS)


def test_what_is_needed_comes_with_an_extra() -> None:
    for row in FORMATS.values():
        for needed in (*row.requirements, *row.quantizer.values()):
            assert any(entry.startswith(needed.module) for entry in EXTRAS[needed.extra]), needed


def test_what_is_missing_is_found_without_importing_it() -> None:
    absent = ExportPackage("no_such_module_here", "gguf", "GGUF")
    assert missing([ExportPackage("json", "gguf", "GGUF"), absent]) == [absent]


def test_a_format_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(ExportError, match=r"E622.*gguf ollama vllm") as caught:
        format_of("tgi")
    assert caught.value.exit_code == 2
