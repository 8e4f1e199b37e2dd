"""Each sick run of benchmarks/diagnose: its first remedy leads to a run without the fault, or it is said why none can."""

import importlib
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from benchmarks.diagnose.cases import CASES
from tests.studio.conftest import browsing as browsing
from tests.studio.conftest import keys as keys
from tests.studio.test_every_remedy import FOR_A_PERSON, NOTHING

pytestmark = pytest.mark.slow
BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "diagnose"
# What causes the fault is in the rows or on the machine, and the run itself has gone on with less memory.
REFUSED = {
    "E147": {
        "templated_twice", "contradictory_labels", "repeated_rows", "labels_of_other_rows", "broken_numbers", "nothing_to_learn",
        "busy_neighbours", "foreign_template",
    },
    "E148": {"out_of_memory"},
}  # fmt: skip


@pytest.fixture
def zoo(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The benchmark, which is a script."""
    monkeypatch.syspath_prepend(str(BENCHMARK))
    return importlib.import_module("run")


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.code])
def test_a_sick_run_is_healed_by_its_first_remedy_or_it_is_said_why_none_can(
    name: str, zoo: Any, tmp_path: Path, browsing: Any
) -> None:
    browser: TestClient = browsing()
    (tmp_path / "rows").mkdir()
    ended = zoo.trained(name, tmp_path / "rows", tmp_path / "runs" / "sick")
    found = zoo.tunewright(["diagnose", ended["run"]])["findings"]
    wanted = set(CASES[name].code.split())
    assert wanted & {finding["code"] for finding in found}
    page = browser.get("/runs/sick/findings").text
    assert all(f"<code>{finding['code']}</code>" in page for finding in found)

    outcome = zoo.applied(ended["run"], tmp_path)
    refused = next((code for code, names in REFUSED.items() if name in names), None)
    assert outcome.get("refused") == refused, (found, outcome)
    if refused:
        assert (FOR_A_PERSON if refused == "E147" else NOTHING) in page
    else:
        first = next(finding["code"] for finding in found if finding["remedies"])
        assert f'name="code" value="{first}"' in page and "Apply and run again" in page
        assert outcome["state"] == "finished" and not {first, *wanted} & set(outcome["codes"]), (found, outcome)
