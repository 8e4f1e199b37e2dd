"""The adapter's place: a reader finds the older or the newer one, whatever an earlier process left there."""

from pathlib import Path

import pytest

from tests.unit.rundir.disk import snapshot
from tunewright.rundir import atomic_io, file_names, run_dir
from tunewright.rundir.checkpoints import damage, read_manifest
from tunewright.rundir.run_dir import RunDir

WEIGHTS = "adapter_model.safetensors"


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return run_dir.create(tmp_path / "shop", "shop")


def publish(run: RunDir, text: str) -> None:
    with atomic_io.staging(run.path) as staged:
        (staged / WEIGHTS).write_text(text)
        run.publish_adapter(staged, {"model": "m"})


def names(run: RunDir) -> set[str]:
    return {path.name for path in run.path.iterdir()}


def test_an_adapter_is_sealed_for_its_run(run: RunDir) -> None:
    publish(run, "new")
    manifest = read_manifest(run.adapter_dir)
    assert manifest is not None
    assert (manifest.run, manifest.identity) == (run.info().id, {"model": "m"})
    assert damage(run.adapter_dir) == ""
    assert names(run) == {file_names.RUN_JSON, file_names.ADAPTER}


def test_a_newer_adapter_takes_the_place_of_the_older(run: RunDir) -> None:
    publish(run, "old")
    (run.adapter_dir / "left.txt").write_text("of the older one")
    publish(run, "new")
    assert snapshot(run.path / file_names.ADAPTER).keys() == {WEIGHTS, "manifest.json"}
    assert (run.adapter_dir / WEIGHTS).read_text() == "new"
    assert names(run) == {file_names.RUN_JSON, file_names.ADAPTER}


def test_between_two_renames_the_older_one_is_read(run: RunDir) -> None:
    publish(run, "old")
    (run.path / file_names.ADAPTER).rename(run.path / file_names.ADAPTER_BEFORE)
    assert (run.adapter_dir / WEIGHTS).read_text() == "old"
    publish(run, "new")
    assert (run.adapter_dir / WEIGHTS).read_text() == "new"
    assert names(run) == {file_names.RUN_JSON, file_names.ADAPTER}


def test_an_older_one_that_was_not_removed_does_not_come_back(run: RunDir) -> None:
    publish(run, "oldest")
    (run.path / file_names.ADAPTER).rename(run.path / file_names.ADAPTER_BEFORE)
    with atomic_io.staging(run.path) as staged:
        (staged / WEIGHTS).write_text("old")
        staged.rename(run.path / file_names.ADAPTER)
    publish(run, "new")
    assert (run.adapter_dir / WEIGHTS).read_text() == "new"
    assert names(run) == {file_names.RUN_JSON, file_names.ADAPTER}


def test_what_breaks_off_leaves_the_older_one_and_nothing_else(run: RunDir) -> None:
    publish(run, "old")
    before = snapshot(run.path)
    with pytest.raises(RuntimeError), atomic_io.staging(run.path) as staged:
        (staged / WEIGHTS).write_text("half")
        raise RuntimeError
    assert snapshot(run.path) == before
    assert names(run) == {file_names.RUN_JSON, file_names.ADAPTER}


def test_any_folder_is_published_over_an_empty_or_an_older_one(tmp_path: Path) -> None:
    for text in ("first", "second"):
        with atomic_io.staging(tmp_path) as staged:
            (staged / "file").write_text(text)
            atomic_io.publish_folder(staged, tmp_path / "target")
        assert snapshot(tmp_path) == {"target/file": text.encode()}
