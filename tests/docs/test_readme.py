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
# What files hold, whose gist the READMEs have; and the page for developers.
ENGLISH_ONLY = ("docs/shapes.md", "docs/architecture.md")
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


# What the READMEs show of the session, as far as it does not differ from machine to machine.
PRINTED = (
    "60 rows · 48 to train, 12 held out, 0 left out",
    "question and answer (question -> prompt, answer -> completion)",
    "note W240  trained: train.csv; held out: valid.csv",
    "[[The trial lasts thirty days.<|im_end|>]]",
    "Variants  the same run with one thing changed",
    "--set model.quantization=8bit",
    "full fine-tuning, for comparison",
    "not here; memory and speed are from a table, nothing of them was measured",
    "Answers exactly right    0 %",
    "Yes, clearly better.",
    "tuned     You get an invoice by e-mail.",
)


def test_the_readme_runs(session: dict[str, str], tmp_path: Path) -> None:
    script = "set -euo pipefail\n" + "\n".join(blocks("README.md", "bash"))
    shell = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=session, capture_output=True, text=True, check=False
    )
    assert shell.returncode == 0, f"{shell.stdout[-3000:]}\n{shell.stderr[-3000:]}"
    printed = shell.stdout + shell.stderr
    assert not [text for text in PRINTED if text not in printed]
    assert (tmp_path / "merged" / "model.safetensors").is_file()
    assert (tmp_path / "exported" / "adapter_model.safetensors").is_file()
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


@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_what_is_shown_was_run(readme: str) -> None:
    """Every command whose output is shown is one that is run, and what is shown of it is looked for there."""
    run = "\n".join(blocks(readme, "bash"))
    shown = [block for block in blocks(readme, "console") if block.startswith("$ tunewright")]
    commands = re.findall(r"^\$ (.*)$", "".join(shown), re.MULTILINE)
    assert len(commands) == 6
    assert not [command for command in commands if f"{command}\n" not in run]
    assert not [text for text in PRINTED if text not in "".join(shown)]


def test_both_readmes_have_the_same_parts_and_links() -> None:
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh-CN.md")]
    assert len({len(re.findall(r"^#+ ", text, re.MULTILINE)) for text in texts}) == 1
    english, chinese = (set(re.findall(r"\]\(((?!README|#)[^)]+)\)", text)) for text in texts)
    assert english == {re.sub(r"\.zh(\.\w+)$", r"\1", link) for link in chinese}
    assert all((ROOT / link).exists() for link in english | chinese)
    pages = [link for link in chinese if link.startswith("docs/") and link.endswith(".md") and link not in ENGLISH_ONLY]
    assert pages and all(link.endswith(".zh.md") for link in pages), "a Chinese reader is led to Chinese pages"


@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_the_outline_leads_to_parts(readme: str) -> None:
    text = (ROOT / readme).read_text(encoding="utf-8")
    anchors = {
        re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^## (.+)$", text, re.MULTILINE)
    }
    links = set(re.findall(r"\]\(#([^)]+)\)", text))
    assert len(links) > 10 and links <= anchors, links - anchors


@pytest.mark.parametrize("page", sorted(path.name for path in (ROOT / "docs").glob("*.zh.md")))
def test_a_chinese_page_says_what_the_english_one_says(page: str) -> None:
    chinese, english = ((ROOT / "docs" / name).read_text(encoding="utf-8") for name in (page, page.replace(".zh", "")))
    for part in (r"^#+ ", r"^\| ", r"^- ", r"^    \w"):
        assert len(re.findall(part, chinese, re.MULTILINE)) == len(re.findall(part, english, re.MULTILINE)), part
    for text in (r"tests/[\w/.:]+", r"\b[EWD]\d{3}\b", r"\bF\d+\b"):
        assert set(re.findall(text, chinese)) == set(re.findall(text, english)), text
    links = re.findall(r"\]\(([^)]+)\)", chinese)
    assert all(((ROOT / "docs") / link).exists() for link in links)
    # Records of what was run are kept in English.
    records = ("../tests/", "../benchmarks/")
    assert not [x for x in links if x.endswith(".md") and ".zh." not in x and not x.startswith(records)]


def test_every_example_plans(session: dict[str, str]) -> None:
    examples = sorted((ROOT / "examples").glob("*.yaml"))
    assert examples
    for example in examples:
        done = subprocess.run(
            [sys.executable, "-m", "tunewright", "plan", example.name, "--json"],
            cwd=ROOT / "examples", env=session, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{example}: {done.stderr}"
