"""What is searched: texts to axes and back to texts for `--set`."""

import pytest

from tunewright.extras.comparison.search_space import SearchAxis, as_text, parameters, parse_axis, read, settings


@pytest.mark.parametrize(
    ("text", "axis"),
    [
        ("peft.r=4,8, 16", SearchAxis("peft.r", ("4", "8", "16"))),
        ("peft.r=4..64", SearchAxis("peft.r", low=4, high=64, is_whole=True)),
        ("train.learning_rate=1e-5..1e-3", SearchAxis("train.learning_rate", low=1e-5, high=1e-3)),
        ("train.weight_decay=0..0.1", SearchAxis("train.weight_decay", low=0, high=0.1)),
        ("peft.target_modules=[q_proj,v_proj],all-linear", SearchAxis("peft.target_modules", ("[q_proj,v_proj]", "all-linear"))),
        ("model.chat_template=../a.jinja,../b.jinja", SearchAxis("model.chat_template", ("../a.jinja", "../b.jinja"))),
        ("method=lora", SearchAxis("method", ("lora",))),
    ],
)  # fmt: skip
def test_choices_and_ranges_are_read(text: str, axis: SearchAxis) -> None:
    assert parse_axis(text) == axis
    assert SearchAxis.from_json(axis.to_json()) == axis


@pytest.mark.parametrize("text", ["", "peft.r", "peft.r=", "=4,8", "peft.r=4,,8", "peft.r=8..4", "peft.r=8..8"])
def test_what_is_neither_is_refused(text: str) -> None:
    assert parse_axis(text) is None


def test_wide_ranges_are_searched_by_orders_of_magnitude() -> None:
    wide, narrow = SearchAxis("a.b", low=1e-5, high=1e-3), SearchAxis("a.b", low=0.1, high=0.3)
    assert (wide.is_log, narrow.is_log, SearchAxis("a.b", low=0.0, high=9.0).is_log) == (True, False, False)


@pytest.mark.parametrize("value", [1e-05, 1e-08, 0.00034, 1e16, 8, "[q_proj]"])
def test_numbers_stay_numbers_on_their_way_through_yaml(value: object) -> None:
    text = as_text(value)
    assert read("train.adam_epsilon", text) == (value if not isinstance(value, str) else ["q_proj"])


def test_a_factor_is_multiplied_with_what_the_trial_picked() -> None:
    axes = [SearchAxis("peft.r", ("4", "8")), SearchAxis("peft.lora_alpha", ("1", "2"), times="peft.r")]
    picked = {"peft.r": "8", "peft.lora_alpha / peft.r": "2"}
    assert settings(axes, picked) == {"peft.r": "8", "peft.lora_alpha": "16"}
    assert parameters(axes, picked) == {"peft.r": 8, "peft.lora_alpha": 16}
