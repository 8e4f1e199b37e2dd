"""What is passed on, held against the model without torch."""

from collections.abc import Callable
from typing import Any

import pytest

from tunewright.config.load_config import load
from tunewright.errors import TunewrightError
from tunewright.planning.make_plan import make_plan
from tunewright.planning.passthrough_settings import passed_on
from tunewright.planning.run_plan import InspectedFacts

Build = Callable[..., InspectedFacts]
SMALL = {"model": "m", "data": "rows.jsonl", "task": "causal_lm"}


def refusal(facts: InspectedFacts, *sets: str, **named: Any) -> tuple[str, str]:
    with pytest.raises(TunewrightError) as caught:
        make_plan(load(named=SMALL | named, sets=sets).run, facts)
    return caught.value.problems[0].code, caught.value.problems[0].message()


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("layers_to_transform=99", "peft.layers_to_transform names 99, and this model has 30 layers, counted from 0"),
        (
            "layers_to_transform=[29, 30]",
            "peft.layers_to_transform names 30, and this model has 30 layers, counted from 0",
        ),
        (
            "layer_replication=[[0, 99]]",
            "peft.layer_replication names [0, 99], and this model has 30 layers, counted from 0",
        ),
        (
            "layer_replication=[[5, 5]]",
            "peft.layer_replication names [5, 5], and this model has 30 layers, counted from 0",
        ),
        (
            "trainable_token_indices=[99999]",
            "peft.trainable_token_indices names 99999, and this model has 49152 tokens, counted from 0",
        ),
        (
            "trainable_token_indices={embed_tokens: [1, 49152]}",
            "peft.trainable_token_indices names 49152, and this model has 49152 tokens, counted from 0",
        ),
    ],
)
def test_numbers_beyond_the_model_are_refused(facts: Build, setting: str, sentence: str) -> None:
    assert refusal(facts(), f"peft.{setting}") == ("E140", sentence)


@pytest.mark.parametrize(
    "setting", ["layers_to_transform=29", "layer_replication=[[0, 30], [0, 3]]", "layers_to_transform=[]"]
)
def test_numbers_of_the_model_are_taken(facts: Build, setting: str) -> None:
    assert make_plan(load(named=SMALL, sets=[f"peft.{setting}"]).run, facts()).trainable_parameters > 0


@pytest.mark.parametrize("key", ["rank_pattern", "alpha_pattern"])
@pytest.mark.parametrize("text", ["(", "[a", "*q", "q{2,1}", "(?P<a"])
def test_a_key_that_is_no_pattern_is_refused(facts: Build, key: str, text: str) -> None:
    code, sentence = refusal(facts(), f"peft.{key}={{'{text}': 4}}")
    assert code == "E143" and sentence.startswith(f"peft.{key} holds no pattern that can be used: {text} (")


@pytest.mark.parametrize("key", ["exclude_modules", "layers_pattern", "target_modules"])
def test_a_text_that_is_no_pattern_is_refused(facts: Build, key: str) -> None:
    assert refusal(facts(), f"peft.{key}='(q_proj'")[0] == "E143"


@pytest.mark.parametrize("text", ["*a", "(up_proj", "[", "a{2,1}"])
def test_feed_forward_layers_of_ia3_are_named_by_a_pattern_or_refused(facts: Build, text: str) -> None:
    code, sentence = refusal(facts(), "method=ia3", f"peft.feedforward_modules='{text}'")
    assert code == "E143" and sentence.startswith(f"peft.feedforward_modules holds no pattern that can be used: {text}")


@pytest.mark.parametrize(
    ("sets", "what"),
    [
        (("train.per_device_train_batch_size=2147483647", "train.gradient_accumulation_steps=2"), "the rows of a step"),
        (("train.num_train_epochs=1000000", "train.per_device_train_batch_size=1", "train.gradient_accumulation_steps=1"),
         "the steps of the run"),
    ],
)  # fmt: skip
def test_what_counters_do_not_hold_is_refused(facts: Build, sets: tuple[str, ...], what: str) -> None:
    code, sentence = refusal(facts(rows=100_000), *sets)
    assert code == "E144" and sentence.startswith(f"{what} would be ")


def test_blocks_of_c3a_divide_the_layers(facts: Build) -> None:
    assert refusal(facts(), "peft.block_size=7", method="c3a")[0] == "E146"
    assert make_plan(load(named=SMALL | {"method": "c3a"}, sets=["peft.block_size=64"]).run, facts()).num_steps


def test_only_what_upstream_alone_can_judge_is_tried() -> None:
    assert passed_on(load(named=SMALL, sets=["train.learning_rate=1e-3", "peft.r=4", "train.seed=1"]).run) == []
    sets = ["train.adam_beta1=0.8", "train.optim=sgd", "peft.use_dora=true"]
    assert passed_on(load(named=SMALL, sets=sets).run) == ["train.optim", "train.adam_beta1", "peft.use_dora"]
