"""What processes compare before they compute together: contents and settings, not where a machine keeps its files."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from peft import PeftModel

from tests.unit.engine.conftest import Rows
from tests.unit.planning.conftest import facts
from tunewright.config.run_config import RunConfig
from tunewright.data.summary import DataSummary
from tunewright.engine.system.ranks import Ranks
from tunewright.engine.training.dataset import TokenizedDataset
from tunewright.engine.training.rank_agreement import agree_on_start
from tunewright.errors import TrainingError
from tunewright.planning.make_plan import make_plan
from tunewright.planning.run_plan import InspectedFacts

__all__ = ["facts"]
Agree = Callable[..., None]


@dataclass(frozen=True)
class OneAfterTheOther(Ranks):
    """Two processes, of which the first says everything before the second."""

    said: list[Any] = field(default_factory=list)

    def gather(self, value: Any) -> list[Any]:
        if self.is_first:
            self.said.append(value)
        return [self.said.pop(0), value] if not self.is_first else [value, value]

    def take_from_first(self, tensors: Any) -> None:
        pass


@pytest.fixture
def agree(facts: Callable[..., InspectedFacts], tiny_causal_model: PeftModel, causal_rows: Rows) -> Agree:
    """Both begin: the first as usual, the second with other settings, or other lengths of its rows."""

    def begin(ranks: Ranks, lengths: tuple[int, ...] = (5, 4, 6), **settings: Any) -> None:
        base = {"model": "/here/model", "data": "/here/my.jsonl", "task": "causal_lm"}
        plan = make_plan(RunConfig.model_validate(base | settings), facts())
        data = TokenizedDataset(causal_rows(*lengths), causal_rows(3), DataSummary.model_construct(), {}, None)
        agree_on_start(ranks, plan, tiny_causal_model, ["plain"], data)

    def both(**second: Any) -> None:
        first = OneAfterTheOther(0, 2)
        begin(first)
        begin(replace(first, rank=1), **second)

    return both


def test_files_may_lie_elsewhere_and_a_run_may_have_another_name(agree: Agree) -> None:
    agree()
    agree(model="/there/model", data="/there/my.jsonl", run={"name": "other"}, launch={"timeout_seconds": 9})


def test_another_setting_is_named_with_both_values_and_how_it_is_set(agree: Agree) -> None:
    with pytest.raises(TrainingError) as caught:
        agree(train={"optim": "sgd"})
    (problem,) = caught.value.problems
    assert (problem.code, problem.values["what"], problem.values["value"]) == ("E526", "train.optim", '"sgd"')
    assert problem.fixes()[0] == f"set it on every machine: --set 'train.optim={problem.values['first']}'"


def test_other_rows_are_found_by_what_is_in_them(agree: Agree) -> None:
    with pytest.raises(TrainingError) as caught:
        agree(lengths=(5, 6, 4))
    assert [problem.values["what"] for problem in caught.value.problems] == ["rows"]
