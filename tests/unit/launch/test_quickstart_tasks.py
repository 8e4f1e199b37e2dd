"""The built-in tasks: each is a file of rows that the product recognises, and a config that it accepts."""

import json
from pathlib import Path

import pytest

from tunewright.config.load_config import load
from tunewright.config.tasks import TASKS, Task
from tunewright.data.examples.formats import sniff
from tunewright.data.files.readers import read_rows
from tunewright.errors import ConfigError
from tunewright.inspection.builtin_models import BUNDLED
from tunewright.launch import quickstart_tasks

FORMATS: dict[Task, str] = {
    "causal_lm": "messages",
    "seq2seq": "question_answer",
    "seq_cls": "labelled_text",
    "token_cls": "tagged_words",
}


def test_every_task_has_a_recipe_on_a_built_in_model() -> None:
    assert set(quickstart_tasks.RECIPES) == set(TASKS)
    assert {recipe.model for recipe in quickstart_tasks.RECIPES.values()} <= set(BUNDLED)


@pytest.mark.parametrize("task", TASKS)
def test_a_request_is_a_sound_config(task: Task, home: Path) -> None:
    run = load(named=quickstart_tasks.request(5, task)).run
    assert (run.task, run.train.seed, run.model.name) == (task, 5, quickstart_tasks.RECIPES[task].model)
    for path, rows in (
        (run.data.train, quickstart_tasks.RECIPES[task].rows),
        (run.data.holdout, quickstart_tasks.HELD_OUT_ROWS),
    ):
        raw = read_rows(str(path))
        assert (len(raw.rows), raw.problems) == (rows, [])
        assert sniff(raw.rows, task=task).name == FORMATS[task]


def test_runs_of_two_tasks_do_not_share_a_name(home: Path) -> None:
    assert len({quickstart_tasks.request(5, task)["run.name"] for task in TASKS}) == len(TASKS)


def test_the_same_seed_gives_the_same_files(home: Path) -> None:
    first = quickstart_tasks.write_demo(3, "seq_cls")
    assert first == quickstart_tasks.write_demo(3, "seq_cls")
    assert set(first).isdisjoint(quickstart_tasks.write_demo(4, "seq_cls"))
    assert set(first).isdisjoint(quickstart_tasks.write_demo(3, "token_cls"))
    assert json.loads(first[0].read_text().splitlines()[0]).keys() == {"text", "label"}


@pytest.mark.parametrize("task", TASKS)
def test_a_task_goes_by_both_its_names_in_any_case(task: Task) -> None:
    other = TASKS[task].task_type
    assert [quickstart_tasks.task_named(word) for word in (task, task.upper(), other, other.lower())] == [task] * 4


@pytest.mark.parametrize("word", ["seq-cls", "", "lora"])
def test_a_task_that_does_not_exist_is_refused_with_those_that_do(word: str) -> None:
    with pytest.raises(ConfigError, match=r"E103 .*causal_lm, seq2seq, seq_cls, token_cls"):
        quickstart_tasks.task_named(word)
