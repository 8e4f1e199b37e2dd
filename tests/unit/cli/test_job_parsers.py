"""The files of jobs, read by the launchers' own parsers, which are packages of some size: skypilot, kubeflow-trainer-api."""

from pathlib import Path

import pytest
import yaml

from tests.unit.cli.test_jobs import GOLDEN

pytestmark = pytest.mark.slow


def test_skypilot_reads_its_task(tmp_path: Path) -> None:
    sky = pytest.importorskip("sky", reason="needs the package skypilot")
    for place in ("tiny", "my.jsonl"):
        (tmp_path / place).touch()
    file = tmp_path / "shop.yaml"
    file.write_text((GOLDEN / "shop.sky.yaml").read_text().replace("/here", str(tmp_path)))
    task = sky.Task.from_yaml(str(file))
    assert (task.name, task.num_nodes) == ("tunewright-shop", 2)
    assert (
        task.run.startswith("tunewright train '~/tunewright/model.name/tiny'")
        and task.setup == "pip install ./tunewright"
    )
    assert {resources.accelerators["H100"] for resources in task.resources} == {8}
    assert task.file_mounts["~/tunewright/data.train/my.jsonl"] == str(tmp_path / "my.jsonl")
    file.write_text(file.read_text().replace("num_nodes", "nodes"))
    with pytest.raises(ValueError):
        sky.Task.from_yaml(str(file))


def test_kubeflow_reads_its_train_job() -> None:
    models = pytest.importorskip("kubeflow_trainer_api.models", reason="needs the package kubeflow-trainer-api")
    written = yaml.safe_load((GOLDEN / "shop.k8s.yaml").read_text())
    assert models.TrainerV1alpha1TrainJob.from_dict(written).to_dict() == written, "it leaves out what it does not know"
