"""A stranger's folder of benchmark tasks: values and data are taken, whatever names code is refused before it is opened."""

from pathlib import Path

import pytest

from tests.hostile import TRIED
from tunewright.errors import TunewrightError
from tunewright.security import gate_task_folder

TASK = """\
task: shop
dataset_path: json
dataset_kwargs: {data_files: {test: shop.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: "{{choices}}"
doc_to_target: "{{answer}}"
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
"""
HOSTILE = {
    "a function": "process_docs: !function utils.process",
    "a function in a list": "metric_list: [{metric: !function utils.metric}]",
    "a key that is a function": "? !function utils.key\n: 1",
    "a python tag": "doc_to_text: !!python/object/apply:os.system [touch canary]",
    "another python tag": "doc_to_text: !!python/name:os.system ''",
    "a class": "class: utils.Task",
    "a class inside of a group": "group: g\ntask: [{task: t, class: utils.Task}]",
    "unsafe code": "unsafe_code: true",
    "a metric that is a script": "metric_list: [{metric: ./evil.py}]",
    "a metric of a stranger": "metric_list: [{metric: someone/metric}]",
    "a metric fetched by name": "metric_list: [{metric: accuracy, hf_evaluate: true}]",
    "data read by pickle": "dataset_path: pandas",
    "data of a folder": "dataset_path: ./loader",
    "data of a file elsewhere": "dataset_path: ../../loader.py",
    "a data set that is made": "custom_dataset: utils.rows",
    "prompts of another file": "use_prompt: ./prompts.yaml:all",
    "writing by a folder's code": "generation_kwargs: {custom_generate: ./evil, trust_remote_code: true}",
    "aliases that double": "a: &a [1]\nb: [*a, *a]",
    "no YAML": "task: [",
    "depth": "x: " + "[" * 60 + "]" * 60,
    "more depth": "x: " + "[" * 20_000,
    "a missing part": "include: gone.yaml",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "shop.yaml").write_text(TASK)
    return tmp_path / "tasks"


def refusal(folder: Path) -> str:
    with pytest.raises(TunewrightError) as caught:
        gate_task_folder(folder)
    TRIED["task folders"] += 1
    return caught.value.problems[0].code


def test_values_and_data_are_taken(folder: Path) -> None:
    (folder / "_default").write_text("dataset_path: allenai/ai2_arc\nmetadata: {version: 1.0}\n")
    (folder / "more").mkdir()
    (folder / "more" / "other.yaml").write_text("include: ../_default\ntask: other\ntag: [mine]\n")
    (folder / "utils.py").write_text("raise SystemExit")
    gate_task_folder(folder)


@pytest.mark.parametrize("name", HOSTILE)
def test_what_names_code_is_refused(name: str, folder: Path) -> None:
    (folder / "evil.yaml").write_text(f"{HOSTILE[name]}\n")
    assert refusal(folder) == "E608"


def test_parts_of_a_task_are_looked_at_too(folder: Path) -> None:
    (folder / "part").write_text("process_docs: !function utils.process\n")
    (folder / "evil.yaml").write_text("include: [part]\ntask: evil\n")
    assert refusal(folder) == "E608"


def test_parts_come_from_the_folder_alone(folder: Path) -> None:
    (folder.parent / "part.yaml").write_text("class: utils.Task\n")
    (folder / "evil.yaml").write_text("include: ../part.yaml\ntask: evil\n")
    assert refusal(folder) == "E315"
    (folder / "evil.yaml").unlink()
    (folder / "evil.yaml").symlink_to(folder.parent / "part.yaml")
    assert refusal(folder) == "E315"


def test_the_place_of_a_fault_is_told(folder: Path) -> None:
    (folder / "evil.yaml").write_text("task: evil\nprocess_docs: !function utils.process\n")
    with pytest.raises(TunewrightError) as caught:
        gate_task_folder(folder)
    assert str(caught.value.problems[0].where) == f"{folder / 'evil.yaml'}:2:15"


def test_a_folder_without_tasks_is_said(tmp_path: Path) -> None:
    assert refusal(tmp_path) == "E608"
    assert refusal(tmp_path / "missing") == "E608"
