"""`train --on`: the job that is written, what it may say, and how it is handed to the launcher's tool."""

import os
import shlex
import sys
from pathlib import Path

import pytest
import yaml

from tests.unit.cli.conftest import Run
from tunewright import api
from tunewright.launch import jobs
from tunewright.launch.jobs import LAUNCHERS
from tunewright.reporting import SILENT

GOLDEN = Path(__file__).parent.parent.parent / "fixtures/jobs"
SAID: dict[str, list[str]] = {
    "slurm": ["-o", "runs/shop", "--set", "launch.job={partition: gpu, time: 10:00:00, gpus-per-node: 8, requeue: false}"],
    "skypilot": ["-o", "runs/shop", "--set", 'launch.job={resources: {accelerators: "H100:8"}, setup: pip install ./tunewright}'],
    "k8s": [
        "-o", "/runs/shop", "--set",
        "launch.job={spec: {trainer: {image: here/tunewright, resourcesPerNode: {limits: {nvidia.com/gpu: 8}}}}}",
    ],
    "ray": ["-o", "runs/shop", "--set", "launch.job.resources={CPU: 16, GPU: 8}"],
}  # fmt: skip
OPTIONS = ("--nodes", "2", "--processes", "8", "--lr", "2e-4", "--set", "data.system=Answer: 'yes' or 1.")


@pytest.mark.parametrize("on", LAUNCHERS)
def test_what_is_written(on: str, tw: Run, model: Path, rows: Path) -> None:
    ended = tw("train", str(model), rows.name, *OPTIONS, *SAID[on], "--on", on, "--dry-run")
    assert ended.code == 0, ended.err
    job = rows.parent / f"runs/shop{LAUNCHERS[on].ending}"
    assert ended.out == job.read_text()
    shown = ended.out.replace(str(rows.parent), "/here").replace(sys.executable, "python")
    assert shown == (GOLDEN / job.name).read_text()
    assert shlex.join([*LAUNCHERS[on].submit, str(job)]) in ended.err
    assert list(job.parent.iterdir()) == [job]


def test_the_command_asks_for_what_was_asked_for(tw: Run, model: Path, rows: Path) -> None:
    sets = {
        "data.system": "two\nlines: 'a' \"b\" \\ é", "data.map": {"prompt": "question"}, "train.learning_rate": 1e-5,
        "fast_paths.packing": False, "peft.target_modules": ["q_proj"], "train.adam_beta1": 0.8, "run.name": "null",
        "task": "causal_lm", "data.split": "1", "launch.processes": "auto", "data.holdout": 0.5, "launch.job": {"setup": "x"},
    }  # fmt: skip
    asked = api.load(named={"model.name": str(model), "data.train": str(rows), "launch.nodes": 2, **sets})
    job = jobs.write(asked, "skypilot", force=True, reporter=SILENT)
    words = shlex.split(yaml.safe_load(job.text)["run"])
    assert words[:2] == ["tunewright", "train"] and words[-5:] == ["--nodes", "auto", "-o", job.output, "--force"]
    again = api.load(
        named={"model.name": words[2], "data.train": words[3]},
        sets=[words[place + 1] for place, word in enumerate(words) if word == "--set"],
    )
    old, new = asked.run.model_dump(), again.run.model_dump()
    assert new.pop("model") == {**old.pop("model"), "name": f"~/tunewright/model.name/{model.name}"}
    assert new.pop("data") == {**old.pop("data"), "train": "~/tunewright/data.train/my.jsonl"}
    assert old.pop("launch") == {**new.pop("launch"), "nodes": 2, "job": {"setup": "x"}}
    assert new == old


