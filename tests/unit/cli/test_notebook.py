"""What Python shows of a plan, a run and a check of the data: one line, and a table in a notebook."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tunewright import api
from tunewright.errors import ConfigError

ROWS = [{"question": f"How much is {i} and {i}?", "answer": f"It is {2 * i}."} for i in range(40)]


def test_a_plan_is_one_line_and_takes_what_train_takes(model: Path, rows: Path) -> None:
    plan = api.plan(str(model), str(rows), rank=4, epochs=2, seed=0, peft={"lora_dropout": 0.1})
    assert (plan.run.train.seed, plan.run.train.num_train_epochs, plan.run.peft.lora_dropout) == (0, 2.0, 0.1)  # type: ignore[union-attr]
    assert repr(plan) == str(plan)
    assert repr(plan).startswith(f"Plan({str(model)!r}, {str(rows)!r}: 18 steps of 4 rows, peak ") and repr(
        plan
    ).endswith(", fits)")
    page = plan._repr_html_()
    assert "<th>peft.r</th><td>4</td>" in page and page.count("<table>") == 1


def test_rows_of_a_list_are_data_for_plans_and_checks(model: Path, home: Path) -> None:
    plan = api.plan(str(model), ROWS)
    assert (plan.facts.data.num_train, plan.facts.data.num_held_out) == (36, 4)
    assert Path(plan.run.data.train).parent == home / "rows"
    check = api.data_check([*ROWS, {"question": "<b>", "answer": ""}], str(model), task="causal_lm")
    assert repr(check) == "DataCheck(41 rows, 36 to train, 4 held out, 1 left out: stops a run)"
    assert "E203" in check._repr_html_()
    assert repr(api.data_check(ROWS, str(model))) == "DataCheck(40 rows, 36 to train, 4 held out, 0 left out: sound)"


def test_a_run_is_one_line_with_its_scores(make_run: Callable[..., api.TrainedRun]) -> None:
    run = make_run()
    assert repr(run) == f"TrainedRun({run.name!r}, finished, Answers exactly right: 0\u00a0% -> 75.0\u00a0%)"
    assert "<th>Held-out loss</th><td>2.000</td><td>0.500</td>" in run._repr_html_()
    shutil.rmtree(run.path)
    assert repr(run) == f"TrainedRun({run.name!r}, not there any more)"


def test_names_in_a_table_are_escaped(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "<script>.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    assert "<script>" not in api.plan(str(model), path)._repr_html_()


@pytest.mark.parametrize("settings", [{"num_train_epochs": 1}, {"rankk": 4}])
def test_a_wrong_name_is_told_by_plan_too(settings: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="E132"):
        api.plan("smollm2", "my.jsonl", **settings)  # type: ignore[arg-type]
