"""`explain WORD`: codes, keys, presets and terms."""

import pytest

from tunewright.catalogue import CATALOGUE
from tunewright.errors import SpecError
from tunewright.spec.glossary import explain
from tunewright.spec.keys import SECTIONS, options, upstream
from tunewright.spec.methods import METHODS
from tunewright.spec.renamed import OWNED, REMOVED, RENAMED
from tunewright.spec.terms import TERMS


def test_every_code_is_explained_without_placeholders() -> None:
    for code in CATALOGUE:
        found = explain(code.lower())
        assert (found.kind, found.title[:4]) == ("code", code)
        assert "{" not in found.title + "".join(found.fixes)


def test_every_key_is_explained_by_its_path_and_by_its_last_part() -> None:
    for path, field in options():
        for word in (path, path.rpartition(".")[2]):
            found = explain(word)
            if word not in SECTIONS:
                assert field.description in found.paragraphs, word


def test_every_other_word_that_messages_send_people_to_is_known() -> None:
    for word in ("config", *SECTIONS, "peft.target_modules[1]", "data.map.prompt", "fast_paths.answer_loss"):
        assert explain(word).kind == "key"
    for section in SECTIONS:
        for name in upstream(section):
            assert explain(f"{section}.{name}").title == f"{section}.{name}"
    for table in (RENAMED, REMOVED, OWNED):
        for names in table.values():
            assert all(explain(name).paragraphs for name in names)


def test_every_term_is_found_by_its_name_in_any_spelling() -> None:
    assert len(TERMS) >= 30
    for term in TERMS:
        for word in (term.name, term.name.upper(), term.name.replace(" ", "_"), term.name.replace("-", " ")):
            assert any(term.text in paragraph for paragraph in explain(word).paragraphs), word
        assert 2 <= term.text.count(". ") + term.text.count("? ") + 1 <= 4, term.name


def test_a_key_brings_its_term_with_it() -> None:
    found = explain("r")
    assert (found.title, found.fixes) == ("peft.r", ("--set peft.r=VALUE",))
    assert any("thin matrices" in paragraph for paragraph in found.paragraphs)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_explained_by_its_name_and_its_title(name: str) -> None:
    row = METHODS[name]
    for word in (name, row.title):
        found = explain(word)
        assert (found.title, found.fixes) == (f"{name}: {row.title}", (f"--method {name}",))
        assert found.paragraphs[0] == row.about
    declared = [key for key, field in row.model.model_fields.items() if not field.exclude]
    assert all(key in found.paragraphs[1] for key in declared)


@pytest.mark.parametrize(
    ("word", "meant"), [("overfiting", "overfitting"), ("E1022", "E1"), ("learnig_rate", "learning")]
)
def test_an_unknown_word_gets_a_suggestion(word: str, meant: str) -> None:
    with pytest.raises(SpecError) as caught:
        explain(word)
    (problem,) = caught.value.problems
    assert problem.code == "E111"
    assert meant in problem.values["suggestion"]


def test_a_word_like_no_other_gets_no_suggestion() -> None:
    with pytest.raises(SpecError) as caught:
        explain("qqqqqq")
    assert caught.value.problems[0].fixes() == []
