"""The pages for developers agree with the code: every file, name, make target and verb that they name exists."""

import re
import tomllib
from pathlib import Path

import pytest

from tunewright.cli.main import GROUPS

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "src" / "tunewright"
PAGES = ("docs/architecture.md", "CONTRIBUTING.md", "AGENTS.md")
CODE = re.compile(r"`([^`\n]+)`")
PATH = re.compile(r"[\w.\-]+/[\w./\-]*|[\w\-]+\.(?:md|toml|txt)|\.ci/run")
IN_A_RUN = {"ranks/", "eval/", "checkpoints/", "adapter/"}  # of a run's folder, which the page explains
VERBS = {verb for _title, verbs in GROUPS for verb in verbs}


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def words_of(page: str) -> list[str]:
    """What stands in backticks or in a block of commands."""
    text = text_of(page)
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return [*CODE.findall(prose), *(line.partition("#")[0].strip() for block in blocks for line in block.splitlines())]


def exists(path: str) -> bool:
    return any((root / path).exists() for root in (ROOT, PACKAGE))


def named_paths(page: str) -> list[str]:
    words = [word.partition("::")[0] for text in words_of(page) for word in text.split()]
    return [word for word in words if PATH.fullmatch(word) and word not in IN_A_RUN and not word.startswith(".venv/")]


@pytest.mark.parametrize("page", PAGES)
def test_every_named_file_and_folder_exists(page: str) -> None:
    paths = named_paths(page)
    assert len(paths) > 10
    assert not [path for path in paths if not exists(path)]


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    folder = (ROOT / page).parent
    assert not [link for link in re.findall(r"\]\(([^)#]+)\)", text_of(page)) if not (folder / link).exists()]


@pytest.mark.parametrize("page", PAGES)
def test_every_name_behind_a_file_stands_in_it(page: str) -> None:
    named = [word.split("::") for text in words_of(page) for word in text.split() if "::" in word and "/" in word]
    for path, name in named:
        file = next(root / path for root in (ROOT, PACKAGE) if (root / path).exists())
        assert re.search(rf"\b{name}\b", file.read_text(encoding="utf-8")), f"{path}::{name}"


@pytest.mark.parametrize("page", PAGES)
def test_every_make_target_and_verb_exists(page: str) -> None:
    targets = set(re.findall(r"^([\w-]+):", text_of("Makefile"), re.MULTILINE))
    words = words_of(page)
    assert {word.split()[1] for word in words if word.startswith("make ")} <= targets
    assert {word.split()[1] for word in words if word.startswith("tunewright ")} <= VERBS


def test_the_drawings_name_files_that_exist() -> None:
    drawings = "\n".join(re.findall(r"```mermaid\n(.*?)```", text_of("docs/architecture.md"), re.DOTALL))
    paths = re.findall(r"\b(?:[\w]+/)+\w+\.py\b", drawings)
    assert len(paths) > 10
    assert not [path for path in paths if not exists(path)]


def test_the_drawing_of_the_packages_is_the_import_contract() -> None:
    contracts = tomllib.loads(text_of("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["name"] == "imports point down")
    drawing = text_of("docs/architecture.md").partition("```mermaid")[2].partition("```")[0]
    drawn = re.findall(r"subgraph F(\d+).*?\n(.*?)\n  end", drawing, re.DOTALL)
    assert [int(floor) for floor, _body in drawn] == list(range(len(layers), 0, -1))
    packages = [set(re.findall(r'(\w+)\["', body)) for _floor, body in drawn]
    assert packages == [set(re.split(r" [|:] ", layer)) for layer in layers]
