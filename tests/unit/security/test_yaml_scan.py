"""YAML of strangers is looked through once, and no deeper than it has to be."""

import pytest
import yaml

from tunewright.security import yaml_scan
from tunewright.security.yaml_scan import MAX_DEPTH, has_alias


def test_aliases_are_seen_at_any_depth() -> None:
    assert has_alias("a: &a 1\nb: {c: [*a]}\n")
    assert not has_alias("a: &a 1\nb: '*a'\n")


@pytest.mark.parametrize("text", ["[" * 30_000, "{a: " * 30_000, "- " * 30_000, "[" * (MAX_DEPTH + 1)])
def test_what_is_nested_too_deeply_is_left_before_it_takes_long(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = 0

    def counted(text: str) -> object:
        nonlocal tokens
        for token in scan(text):
            tokens += 1
            yield token

    scan = yaml.scan
    monkeypatch.setattr(yaml_scan.yaml, "scan", counted)
    with pytest.raises(yaml.YAMLError, match="nested too deeply"):
        has_alias(text)
    assert tokens < 10 * MAX_DEPTH


def test_a_text_of_the_usual_depth_is_read_to_its_end() -> None:
    assert not has_alias("[" * MAX_DEPTH + "]" * MAX_DEPTH)
