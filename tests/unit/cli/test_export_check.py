"""`tunewright export check`: what was seen of each check; the exit code is 8 if one does not hold."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.proofs import proof_of
from tunewright import api
from tunewright.api import proofs
from tunewright.errors.exit_codes import EXIT_CHECK_FAILED, EXIT_MISSING_PART, EXIT_NETWORK, EXIT_USAGE
from tunewright.rundir.records import Proof

MakeRun = Callable[..., api.TrainedRun]


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> Callable[[Proof], list[dict[str, Any]]]:
    """Every comparison gives this proof; what it was asked is listed."""

    def gives(proof: Proof) -> list[dict[str, Any]]:
        asked: list[dict[str, Any]] = []

        def check(*arguments: Any, **options: Any) -> Proof:
            asked.append({"arguments": arguments, **options})
            return proof

        monkeypatch.setattr(proofs.check_deployed, "check", check)
        monkeypatch.setattr(proofs, "check_folder", check)
        monkeypatch.setattr(proofs.check_deployed, "reach", lambda _endpoint: None)
        return asked

    return gives


def test_a_folder_that_answers_as_the_run_is_told_check_by_check(
    tw, make_run: MakeRun, compared: Callable[..., Any], tmp_path: Path
) -> None:
    run = make_run()
    compared(proof_of())
    (tmp_path / "out").mkdir()
    shown = tw("export", "check", str(tmp_path / "out"), "--run", run.name)
    assert shown.code == 0
    assert "gguf q8_0, merged through llama.cpp b1, 40 rows" in shown.out
    assert "text of the prompt" in shown.out and "answers as the run" in shown.out
    assert Proof.model_validate_json((tmp_path / "out" / "proof.json").read_text()) == proof_of()
    record = run.dir.proofs()
    assert record is not None and list(record.proofs) == ["gguf q8_0, merged"]


def test_a_check_that_does_not_hold_ends_with_8_and_its_rows(
    tw, make_run: MakeRun, compared: Callable[..., Any]
) -> None:
    make_run()
    compared(proof_of(answers="failed"))
    shown = tw("export", "check", "http://127.0.0.1:9")
    assert shown.code == EXIT_CHECK_FAILED
    assert "error E662" in shown.err and "answers" in shown.err and "7, 9" in shown.err
    assert "DOES NOT HOLD" in shown.out and "answers as the run" not in shown.out


def test_json_has_all_figures(tw, make_run: MakeRun, compared: Callable[..., Any]) -> None:
    make_run()
    compared(proof_of(tuned="failed"))
    shown = tw("export", "check", "http://127.0.0.1:9", "--json")
    assert shown.code == EXIT_CHECK_FAILED
    assert shown.json["proven"] is False and len(shown.json["checks"]) == 7 and shown.json["schema"] == 1


def test_an_address_is_asked_by_name_with_the_key_of_a_file(
    tw, make_run: MakeRun, compared: Callable[..., Any], tmp_path: Path
) -> None:
    make_run()
    asked = compared(proof_of())
    (tmp_path / "key").write_text("secret\n")
    words = ("--model", "mita", "--api-key-file", str(tmp_path / "key"), "--quant", "q4_k_m", "--rows", "5")
    assert tw("export", "check", "http://127.0.0.1:9/v1/", *words).code == 0
    _run, _session, endpoint, deployed = asked[0]["arguments"]
    assert (endpoint.url, endpoint.key, endpoint.model) == ("http://127.0.0.1:9", "secret", "mita")
    assert asked[0]["rows"] == 5 and not asked[0]["exactness"].is_exact
    assert "secret" not in deployed.what and "secret" not in repr(endpoint)


def test_a_folder_without_a_file_for_an_engine_is_refused_before_the_model_is_loaded(
    tw, make_run: MakeRun, tmp_path: Path
) -> None:
    make_run()
    shown = tw("export", "check", str(tmp_path))
    assert shown.code == EXIT_USAGE and "error E664" in shown.err and "no GGUF file" in shown.err


def test_an_address_where_nothing_answers_is_told_before_the_model_is_loaded(
    tw, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run()
    monkeypatch.setattr(api.TrainedRun, "session", lambda _run: pytest.fail("a model was loaded"))
    shown = tw("export", "check", "http://127.0.0.1:9")
    assert shown.code == EXIT_NETWORK and "error E660" in shown.err and "http://127.0.0.1:9" in shown.err


def test_a_key_file_that_is_not_there_says_so(tw, make_run: MakeRun) -> None:
    make_run()
    shown = tw("export", "check", "http://127.0.0.1:9", "--api-key-file", "nosuch")
    assert "nosuch" in shown.err and shown.code not in (0, EXIT_NETWORK, EXIT_MISSING_PART)


def test_an_address_with_a_key_in_it_is_refused_and_not_repeated(tw, make_run: MakeRun) -> None:
    run = make_run()
    shown = tw("export", "check", "http://me:secret@127.0.0.1:9")
    assert "error E660" in shown.err and "--api-key-file" in shown.err and shown.code == EXIT_NETWORK
    assert "secret" not in shown.out + shown.err and run.dir.proofs() is None


def test_its_help_is_that_of_a_verb_of_two_words(tw) -> None:
    for words in (("export", "check", "--help"), ("help", "export", "check")):
        assert tw(*words).out.startswith("Usage: tunewright export check [OPTIONS]")
    assert "export check" in tw("export", "--help").out
    assert tw("export", "check").code == EXIT_USAGE
