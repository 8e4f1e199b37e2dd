"""NaN and infinity are found by the name of their tensor."""

import pytest
import torch
from torch import nn

from tunewright.engine.models.finite import check_finite, first_not_finite, moments, trained_tensors
from tunewright.errors import TrainingError


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_the_first_tensor_that_is_not_finite_is_named(value: float) -> None:
    tensors = {"finite": torch.ones(3), "integers": torch.tensor([1, 2]), "broken": torch.tensor([1.0, value])}
    assert first_not_finite(tensors.items()) == "broken"
    with pytest.raises(TrainingError) as refused:
        check_finite(tensors.items(), step=4)
    problem = refused.value.problems[0]
    assert (problem.code, problem.values["name"], problem.values["step"]) == ("E511", "broken", 4)
    assert problem.entry.exit_code == 10


def test_finite_tensors_pass() -> None:
    assert first_not_finite({"a": torch.zeros(2), "b": torch.tensor([True])}.items()) is None
    check_finite([])


def test_trained_tensors_and_moments_of_the_optimizer_are_named() -> None:
    model = nn.Linear(2, 2)
    model.bias.requires_grad_(False)
    assert [name for name, _tensor in trained_tensors(model)] == ["weight"]
    optimizer = torch.optim.AdamW([model.weight])
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert {name for name, _tensor in moments(optimizer)} == {
        "optimizer.step",
        "optimizer.exp_avg",
        "optimizer.exp_avg_sq",
    }
