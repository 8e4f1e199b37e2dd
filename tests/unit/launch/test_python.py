"""What a person writes in Python: the words of the command line, rows in a list, and what is shown of the results."""

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

import tunewright as tw
from tunewright import api
from tunewright.config.shortcuts import SHORTCUTS, paths_of
from tunewright.errors import ConfigError
from tunewright.launch import python_rows as listed
from tunewright.security import html_table

ROWS = [{"prompt": f"How much is {i} and {i}?", "completion": f"It is {2 * i}."} for i in range(30)]


def fixes(**settings: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        paths_of(settings)
    (problem,) = caught.value.problems
    assert problem.code == "E132"
    assert all(fix in str(caught.value) for fix in problem.fixes())
    return problem.fixes()[:-1]


def test_the_words_of_the_command_line_are_arguments() -> None:
    short = {
        "epochs": 1,
        "lr": 1e-3,
        "rank": 4,
        "seed": 0,
        "output": "o",
        "skip_bad": True,
        "map": {"prompt": "q"},
        "offline": True,
        "device_index": 0,
        "processes": 2,
        "nodes": 2,
        "node_rank": 1,
        "main": "a:1",
    }
    assert set(short) == set(SHORTCUTS)
    assert paths_of(short | {"task": "seq_cls", "method": "adalora", "peft": {"lora_dropout": 0.1}, "data.holdout": 0.2}) == {
        "train.num_train_epochs": 1, "train.learning_rate": 1e-3, "peft.target_r": 4, "train.seed": 0, "run.output_dir": "o",
        "data.skip_bad": True, "data.map": {"prompt": "q"}, "run.offline": True, "run.device_index": 0,
        "launch.processes": 2, "launch.nodes": 2, "launch.node_rank": 1, "launch.main": "a:1",
        "task": "seq_cls", "method": "adalora",
        "peft.lora_dropout": 0.1, "data.holdout": 0.2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({"num_train_epochs": 1}, ['write train={"num_train_epochs": 1}', "write epochs=1"]),
        ({"learning_rate": 1e-3}, ['write train={"learning_rate": 0.001}', "write lr=0.001"]),
        ({"max_length": 64}, ['write **{"data.max_length": 64}']),
        ({"quantization": "4bit"}, ["write **{\"model.quantization\": '4bit'}"]),
        ({"target_modules": ["q_proj"]}, ["write peft={\"target_modules\": ['q_proj']}"]),
        ({"r": 8}, ['write peft={"r": 8}', "write rank=8"]),
        ({"lora_rank": 8}, ['write peft={"r": 8}', "write rank=8"]),
        ({"batch_size": 4}, ['write train={"per_device_train_batch_size": 4}']),
        ({"epohcs": 2}, ["write epochs=2"]),
        ({"outptu": "x"}, ["write output='x'"]),
        ({"methd": "ia3"}, ["write method='ia3'"]),
        ({"zzz": 1}, []),
    ],
)
def test_a_wrong_name_is_told_where_it_belongs(settings: dict[str, Any], wanted: list[str]) -> None:
    assert fixes(**settings) == wanted


def test_what_is_proposed_is_taken() -> None:
    for settings in ({"num_train_epochs": 1}, {"max_length": 64}, {"r": 8}, {"batch_size": 4}, {"epohcs": 2}):
        for fix in fixes(**settings):
            arguments = eval(f"dict({fix.removeprefix('write ')})")
            assert paths_of(arguments)


def test_all_wrong_names_are_told_at_once_and_owned_ones_say_why() -> None:
    with pytest.raises(ConfigError) as caught:
        api.train("smollm2", "my.jsonl", epoch=1, max_lenght=3)
    assert [problem.code for problem in caught.value.problems] == ["E132", "E132"]
    with pytest.raises(ConfigError, match=r"E118.*model\.precision"):
        api.train("smollm2", "my.jsonl", bf16=True)


def test_rows_of_a_list_become_a_private_file_named_by_their_content(home: Path) -> None:
    before = os.umask(0)
    try:
        path = Path(listed.path_of(ROWS))
    finally:
        os.umask(before)
    assert [json.loads(line) for line in path.read_text().splitlines()] == ROWS
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert path.parent == home / "rows"
    assert listed.path_of(tuple(ROWS)) == str(path) != listed.path_of(ROWS[:-1])
    path.write_text("something else")
    assert Path(listed.path_of(ROWS)).read_text().count("\n") == 30
    assert listed.path_of("my.jsonl") == listed.path_of(Path("my.jsonl")) == "my.jsonl"


class _Table:
    """Stands for a table of a library."""


@pytest.mark.parametrize(
    ("library", "fix"),
    [("pandas.core.frame", 'data=data.to_dict("records")'), ("polars.dataframe", "data=data.to_dicts()"),
     ("datasets.arrow_dataset", "data=data.to_list()"), ("mine", "data=list(data)")],
)  # fmt: skip
def test_a_table_is_answered_with_how_it_becomes_rows(library: str, fix: str) -> None:
    table = type("DataFrame", (_Table,), {"__module__": library})()
    for call in (api.train, api.plan):
        with pytest.raises(ConfigError) as caught:
            call("smollm2", table)
        assert caught.value.problems[0].fixes() == [fix]
        assert "a list of rows, not a DataFrame" in str(caught.value)


@pytest.mark.parametrize("data", [{"prompt": "a", "completion": "b"}, 3, {"a": [1]}.values()])
def test_what_is_no_list_is_no_data(data: Any) -> None:
    with pytest.raises(ConfigError, match="E139"):
        api.data_check(data)


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ("text", "row 2 of the list is not a row: str"),
        ({"a": {1, 2}}, "set"),
        ({("a",): 1}, "tuple"),
        ({"a": "\ud83d"}, "surrogates"),
    ],
)
def test_a_row_that_json_cannot_hold_is_told_by_its_number(row: Any, text: str) -> None:
    with pytest.raises(ConfigError, match="E138 row 2") as caught:
        api.plan("smollm2", [ROWS[0], row])
    assert text in str(caught.value)


def test_a_table_in_a_notebook_escapes_what_it_shows() -> None:
    shown = html_table("<b>\x1b", [("<script>", "a & b", "\u202e")])
    assert shown == (
        "<table><caption>&lt;b&gt;\\x1b</caption>"
        "<tr><th>&lt;script&gt;</th><td>a &amp; b</td><td>\\u202e</td></tr></table>"
    )


def test_the_package_shows_what_is_meant_for_use() -> None:
    assert dir(tw) == sorted([*tw.__all__, "__version__"])


@pytest.mark.parametrize(
    ("launch", "named"),
    [
        ({"nodes": 2, "main": "a:1"}, "launch.nodes=2"),
        ({"processes": 2}, "launch.processes=2"),
        ({"nodes": 2, "processes": 3, "main": "a:1"}, "launch.processes=3, launch.nodes=2"),
    ],
)
def test_this_process_is_one(launch: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        api.train("smollm2", ROWS, inline_process=True, launch=launch)
    (problem,) = caught.value.problems
    assert (problem.code, problem.values["first"]) == ("E109", named)
    assert problem.fixes() == [f"launch={ {name: 1 for name in ('processes', 'nodes') if name in launch} }"]
