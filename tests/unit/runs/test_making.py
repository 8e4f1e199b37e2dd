"""A run appears whole or not at all, and what a dead maker left is swept when it is surely nobody's."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.runs.disk import Disk, on
from tunewright.errors import SpecError
from tunewright.rundir import layout, making, store
from tunewright.rundir.store import RunDir

FILES = {layout.CONFIG: "model: x\n", layout.README: "read me\n", layout.PLAN: "{}\n"}
WHOLE = {*FILES, layout.RUN_JSON}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("how", ["exit", "half"])
@pytest.mark.parametrize("is_there", [False, True])
def test_killed_at_any_operation_the_run_is_whole_or_no_run(tmp_path: Path, how: str, is_there: bool) -> None:
    counting = Disk()
    assert on(counting, lambda: store.create(tmp_path / "first" / "run", "run", FILES)) is None
    for at in range(40):
        root = tmp_path / f"runs-{at}"
        (root / "run").mkdir(parents=True) if is_there else root.mkdir()
        on(Disk(at, how), lambda root=root: store.create(root / "run", "run", FILES))  # type: ignore[misc]
        run = RunDir(root / "run")
        if run.file(layout.RUN_JSON).exists():
            assert {name for name in names(run.path) if not name.startswith(".")} == WHOLE
            assert run.info()["name"] == "run"
        elif not is_there:
            assert store.list_runs(root) == []


def test_a_maker_that_lives_is_left_alone_and_a_dead_one_is_swept(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tunewright.rundir.making import making\n"
        "with making(Path(sys.argv[1])): print('here', flush=True); sys.stdin.read()"
    )
    maker = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "theirs")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert maker.stdout is not None and maker.stdout.readline() == b"here\n"
    hidden = next(tmp_path.glob(f"{making.PREFIX}*"))
    store.create(tmp_path / "ours", "ours", FILES)
    assert hidden.is_dir() and [run.name for run in store.list_runs(tmp_path)] == ["ours"]
    os.kill(maker.pid, signal.SIGKILL)
    maker.wait()
    store.create(tmp_path / "more", "more", FILES)
    assert names(tmp_path) == {"ours", "more"}


def test_files_and_links_with_such_a_name_are_nobodys_business(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.txt").write_text("keep")
    (tmp_path / f"{making.PREFIX}link").symlink_to(tmp_path / "mine")
    (tmp_path / f"{making.PREFIX}file").write_text("keep")
    making.sweep_abandoned(tmp_path)
    assert names(tmp_path) == {"mine", f"{making.PREFIX}link", f"{making.PREFIX}file"}


def test_an_empty_folder_is_filled_where_it_is_and_a_full_one_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "mounted"
    place.mkdir()
    inode = place.stat().st_ino
    assert store.create(place, "x", FILES).path == place and place.stat().st_ino == inode
    assert names(place) == WHOLE and names(tmp_path) == {"mounted"}
    for taken in (place, place / layout.CONFIG):
        with pytest.raises(SpecError, match="E115"):
            store.create(taken, "x", FILES)


def test_of_two_that_make_the_same_run_one_gets_it(tmp_path: Path) -> None:
    with making.making(tmp_path / "run") as staged:
        (staged / layout.RUN_JSON).write_text("{}")
        store.create(tmp_path / "run", "other", FILES)
        with pytest.raises(SpecError, match="E115"), making.making(tmp_path / "run"):
            raise AssertionError("not reached")
        (tmp_path / "run").rename(tmp_path / "elsewhere")
    assert names(tmp_path) == {"run", "elsewhere"}
