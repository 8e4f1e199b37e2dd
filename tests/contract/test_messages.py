"""Every text has its Chinese twin, with the same placeholders, compiled; none is left over."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from tunewright import i18n
from tunewright.errors.catalogue import load_catalogue

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("messages", ROOT / "tools/messages.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.filterwarnings("ignore")
def test_the_chinese_catalogue_is_whole(tool: ModuleType) -> None:
    catalog = tool.updated()
    assert tool.faults(catalog) == []
    assert tool.PO.read_bytes() == tool.as_po(catalog), "make messages"


def test_every_code_speaks_chinese() -> None:
    chinese = i18n.translations("zh")
    for code, entry in load_catalogue().items():
        for text in (entry.sentence, entry.cause):
            assert chinese.gettext(text) != text or text == "{reason}", code
