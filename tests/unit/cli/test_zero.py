"""A flag of 0 is 0: it is a value, and never the same as none."""

import json
from pathlib import Path
from typing import Any

import pytest

from tunewright import api
from tunewright.errors import error


def refused(shown: Any) -> dict[str, Any]:
    return dict(json.loads(shown.err.splitlines()[-1])["error"])


def test_seed_0_is_0_in_the_plan(tw, model: Path, rows: Path) -> None:
    shown = tw("plan", str(model), str(rows), "--seed", "0", "--json").json
    assert shown["run"]["train"]["seed"] == 0
    assert tw("plan", str(model), str(rows), "--json").json["run"]["train"]["seed"] == 42


@pytest.mark.parametrize(
    ("flag", "key"),
    [("--rank", "peft.r"), ("--lr", "train.learning_rate"), ("--epochs", "train.num_train_epochs")],
)
@pytest.mark.parametrize("zero", ["0", "-0"])
def test_a_zero_that_cannot_be_is_refused_by_its_name(
    tw, model: Path, rows: Path, flag: str, key: str, zero: str
) -> None:
    for verb in ("plan", "train"):
        shown = tw(verb, str(model), str(rows), flag, zero, "--json")
        assert (shown.code, refused(shown)["code"]) == (2, "E103"), (verb, shown.err)
        assert refused(shown)["message"].startswith(f"{key} must be ")


def test_seed_0_reaches_every_run_of_a_sweep(tw, model: Path, rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grids: list[Any] = []

    def opened(settings: Any, *_: Any, **__: Any) -> Any:
        grids.append(settings.config)
        raise error("E403", needed="1 GiB", free="0 GiB", path="here")

    monkeypatch.setattr(api, "open_sweep", opened)
    assert tw("sweep", str(model), str(rows), "--seed", "0", "--json").code == 3
    assert grids[0].named["train.seed"] == 0


def test_a_seed_of_0_reaches_every_run_of_a_comparison(
    tw, model: Path, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grids: list[Any] = []

    def planned(settings: Any, *_: Any, **__: Any) -> Any:
        grids.append(settings)
        raise error("E403", needed="1 GiB", free="0 GiB", path="here")

    monkeypatch.setattr(api, "plan_grid", planned)
    shown = tw("compare", str(model), str(rows), "--ranks", "2,4", "--set", "train.seed=0", "--json")
    assert shown.code == 3
    assert grids[0].load({}).run.train.seed == 0


def test_a_demo_of_seed_0_trains_and_draws_with_0(home: Path) -> None:
    assert api.quickstart_request(0, ()).run.train.seed == 0


@pytest.mark.parametrize("seed", ["4294967296", "-1", "1" + "0" * 400, "abc", "1.5", "nan"])
def test_a_seed_that_no_generator_takes_is_refused(tw, model: Path, rows: Path, seed: str) -> None:
    shown = tw("plan", str(model), str(rows), "--seed", seed, "--json")
    assert (shown.code, refused(shown)["code"]) == (2, "E119" if seed in ("abc", "1.5", "nan") else "E103")
