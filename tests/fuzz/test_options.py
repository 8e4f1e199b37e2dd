"""Every option, own and passed on, with values at the borders of every kind: load and plan, and of some the first step.

What the plan takes begins to train, or is refused before a run begins, with a code. `make test-slow` runs 6,500 of them and
makes 300 first steps: one for each key, then others. TUNEWRIGHT_FUZZ_SEED draws others, TUNEWRIGHT_FUZZ_CASES and
TUNEWRIGHT_FUZZ_STEPS say how many, TUNEWRIGHT_FUZZ_PART=2/8 which of them, TUNEWRIGHT_FUZZ_FAULTS where faults are written.
"""

import json
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz.values import SEED, TEXTS, drawn, part, record, some
from tunewright import api
from tunewright.config.load_config import load, to_yaml
from tunewright.config.schema_keys import SECTIONS, methods_with, options, upstream
from tunewright.engine.system.oom import ran_out
from tunewright.engine.training import dry_run
from tunewright.engine.training.callbacks import StopFlag
from tunewright.engine.worker import work
from tunewright.errors import TunewrightError
from tunewright.errors.catalogue import load_catalogue
from tunewright.launch import start_run
from tunewright.planning.run_plan import Plan
from tunewright.reporting import SILENT

COUNT = int(os.environ.get("TUNEWRIGHT_FUZZ_CASES", "6500"))
STEPS = int(os.environ.get("TUNEWRIGHT_FUZZ_STEPS", "300"))
FOR_ALL_DATA = ("model", "data", "task")  # what changes the facts that a plan rests on
DRAWN = 4
SMALL = {"eval.rows": 0, "eval.loss_rows": 2, "train.max_steps": 3, "run.offline": True}


@dataclass(frozen=True)
class Case:
    key: str
    value: str

    def settings(self) -> list[str]:
        method = methods_with(self.key.partition(".")[2])[0] if self.key.startswith("peft.") else "lora"
        return [*([f"method={method}"] if method != "lora" else []), f"{self.key}={self.value}"]


def cases(seed: int = SEED) -> list[Case]:
    """Every key with every value, and a few drawn ones."""
    keys = [path for path, _field in options()]
    keys += [f"{section}.{name}" for section in SECTIONS for name in sorted(upstream(section))]
    rng = random.Random(seed)
    return [Case(key, value) for key in keys for value in (*TEXTS, *(drawn(rng) for _ in range(DRAWN)))]


class Planner:
    """Plans cases in this process; facts that a case does not change are gathered once."""

    def __init__(self, model: Path, rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.base = {"model.name": str(model), "data.train": str(rows), **SMALL}
        self.loaded = api.load(named=self.base)
        inspect = start_run.inspect
        self.known = inspect(self.loaded.run, reporter=SILENT)
        self.is_known = True

        def inspected(run: Any, **options: Any) -> Any:
            if not self.is_known:
                return inspect(run, **options)
            update = {"task": self.known.run.task, "data": self.known.run.data, "model": self.known.run.model}
            return type(self.known)(
                run.model_copy(update=update),
                self.known.facts,
                self.known.choices,
                self.known.validated,
                self.known.tokenizer,
            )

        monkeypatch.setattr(start_run, "inspect", inspected)
        monkeypatch.setattr(start_run, "try_settings", lambda plan, reporter: None)

    def plan(self, case: Case) -> tuple[Any, Plan]:
        """Raises: TunewrightError."""
        self.is_known = case.key.partition(".")[0] not in FOR_ALL_DATA
        named = {key: value for key, value in self.base.items() if key != case.key}
        loaded = load(named=named, sets=case.settings())
        return loaded, start_run.plan_for(loaded, reporter=SILENT)


def judged(planner: Planner, case: Case) -> tuple[str, Any]:
    """What became of a case: a code, "planned", or what broke; and its plan."""
    try:
        loaded, plan = planner.plan(case)
        again = Plan.model_validate(json.loads(plan.model_dump_json()))
        assert again.run == plan.run
        assert "\n" in to_yaml(loaded.run)
    except TunewrightError as fault:
        for problem in fault.problems:
            json.dumps(problem.to_json())
            assert problem.code in load_catalogue() and problem.message()
        assert fault.exit_code == next(p.entry.exit_code for p in fault.problems if not p.is_warning)
        return fault.problems[0].code, None
    except Exception as fault:
        return f"{type(fault).__name__}: {str(fault)[:200]}", None
    return "planned", (loaded, plan)


def begun(loaded: Any, plan: Plan) -> str:
    """What became of the first step: "trained", the code with which it was refused before, or what broke in the run."""
    try:
        if problems := dry_run.problems_of(plan):
            return problems[0].code
        run = start_run.create(loaded, plan, force=False, reporter=SILENT)
    except TunewrightError as fault:
        return fault.problems[0].code
    except Exception as fault:
        if ran_out(fault):
            return "E142"  # by the limits of the process in which a setting is tried
        return f"before the run: {type(fault).__name__}: {str(fault)[:200]}"
    code = work(run, StopFlag(), [dry_run.FirstStep()])
    events = run.read_events()
    if code == 0 or any(event.kind == "log" for event in events):
        return "trained"
    return "in the run: " + "; ".join(f"{p.code} {p.values}"[:300] for p in events[-1].problems)


def broken(planner: Planner, chosen: Sequence[Case]) -> tuple[dict[str, int], list[str], list[tuple[Case, Any]]]:
    """How many came to what, the broken ones, and the plans."""
    counts: dict[str, int] = {}
    faults, plans = [], []
    for case in chosen:
        outcome, plan = judged(planner, case)
        if plan:
            plans.append((case, plan))
        elif outcome not in load_catalogue() or outcome == "E802":
            faults.append(f"{case.key}={case.value[:60]}: {outcome}")
        counts[outcome[:30]] = counts.get(outcome[:30], 0) + 1
    return counts, faults, plans


def test_some_values_of_every_kind_are_planned_or_refused(
    model: Path, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _counts, faults, plans = broken(Planner(model, rows, monkeypatch), some(cases(), 300))
    assert faults == []
    assert plans


@pytest.mark.slow
def test_every_option_with_every_value_is_refused_or_begins(
    model: Path, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    chosen = part(some(cases(), COUNT))
    counts, faults, plans = broken(Planner(model, rows, monkeypatch), chosen)
    print(len(chosen), "cases:", dict(sorted(counts.items(), key=lambda item: -item[1])))
    outcomes: dict[str, int] = {}
    for case, (loaded, plan) in one_of_each_first(plans, STEPS):
        outcome = begun(loaded, plan)
        outcomes[outcome[:40]] = outcomes.get(outcome[:40], 0) + 1
        if outcome != "trained" and outcome not in load_catalogue():
            faults.append(f"{case.key}={case.value[:60]}: {outcome}")
    print("first steps:", outcomes)
    record(faults)
    assert faults == []


def one_of_each_first(plans: Sequence[tuple[Case, Any]], count: int) -> list[tuple[Case, Any]]:
    """So many of the planned cases: one of each key, then others, by the seed."""
    shuffled = list(plans)
    random.Random(SEED).shuffle(shuffled)
    first = {entry[0].key: entry for entry in reversed(shuffled)}
    rest = [entry for entry in shuffled if first[entry[0].key] is not entry]
    return [*first.values(), *rest][:count]
