"""The READMEs are run: every bash block as one session, every python block in one process, on the real model."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.real_model import model_home

ROOT = Path(__file__).parent.parent.parent
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
__all__ = ["model_home"]


def blocks(readme: str, language: str) -> list[str]:
    return [code for kind, code in BLOCK.findall((ROOT / readme).read_text(encoding="utf-8")) if kind == language]


@pytest.fixture
def session(tmp_path: Path, model_home: Path) -> dict[str, str]:
    """An environment in which `tunewright` is the one under test."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "tunewright"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tunewright "$@"\n')
    script.chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "TUNEWRIGHT_HOME": str(model_home)}


def test_the_readme_runs(session: dict[str, str], tmp_path: Path) -> None:
    script = "set -euo pipefail\n" + "\n".join(blocks("README.md", "bash"))
    shell = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=session, capture_output=True, text=True, check=False
    )
    assert shell.returncode == 0, f"{shell.stdout[-3000:]}\n{shell.stderr[-3000:]}"
    assert (tmp_path / "merged" / "model.safetensors").is_file()
    assert (tmp_path / "ejected" / "train.py").is_file()
    python = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks("README.md", "python"))],
        cwd=tmp_path, env=session, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert python.returncode == 0, python.stderr[-3000:]
    assert "held_out_loss" in python.stdout
    assert "Hello, I am a" in python.stdout


@pytest.mark.parametrize("language", ["bash", "python"])
def test_both_readmes_show_the_same_code(language: str) -> None:
    assert blocks("README.md", language) == blocks("README.zh-CN.md", language)


def test_both_readmes_have_the_same_parts_and_links() -> None:
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh-CN.md")]
    assert len({len(re.findall(r"^#+ ", text, re.MULTILINE)) for text in texts}) == 1
    english, chinese = (set(re.findall(r"\]\(((?!README)[^)]+)\)", text)) for text in texts)
    assert english == {re.sub(r"\.zh(\.\w+)$", r"\1", link) for link in chinese}
    assert all((ROOT / link).exists() for link in english | chinese)
    pages = [link for link in chinese if link.startswith("docs/") and link.endswith(".md")]
    assert pages and all(link.endswith(".zh.md") for link in pages), "a Chinese reader is led to Chinese pages"


@pytest.mark.parametrize("page", sorted(path.name for path in (ROOT / "docs").glob("*.zh.md")))
def test_a_chinese_page_says_what_the_english_one_says(page: str) -> None:
    chinese, english = ((ROOT / "docs" / name).read_text(encoding="utf-8") for name in (page, page.replace(".zh", "")))
    for part in (r"^#+ ", r"^\| ", r"^- ", r"^    \w"):
        assert len(re.findall(part, chinese, re.MULTILINE)) == len(re.findall(part, english, re.MULTILINE)), part
    for text in (r"tests/[\w/.:]+", r"\b[EWD]\d{3}\b", r"\bF\d+\b"):
        assert set(re.findall(text, chinese)) == set(re.findall(text, english)), text
    links = re.findall(r"\]\(([^)]+)\)", chinese)
    assert all(((ROOT / "docs") / link).exists() for link in links)
    assert not [link for link in links if link.endswith(".md") and ".zh." not in link and "tests/" not in link]


def test_every_example_plans(session: dict[str, str]) -> None:
    examples = sorted((ROOT / "examples").glob("*.yaml"))
    assert examples
    for example in examples:
        done = subprocess.run(
            [sys.executable, "-m", "tunewright", "plan", example.name, "--json"],
            cwd=ROOT / "examples", env=session, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{example}: {done.stderr}"
