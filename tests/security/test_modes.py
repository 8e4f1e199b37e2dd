"""Copies of private rows are private, from their first byte on: runs, caches, reports, exports and what stands beside them."""

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile import TRIED, model_folder
from tunewright import api
from tunewright.data.files.split_files import originals
from tunewright.data.tokenized.tokenizer import load_tokenizer
from tunewright.diagnose.rules import diagnose
from tunewright.engine.training.dataset import prepare
from tunewright.inspection.machine_info import SpeedProbe, probe_path
from tunewright.launch import adapter_copy, start_run
from tunewright.report.run_report import write_report
from tunewright.reporting import SILENT
from tunewright.rundir import atomic_io, file_names
from tunewright.rundir.run_dir import RunDir
from tunewright.security import as_private_as, narrow

OTHERS = stat.S_IRWXG | stat.S_IRWXO


@pytest.fixture(autouse=True)
def _wide_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture
def model(tmp_path: Path, home: Path) -> Path:
    probe = SpeedProbe(device="cpu", device_name="CPU", memory_bytes=0, flops={"fp32": 2e11, "bf16": 1e11})
    atomic_io.write_text(probe_path(), probe.model_dump_json())
    return model_folder(tmp_path / "model")


def write_rows(path: Path, mode: int) -> Path:
    rows = ({"prompt": f"question {i}", "completion": f"answer {i}"} for i in range(12))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    path.chmod(mode)
    return path


def created(model: Path, data: Path, folder: Path, **more: str) -> RunDir:
    named = {"model.name": str(model), "data.train": str(data), "run.output_dir": str(folder), **more}
    loaded = api.load(named=named)
    return start_run.create(loaded, api.plan(loaded), force=True, reporter=SILENT)


def prepared(run: RunDir) -> RunDir:
    plan = run.plan()
    with run.private():  # as the processes that `start.launch` starts
        prepare(plan, run, load_tokenizer(Path(plan.facts.model.tokenizer_folder)))
    return run


def open_to_others(*folders: Path) -> list[str]:
    """What others may do anything with."""
    paths = [path for folder in folders for path in (folder, *folder.rglob("*"))]
    return [str(path) for path in paths if path.stat().st_mode & OTHERS]


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_run_of_private_rows_is_private(model: Path, home: Path, tmp_path: Path, mode: int) -> None:
    run = prepared(created(model, write_rows(tmp_path / "rows.jsonl", mode), tmp_path / "run"))
    write_report(run, diagnose(run).findings)
    assert {path.name for path in run.path.iterdir()} >= {file_names.SEEN_ROWS, file_names.PREPARED, file_names.REPORT}
    assert len(list((home / "encoded").rglob("*.rows"))) == len(list((home / "encoded_rows").iterdir())) == 2
    assert open_to_others(run.path, home / "encoded", home / "encoded_rows") == []
    TRIED["modes"] += 1


def test_a_run_of_public_rows_is_as_the_umask_has_it(model: Path, home: Path, tmp_path: Path) -> None:
    run = prepared(created(model, write_rows(tmp_path / "rows.jsonl", 0o644), tmp_path / "run"))
    assert run.path.stat().st_mode & 0o777 == 0o777
    assert run.file(file_names.SEEN_ROWS).stat().st_mode & 0o777 == 0o666


def test_the_group_of_the_rows_keeps_its_right_alone(model: Path, home: Path, tmp_path: Path) -> None:
    run = prepared(created(model, write_rows(tmp_path / "rows.jsonl", 0o640), tmp_path / "run"))
    assert run.path.stat().st_mode & 0o777 == 0o770
    assert run.file(file_names.SEEN_ROWS).stat().st_mode & 0o777 == 0o660


def test_another_group_is_others_to_ours(tmp_path: Path) -> None:
    data = write_rows(tmp_path / "rows.jsonl", 0o640)
    if os.geteuid() == 0:
        os.chown(data, -1, os.getegid() + 1)
        with as_private_as([data]):
            (tmp_path / "copy").touch()
        assert (tmp_path / "copy").stat().st_mode & OTHERS == 0
    assert originals(str(data)) == [data]


