"""Links and pipes in the run of a stranger: nothing of ours is given away, written through, or waited for."""

import os
from pathlib import Path

import pytest

from tests.hostile import TRIED
from tests.security.test_modes import created, model, prepared, write_rows
from tunewright.errors import ModelError
from tunewright.launch import adapter_copy, session_client, start_run
from tunewright.rundir import atomic_io
from tunewright.rundir.checkpoints import faults, read_manifest, seal
from tunewright.rundir.run_dir import RunDir
from tunewright.security import gate_gguf

__all__ = ["model"]
SECRET = "what nobody else may read\n"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(SECRET)
    return path


@pytest.fixture
def run(model: Path, home: Path, tmp_path: Path) -> RunDir:
    run = prepared(created(model, write_rows(tmp_path / "rows.jsonl", 0o644), tmp_path / "run"))
    run.adapter_dir.mkdir()
    (run.adapter_dir / "adapter_config.json").write_text("{}")
    return run


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "notes.txt", "more.json", ".hidden"])
@pytest.mark.parametrize("copy", [adapter_copy.export, start_run.copy_adapter])
def test_a_link_of_an_adapter_is_not_followed_into_a_copy(
    run: RunDir, secret: Path, tmp_path: Path, name: str, copy: object
) -> None:
    (run.adapter_dir / name).symlink_to(secret)
    assert callable(copy)
    with pytest.raises(ModelError, match="E315"):
        copy(run, tmp_path / "copied")
    assert not (tmp_path / "copied").exists()
    TRIED["links in runs"] += 1


def test_a_link_of_the_base_is_not_followed_into_an_export(
    run: RunDir, model: Path, secret: Path, tmp_path: Path
) -> None:
    (model / "LICENSE").symlink_to(secret)
    with pytest.raises(ModelError, match="E315"):
        adapter_copy.export(run, tmp_path / "copied")
    assert not (tmp_path / "copied").exists()


@pytest.mark.parametrize("kind", ["pipe", "folder", "damaged"])
def test_what_is_no_file_of_an_adapter_is_told_and_not_waited_for(run: RunDir, tmp_path: Path, kind: str) -> None:
    odd = run.adapter_dir / "more.json"
    if kind == "pipe":
        os.mkfifo(odd)
    elif kind == "folder":
        odd.mkdir()
    else:
        odd.write_text("{")
    with pytest.raises(ModelError, match="E309"):
        adapter_copy.export(run, tmp_path / "copied")


def test_nothing_is_written_through_a_link_of_a_run(secret: Path, tmp_path: Path) -> None:
    link = tmp_path / "events.jsonl"
    link.symlink_to(secret)
    for write in (
        lambda: atomic_io.append_line(link, "{}"),
        lambda: atomic_io.cut(link, 0),
        lambda: atomic_io.open_log(link).close(),
    ):
        with pytest.raises(OSError, match=r"links|ELOOP"):
            write()
    with session_client._log(link) as log:
        log.write(b"what libraries say")
    assert secret.read_text() == SECRET


def test_no_pipe_is_waited_for_in_the_place_of_a_log_or_a_manifest(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "log.txt")
    session_client._log(tmp_path / "log.txt").close()
    (tmp_path / "sealed").mkdir()
    (tmp_path / "sealed" / "weights").write_text("w")
    seal(tmp_path / "sealed", run_id="r", step=1, identity={})
    (tmp_path / "sealed" / "weights").unlink()
    os.mkfifo(tmp_path / "sealed" / "weights")
    assert [fault.kind for fault in faults(tmp_path / "sealed")] == ["damaged"]
    (tmp_path / "sealed" / "manifest.json").unlink()
    os.mkfifo(tmp_path / "sealed" / "manifest.json")
    assert read_manifest(tmp_path / "sealed") is None


def test_no_pipe_is_waited_for_in_the_place_of_a_gguf_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.gguf")
    (tmp_path / "zero.gguf").symlink_to("/dev/zero")
    for name in ("model.gguf", "zero.gguf"):
        with pytest.raises(ModelError, match="E308"):
            gate_gguf(tmp_path / name)
