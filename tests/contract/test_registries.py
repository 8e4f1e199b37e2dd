"""Both sides of every table, and upstream's names against the installed versions."""

import subprocess
import sys
from pathlib import Path
from typing import get_args

import peft
import pytest
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as PEFT_TARGETS

from tunewright.accel import cpu, int8, merged
from tunewright.engine.adapt import peft_config
from tunewright.engine.tasks import ENGINE_TASKS
from tunewright.engine.ways import fast_ways
from tunewright.facts.families import FAMILIES
from tunewright.facts.machine import Machine
from tunewright.planning.adapter import RATES
from tunewright.planning.paths import PATHS
from tunewright.planning.plan import Facts, Plan
from tunewright.planning.trainable import COUNTS
from tunewright.spec.methods import METHODS, Lora, Method
from tunewright.spec.run import FastPath, Run
from tunewright.spec.tasks import TASKS, Task

ROOT = Path(__file__).parent.parent.parent
FUSED = {"qkv_proj", "query_key_value", "c_attn", "wqkv", "W_pack"}


def test_methods_have_a_model_and_a_config() -> None:
    assert tuple(METHODS) == get_args(Method)
    for name, row in METHODS.items():
        assert row.model.model_fields["method"].default == name
        assert PEFT_TYPE_TO_CONFIG_MAPPING[name.upper()].__name__ == row.config
    built = peft_config(Lora(r=4, lora_alpha=8, lora_dropout=0.0, target_modules=["q_proj"]))
    assert isinstance(built, peft.LoraConfig)
    assert (built.r, built.lora_alpha, built.task_type) == (4, 8, "CAUSAL_LM")


def test_tasks_stand_in_both_tables() -> None:
    assert tuple(TASKS) == get_args(Task) == tuple(ENGINE_TASKS)
    assert all(ENGINE_TASKS[name].auto_class.__name__ == row.auto_class for name, row in TASKS.items())


def test_every_method_has_a_learning_rate_and_a_count() -> None:
    assert set(METHODS) == set(RATES) == set(COUNTS)


@pytest.mark.fast_paths
def test_fast_paths_of_the_plan_exist() -> None:
    assert set(PATHS) == set(get_args(FastPath))
    on_cpu = Facts.model_construct(machine=Machine.model_construct(probe=None))
    llama = Plan.model_construct(fast_paths=tuple(PATHS), run=Run(model="m", data="d", task="causal_lm"), facts=on_cpu)
    taken = {name for way in fast_ways(llama) for name in way.paths}
    others = {cpu.onednn_matmul.__name__, int8.__name__.rpartition(".")[2], merged.merged_lora.__name__}
    assert taken | others == set(PATHS)


@pytest.mark.parametrize("family", sorted(set(FAMILIES) & set(PEFT_TARGETS)))
def test_our_query_and_value_layers_are_those_of_peft(family: str) -> None:
    roles = FAMILIES[family].roles
    ours = {*roles.get("q", ()), *roles.get("v", ())}
    named = PEFT_TARGETS[family]
    theirs = {name for name in ours if name in named} if isinstance(named, str) else set(named)
    assert ours & theirs or ours & FUSED or not ours, f"{ours} against {theirs}"


@pytest.mark.parametrize("tool", ["upstream.py", "docs.py"])
def test_generated_files_are_current(tool: str) -> None:
    done = subprocess.run(
        [sys.executable, f"tools/{tool}", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
