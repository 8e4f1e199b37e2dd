"""The built-in tasks: each is a file of rows that the product recognises, and a config that it accepts."""

import json
from pathlib import Path

import pytest

from tunewright.data.formats import sniff
from tunewright.data.read import read_rows
from tunewright.errors import SpecError
from tunewright.facts.bundled import BUNDLED
from tunewright.flow import demo
from tunewright.spec.load import load
from tunewright.spec.tasks import TASKS, Task

FORMATS: dict[Task, str] = {
    "causal_lm": "messages",
    "seq2seq": "question_answer",
    "seq_cls": "labelled_text",
    "token_cls": "tagged_words",
}


def test_every_task_has_a_recipe_on_a_built_in_model() -> None:
    assert set(demo.RECIPES) == set(TASKS)
    assert {recipe.model for recipe in demo.RECIPES.values()} <= set(BUNDLED)


@pytest.mark.parametrize("task", TASKS)
def test_a_request_is_a_sound_config(task: Task, home: Path) -> None:
    run = load(named=demo.request(5, task)).run
    assert (run.task, run.train.seed, run.model.name) == (task, 5, demo.RECIPES[task].model)
    for path, rows in ((run.data.train, demo.RECIPES[task].rows), (run.data.holdout, demo.HELD_OUT_ROWS)):
        raw = read_rows(str(path))
        assert (len(raw.rows), raw.problems) == (rows, [])
        assert sniff(raw.rows, task=task).name == FORMATS[task]


def test_runs_of_two_tasks_do_not_share_a_name(home: Path) -> None:
    assert len({demo.request(5, task)["run.name"] for task in TASKS}) == len(TASKS)


def test_the_same_seed_gives_the_same_files(home: Path) -> None:
    first = demo.write_demo(3, "seq_cls")
    assert first == demo.write_demo(3, "seq_cls")
    assert set(first).isdisjoint(demo.write_demo(4, "seq_cls"))
    assert set(first).isdisjoint(demo.write_demo(3, "token_cls"))
    assert json.loads(first[0].read_text().splitlines()[0]).keys() == {"text", "label"}


@pytest.mark.parametrize("task", TASKS)
def test_a_task_goes_by_both_its_names_in_any_case(task: Task) -> None:
    other = TASKS[task].task_type
    assert [demo.task_named(word) for word in (task, task.upper(), other, other.lower())] == [task] * 4


@pytest.mark.parametrize("word", ["seq-cls", "", "lora"])
def test_a_task_that_does_not_exist_is_refused_with_those_that_do(word: str) -> None:
    with pytest.raises(SpecError, match=r"E103 .*causal_lm, seq2seq, seq_cls, token_cls"):
        demo.task_named(word)