@pytest.mark.parametrize("share", [{}, {"weight": 0.5}])
def test_several_sources_are_carried_there_each(share: dict[str, float], tw: Run, model: Path, rows: Path) -> None:
    more = rows.parent / "more" / rows.name
    more.parent.mkdir()
    more.write_text("".join(f'{{"prompt": "another {n}", "completion": "one {n}"}}\n' for n in range(9)))
    train = [str(rows), {"path": str(more), **share}]
    asked = api.load(
        named={"model.name": str(model), "data.train": train, "launch.nodes": 2, "launch.job": {"setup": "x"}}
    )
    task = yaml.safe_load(jobs.write(asked, "skypilot", force=True, reporter=SILENT).text)
    there = [f"~/tunewright/data.train.{number}/{rows.name}" for number in (0, 1)]
    assert [task["file_mounts"][path] for path in there] == [str(rows), str(more)]
    words = shlex.split(task["run"])
    if not share:
        assert words[3:5] == there
        return
    assert words[3] == "--set"
    sources = api.load(named={"model.name": "m"}, sets=[words[4]]).run.data.sources
    assert [(source.path, source.weight) for source in sources] == [(there[0], 1), (there[1], 0.5)]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--on", "slurm"], "E109", "--nodes 2"),
        (["--on", "slurm", "--nodes", "auto"], "E109", "--nodes 2"),
        (["--on", "pbs", "--nodes", "2"], "E133", "slurm"),
        (["--on", "slurm", "--nodes", "2", "--main", "a:1"], "E109", "launch.main"),
        (["--on", "slurm", "--nodes", "2", "--set", "launch.job.Partition=gpu"], "E103", "launch.job.Partition"),
        (["--on", "slurm", "--nodes", "2", "--set", 'launch.job={comment: "a\\nrm x"}'], "E103", "launch.job.comment"),
        (["--on", "skypilot", "--nodes", "2"], "E109", "launch.job.setup"),
        (["--on", "skypilot", "--nodes", "2", "--set", "launch.job={setup: x, file_mounts: x}"], "E103", "file_mounts"),
        (["--on", "ray", "--nodes", "2", "--set", "launch.job.resources=8"], "E103", "launch.job.resources"),
        (["--on", "k8s", "--nodes", "2", "-o", "/r"], "E109", "trainer.image"),
        (["--on", "k8s", "--nodes", "2", "--set", "launch.job.spec.trainer.image=x"], "E109", "-o /VOLUME/NAME"),
    ],
)
def test_what_cannot_be_written(words: list[str], code: str, said: str, tw: Run, model: Path, rows: Path) -> None:
    ended = tw("train", str(model), rows.name, *words)
    assert ended.code == 2
    assert code in ended.err and said in ended.err
    assert not (rows.parent / "runs").exists()


def test_faults_of_the_data_come_before_the_job(tw: Run, model: Path, rows: Path) -> None:
    rows.write_text('{"question": 1}\n')
    ended = tw("train", str(model), rows.name, *OPTIONS, *SAID["slurm"], "--on", "slurm")
    assert ended.code == 4, ended.err
    assert not (rows.parent / "runs").exists()


@pytest.fixture
def sbatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An `sbatch` that says what it was given, and ends as the file `code` beside it says."""
    tool = tmp_path / "bin/sbatch"
    tool.parent.mkdir()
    tool.write_text('#!/bin/sh\ncd "$(dirname "$0")"; echo "$@" > given; exit "$(cat code)"\n')
    tool.chmod(0o755)
    (tool.parent / "code").write_text("0")
    monkeypatch.setenv("PATH", f"{tool.parent}{os.pathsep}{os.defpath}")
    return tool


def test_the_tool_is_given_the_job(sbatch: Path, tw: Run, model: Path, rows: Path) -> None:
    words = ("train", str(model), rows.name, *OPTIONS, *SAID["slurm"], "--on", "slurm")
    job = rows.parent / "runs/shop.sbatch"
    ended = tw(*words)
    assert ended.code == 0 and f"runs watch {rows.parent}/runs/shop" in ended.err
    assert (sbatch.parent / "given").read_text() == f"{job}\n"
    assert tw(*words, "--json").json == {
        "schema": 1, "job": str(job), "run": f"{rows.parent}/runs/shop", "command": ["sbatch", str(job)], "submitted": True,
    }  # fmt: skip
    (sbatch.parent / "code").write_text("3")
    ended = tw(*words)
    assert ended.code == 1 and "E532" in ended.err and "exit code 3" in ended.err
    sbatch.unlink()
    ended = tw(*words)
    assert ended.code == 5 and "E531" in ended.err and f"sbatch {job}" in ended.err
    assert ended.out == job.read_text()


def test_ray_is_an_optional_part(tw: Run, model: Path, rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "find_spec", lambda name: None)
    ended = tw("train", str(model), rows.name, *OPTIONS, *SAID["ray"], "--on", "ray")
    assert ended.code == 5 and "E601" in ended.err and ".[ray]" in ended.err
    assert (rows.parent / "runs/shop.ray.yaml").is_file()


def test_a_file_of_somebody_else_stays(tw: Run, model: Path, rows: Path) -> None:
    job = rows.parent / "runs/shop.sbatch"
    job.parent.mkdir()
    job.write_text("mine\n")
    ended = tw("train", str(model), rows.name, *OPTIONS, *SAID["slurm"], "--on", "slurm", "--dry-run")
    assert ended.code == 2 and "E115" in ended.err
    assert job.read_text() == "mine\n"