def test_private_held_out_rows_make_a_run_private(model: Path, home: Path, tmp_path: Path) -> None:
    public, private = write_rows(tmp_path / "rows.jsonl", 0o644), write_rows(tmp_path / "held-out.jsonl", 0o600)
    run = prepared(created(model, public, tmp_path / "run", **{"data.holdout": str(private)}))
    assert open_to_others(run.path, home / "encoded") == []


@pytest.mark.parametrize("closed", ["data", "data/train", "data/train/b.jsonl"])
def test_one_private_part_of_a_folder_makes_a_run_private(model: Path, home: Path, tmp_path: Path, closed: str) -> None:
    (tmp_path / "data" / "train").mkdir(parents=True)
    for name in "ab":
        write_rows(tmp_path / "data" / "train" / f"{name}.jsonl", 0o644)
    place = tmp_path / closed
    place.chmod(0o600 if place.is_file() else 0o700)
    run = prepared(created(model, tmp_path / "data", tmp_path / "run"))
    assert open_to_others(run.path) == []


def test_what_stays_behind_or_is_written_again_stays_private(model: Path, home: Path, tmp_path: Path) -> None:
    data = write_rows(tmp_path / "rows.jsonl", 0o600)
    run = prepared(created(model, data, tmp_path / "run"))
    data.unlink()
    run.update_info(state="stopped")
    run.events.write("note", text="on it goes")
    start_run.resume(run, {"train.learning_rate": 1e-5})
    write_report(run, diagnose(run).findings, tmp_path / "report.html")
    assert open_to_others(run.path, tmp_path / "report.html") == []


def test_what_leaves_the_run_is_private(model: Path, home: Path, tmp_path: Path) -> None:
    run = prepared(created(model, write_rows(tmp_path / "rows.jsonl", 0o600), tmp_path / "run"))
    with run.private():
        run.adapter_dir.mkdir()
        (run.adapter_dir / "adapter_config.json").write_text("{}")
    adapter_copy.export(run, tmp_path / "exported")
    start_run.copy_adapter(run, tmp_path / "copied")
    api.TrainedRun(run).eject(tmp_path / "script")
    assert open_to_others(tmp_path / "exported", tmp_path / "copied", tmp_path / "script") == []


def test_a_cache_made_of_public_rows_is_closed_for_private_ones(model: Path, home: Path, tmp_path: Path) -> None:
    data = write_rows(tmp_path / "rows.jsonl", 0o644)
    first = prepared(created(model, data, tmp_path / "first"))
    assert open_to_others(home / "encoded") != [] and open_to_others(*(home / "encoded_rows").iterdir()) != []
    data.chmod(0o600)
    second = prepared(created(model, data, tmp_path / "second"))
    assert second.data_summary().key == first.data_summary().key and second.data_summary().from_cache
    assert open_to_others(*(home / "encoded").iterdir(), *(home / "encoded_rows").iterdir()) == []


def test_a_file_is_private_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes = []

    def looking(source: Path, target: Path) -> None:
        modes.append(source.stat().st_mode & 0o777)
        source.replace(target)

    monkeypatch.setattr(atomic_io, "_rename", looking)
    with as_private_as([write_rows(tmp_path / "rows.jsonl", 0o600)]):
        atomic_io.write_text(tmp_path / "copy", "x")
    atomic_io.write_text(tmp_path / "copy", "y")  # in another process, which knows nothing of the rows
    assert modes == [0o600, 0o600]


def test_nothing_is_opened_by_it(tmp_path: Path) -> None:
    (tmp_path / "wide").touch(0o666)
    os.umask(0o077)
    with as_private_as([tmp_path / "wide", tmp_path / "not there"]):
        (tmp_path / "copy").touch()
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o600
    narrow([tmp_path / "copy"], [tmp_path / "wide"])
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o600
    assert os.umask(0) == 0o077
