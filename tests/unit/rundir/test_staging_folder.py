"""A run appears whole or not at all, and what a dead maker left is swept when it is surely nobody's."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.rundir.disk import Disk, on
from tunewright.errors import ConfigError
from tunewright.rundir import file_names, run_dir, staging_folder
from tunewright.rundir.run_dir import RunDir

FILES = {file_names.CONFIG: "model: x\n", file_names.README: "read me\n", file_names.PLAN: "{}\n"}
WHOLE = {*FILES, file_names.RUN_JSON}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("how", ["exit", "half"])
@pytest.mark.parametrize("is_there", [False, True])
def test_killed_at_any_operation_the_run_is_whole_or_no_run(tmp_path: Path, how: str, is_there: bool) -> None:
    counting = Disk()
    assert on(counting, lambda: run_dir.create(tmp_path / "first" / "run", "run", FILES)) is None
    for at in range(40):
        root = tmp_path / f"runs-{at}"
        (root / "run").mkdir(parents=True) if is_there else root.mkdir()
        on(Disk(at, how), lambda root=root: run_dir.create(root / "run", "run", FILES))  # type: ignore[misc]
        run = RunDir(root / "run")
        if run.file(file_names.RUN_JSON).exists():
            assert {name for name in names(run.path) if not name.startswith(".")} == WHOLE
            assert run.info().name == "run"
        elif not is_there:
            assert run_dir.list_runs(root) == []


def test_a_maker_that_lives_is_left_alone_and_a_dead_one_is_swept(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tunewright.rundir.staging_folder import making\n"
        "with making(Path(sys.argv[1])): print('here', flush=True); sys.stdin.read()"
    )
    maker = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "theirs")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert maker.stdout is not None and maker.stdout.readline() == b"here\n"
    hidden = next(tmp_path.glob(f"{staging_folder.PREFIX}*"))
    run_dir.create(tmp_path / "ours", "ours", FILES)
    assert hidden.is_dir() and [run.name for run in run_dir.list_runs(tmp_path)] == ["ours"]
    os.kill(maker.pid, signal.SIGKILL)
    maker.wait()
    run_dir.create(tmp_path / "more", "more", FILES)
    assert names(tmp_path) == {"ours", "more"}


def test_files_and_links_with_such_a_name_are_nobodys_business(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.txt").write_text("keep")
    (tmp_path / f"{staging_folder.PREFIX}link").symlink_to(tmp_path / "mine")
    (tmp_path / f"{staging_folder.PREFIX}file").write_text("keep")
    staging_folder.sweep_abandoned(tmp_path)
    assert names(tmp_path) == {"mine", f"{staging_folder.PREFIX}link", f"{staging_folder.PREFIX}file"}


def test_an_empty_folder_is_filled_where_it_is_and_a_full_one_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "mounted"
    place.mkdir()
    inode = place.stat().st_ino
    assert run_dir.create(place, "x", FILES).path == place and place.stat().st_ino == inode
    assert names(place) == WHOLE and names(tmp_path) == {"mounted"}
    for occupied in (place, place / file_names.CONFIG):
        with pytest.raises(ConfigError, match="E115"):
            run_dir.create(occupied, "x", FILES)


def test_of_two_that_make_the_same_run_one_gets_it(tmp_path: Path) -> None:
    with staging_folder.making(tmp_path / "run") as staged:
        (staged / file_names.RUN_JSON).write_text("{}")
        run_dir.create(tmp_path / "run", "other", FILES)
        with pytest.raises(ConfigError, match="E115"), staging_folder.making(tmp_path / "run"):
            raise AssertionError("not reached")
        (tmp_path / "run").rename(tmp_path / "elsewhere")
    assert names(tmp_path) == {"run", "elsewhere"}
