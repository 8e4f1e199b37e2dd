"""What the system refuses while a run is planned has a code from Python, too, as it has on the command line."""

from pathlib import Path
from typing import Any

import pytest

from tunewright import api
from tunewright.errors import TunewrightError, of_system, system_faults

LONG = "x" * 300


@pytest.mark.parametrize(("key", "code"), [("data.train", "E522"), ("model.name", "E522"), ("run.output_dir", "E524")])
def test_a_name_that_no_file_can_have_is_refused_with_a_code(model: Path, rows: Path, key: str, code: str) -> None:
    named: dict[str, Any] = {"model.name": str(model), "data.train": str(rows), key: LONG}
    with pytest.raises(TunewrightError, match=LONG) as caught:
        api.plan(api.load(named=named))
    assert caught.value.problems[0].code == code


@pytest.mark.parametrize("key", ["data.train", "model.name", "run.output_dir"])
def test_a_text_that_is_too_long_is_no_list(key: str) -> None:
    named = {"model.name": "smollm2", "data.train": "rows.jsonl", key: "x" * 5_000}
    with pytest.raises(TunewrightError, match=r"E103.*must be text of at most 4096 characters"):
        api.load(named=named)


def test_what_is_refused_is_named_as_people_know_it(tmp_path: Path) -> None:
    refused = of_system(OSError(30, "Read-only file system", str(tmp_path / "run" / ".staging-ab" / "a.json")), ".")
    (problem,) = refused.problems
    assert problem.code == "E521" and problem.values["path"] == str(tmp_path / "run")
    assert f"ls -ld {tmp_path} " in problem.fixes()[1], "what is there can be listed"


@pytest.mark.parametrize(
    ("fault", "code"), [(PermissionError(13, "no", "a"), "E521"), (OSError(5, "I/O", "b"), "E523")]
)
def test_faults_of_the_system_keep_their_path(fault: OSError, code: str) -> None:
    with pytest.raises(TunewrightError, match=code) as caught, system_faults():
        raise fault
    assert caught.value.problems[0].values["path"] == fault.filename


def test_faults_of_ours_stay_what_they_are() -> None:
    from tunewright.errors import error

    with pytest.raises(TunewrightError, match="E702"), system_faults():
        raise error("E702", name="a/b", reason="none")
