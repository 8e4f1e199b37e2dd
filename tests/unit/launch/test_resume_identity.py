"""What may differ when a run goes on: every setting there is, is free, applied, or refused by its name."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from tests.unit.planning.conftest import facts
from tunewright.config.load_config import patch, to_yaml
from tunewright.config.run_config import APPLIED, CHANGEABLE, FREE, RunConfig
from tunewright.errors import TunewrightError
from tunewright.launch import start_run
from tunewright.planning.make_plan import make_plan
from tunewright.planning.run_plan import InspectedFacts
from tunewright.rundir import atomic_io, file_names, run_dir
from tunewright.rundir.run_dir import RunDir

__all__ = ["facts"]
TABLE = Path(__file__).parent.parent.parent.parent / "docs" / "resume.md"
NEW: dict[str, Any] = {
    "train.per_device_train_batch_size": 4, "train.gradient_accumulation_steps": 4, "train.activation_checkpointing": True,
    "train.logging_steps": 5, "train.save_total_limit": 4, "train.report_to": "tensorboard", "train.learning_rate": 5e-5,
    "train.weight_decay": 0.1, "train.max_grad_norm": 0.5, "train.early_stopping_patience": 7, "train.eval_steps": 3,
    "eval.rows": 2, "eval.max_new_tokens": 9, "train.dataloader_num_workers": 1, "run.device_index": 1,
    "launch.processes": 2, "launch.timeout_seconds": 30, "launch.nodes": 2, "launch.node_rank": 0, "launch.main": "a:1",
    "launch.job": {"partition": "gpu"}, "launch.strategy": "ddp",
}  # fmt: skip


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every setting by its path; of a union, those of all its members."""
    for name, field in model.model_fields.items():
        inner = [kind for kind in (field.annotation, *get_args(field.annotation)) if isinstance(kind, type)]
        sections = [kind for kind in inner if issubclass(kind, BaseModel)]
        if not sections:
            yield prefix + name
        for section in sections:
            yield from keys(section, f"{prefix}{name}.")


KEYS = sorted(
    {
        *keys(RunConfig),
        "train.dataloader_num_workers",
        "train.adam_beta1",
        "train.neftune_noise_alpha",
        "peft.loftq_config",
    }
)


@pytest.fixture
def run(tmp_path: Path, facts: Callable[..., InspectedFacts]) -> RunDir:
    """A stopped run of eight rows at once in steps of sixteen, whose task was left to the data."""
    train = {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 2}
    config = RunConfig.model_validate(
        {
            "model": "smollm2",
            "data": "rows.jsonl",
            "task": "causal_lm",
            "train": train,
            "launch": {"parts": 4, "main": "b:1"},
        }
    )
    run = run_dir.create(tmp_path / "shop", "shop")
    atomic_io.write_text(run.file(file_names.CONFIG), to_yaml(patch(config, {"task": "auto"})))
    origins = {f"train.{name}": "--set" for name in train}
    atomic_io.write_text(run.file(file_names.PLAN), make_plan(config, facts(), origins).model_dump_json())
    run.update_info(state="stopped", started=1.0, ended=2.0)
    return run


def test_every_setting_has_one_class() -> None:
    assert len(KEYS) > 60
    assert not FREE & APPLIED
    assert set(KEYS) >= CHANGEABLE
    assert NEW.keys() == CHANGEABLE


@pytest.mark.parametrize("key", [key for key in KEYS if key not in CHANGEABLE])
def test_what_would_make_another_run_is_refused_by_name(key: str, run: RunDir) -> None:
    before = {path.name: path.read_bytes() for path in run.path.iterdir()}
    with pytest.raises(TunewrightError) as refused:
        start_run.resume(run, {key: "other"})
    assert [(p.code, p.values["key"]) for p in refused.value.problems] == [("E502", key)]
    assert {path.name: path.read_bytes() for path in run.path.iterdir()} == before


@pytest.mark.parametrize("key", sorted(CHANGEABLE))
def test_what_may_change_is_in_the_plan_that_goes_on(key: str, run: RunDir) -> None:
    pair = {"train.per_device_train_batch_size", "train.gradient_accumulation_steps"}
    changes = {name: NEW[name] for name in (pair if key in pair else {key})}
    before = run.plan()
    with run_dir.owning(run):
        start_run.requeue(run, changes)
    after = run.plan()
    section, name = key.split(".")
    assert after.run.model_dump()[section][name] == NEW[key]
    assert (after.effective_batch, after.run.task) == (before.effective_batch, before.run.task)
    assert run.state() == "queued"


def test_the_documented_table_names_what_may_change() -> None:
    rows = [line.split("|")[1:3] for line in TABLE.read_text().splitlines() if re.match(r"\| `[\w.]+` ", line)]
    kinds = {key.strip(" `"): kind.strip() for key, kind in rows}
    assert kinds == {**dict.fromkeys(FREE, "free"), **dict.fromkeys(APPLIED, "applied")}
