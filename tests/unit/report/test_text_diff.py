"""What one text has and the other has not, word by word; nothing is lost of either."""

import pytest

from tunewright.report.text_diff import DiffPart, differing


def marked(text: str, other: str) -> list[str]:
    parts = differing(text, other)
    assert "".join(part.text for part in parts) == text
    return [part.text for part in parts if part.is_only_here]


@pytest.mark.parametrize(
    ("text", "other", "only_here"),
    [
        ("the red lamp to Oslo", "the blue lamp to Oslo", ["red"]),
        ("the red lamp to Oslo", "the lamp to Oslo", ["red"]),
        ("the lamp to Oslo", "the red lamp to Oslo", []),
        ("to New York, please", "to Oslo, please", ["New York"]),
        ("我要三个红色的杯子", "我要三个蓝色的杯子", ["红"]),
        ("equal", "equal", []),
        ("", "something", []),
        ("  \n", "  \n", []),
        ("Sure! How can I help you today?", '{"intent": "order"}', []),
    ],
)
def test_words_of_their_own_are_marked(text: str, other: str, only_here: list[str]) -> None:
    assert marked(text, other) == only_here


def test_the_order_of_fields_is_no_difference() -> None:
    gold, answer = '{"item": "mug", "count": 2, "city": "Oslo"}', '{"city":"Bergen","count":2,"item":"mug"}'
    assert marked(answer, gold) == ["Bergen"]
    assert marked(gold, answer) == ["Oslo"]
    assert marked('{"a": 1, "b": 2}', '{"b": 2}') == ['"a": 1,']


def test_neighbouring_words_are_one_part() -> None:
    assert differing("send red wool socks now please", "send them now please") == [
        DiffPart("send "),
        DiffPart("red wool socks", is_only_here=True),
        DiffPart(" now please"),
    ]
