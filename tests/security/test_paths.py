"""Names that become paths, and what becomes an argument of a process."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.hostile import TRIED
from tunewright.config import load_config
from tunewright.errors import ConfigError, TunewrightError
from tunewright.rundir import run_dir
from tunewright.security import command, jail, spawn
from tunewright.security.processes import MODULES, tried

LEAVES = (
    "..", "../x", "a/../../x", "a/..", "/etc/passwd", "//etc/passwd", "", ".", "./x", "a//b", "a/", "/", "a/./b", "...//x/..",
    "..\\x", "a\\b", "C:\\x", "C:x", "c:/x", "\\\\host\\share", "a\0b", "\0", "a\nb", "a\rb", "\x1b[2J", "a\tb", "\x7f/..",
    "link/x", "link", "deep/link/passwd", "../root-other/x", "%2e%2e/../x", "～/../../x", "..%2f/../../x", "a/b/../../../x",
    None, 5, ["x"], {"x": 1}, b"x", 1.5, True,
)  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with links that leave it, beside one whose name begins like its own."""
    folder = tmp_path / "root"
    (folder / "deep").mkdir(parents=True)
    (tmp_path / "root-other").mkdir()
    (tmp_path / "root-other/x").write_text("untouched")
    (folder / "link").symlink_to("../root-other")
    (folder / "deep/link").symlink_to("/etc")
    return folder


@pytest.mark.parametrize("name", LEAVES, ids=repr)
def test_a_name_that_leaves_its_folder_is_refused(root: Path, name: Any) -> None:
    with pytest.raises(TunewrightError, match="E315"):
        jail(root, name)
    assert (root.parent / "root-other/x").read_text() == "untouched"
    TRIED["paths"] += 1


@pytest.mark.parametrize("name", ["x", "a b", "deep/x", "...", "..x", "x..", "-rf", "模型.safetensors", "~"])
def test_a_name_below_its_folder_is_kept(root: Path, name: str) -> None:
    assert jail(root, name) == root / name


PAYLOADS = (
    "; touch canary", "$(touch canary)", "`touch canary`", "| touch canary", "&& touch canary", "\ntouch canary", "--help",
    "-c", "-m", "--", "-", "../up", "..", "/abs", "a/b", "a\0b", "a\x1b[0m", "'", '"', "*", "~", "$HOME", "%s", "{x}", "a b",
    "\u202etxt", "con:", "\\", "a\tb", "\r", "", " ", "#", "!ls", "<x", ">x", "(x)", "a;b", "a|b", "a&b",
)  # fmt: skip


@pytest.mark.parametrize("payload", PAYLOADS, ids=repr)
def test_a_runs_name_is_a_name(payload: str) -> None:
    named = {"model.name": "m", "data.train": "d", "run.name": payload}
    with pytest.raises(ConfigError, match="E103"):
        load_config.load(named=named)
    TRIED["arguments"] += 1


@pytest.mark.parametrize("payload", [p for p in PAYLOADS if "\0" not in p], ids=repr)
def test_an_argument_stays_one_argument(payload: str, tmp_path: Path) -> None:
    script = "import json, sys; print(json.dumps(sys.argv[1:]))"
    argv = command("pip", payload)
    assert argv == [sys.executable, "-P", "-m", "pip", payload]
    if payload in PAYLOADS[:8]:  # a process each
        process = spawn([sys.executable, "-c", script, payload], stdout=subprocess.PIPE)
        assert load_config.yaml.safe_load(process.communicate()[0]) == [payload]
    TRIED["arguments"] += 1


def test_only_our_own_modules_are_started() -> None:
    for module in ("os", "http.server", "tunewright.evil", "-c", "tunewright.engine.worker; x", ""):
        with pytest.raises(AssertionError):
            command(module)
        TRIED["arguments"] += 1
    assert all(module == "pip" or module.startswith("tunewright.") for module in MODULES)


def test_a_run_is_found_below_runs_and_made_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for word in ("..", "/etc", "../../x", "a\nb", "*", ""):
        with pytest.raises(TunewrightError, match="E113"):
            run_dir.open_run(word)
        TRIED["paths"] += 1


@pytest.mark.parametrize(
    ("name", "value"), [("PYTHONIOENCODING", "utf-16"), ("PYTHONIOENCODING", "ascii"), ("PYTHONINSPECT", "1")]
)
def test_what_a_shell_sets_for_python_does_not_change_what_a_trial_says(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    request = {"source": "{{ messages[0].content }}", "special_tokens": {}, "seconds": 5}
    assert tried("tunewright.data.tokenized.template_sandbox", request) == {"reason": "", "line": 0}
    process = spawn([sys.executable, "-c", "import sys; print('é'); sys.exit(7)"], stdout=subprocess.PIPE)
    assert (process.communicate()[0], process.returncode) == ("é\n", 7)
