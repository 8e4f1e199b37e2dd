"""Both sides of every table, and upstream's names against the installed versions."""

import subprocess
import sys
from pathlib import Path
from typing import get_args

import peft
import pytest
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as PEFT_TARGETS

from tunewright.config.methods import METHODS, Lora, Method
from tunewright.config.run_config import FastPath, RunConfig
from tunewright.config.tasks import TASKS, Task
from tunewright.engine.models.peft_adapter import peft_config
from tunewright.engine.tasks.task_registry import ENGINE_TASKS
from tunewright.engine.training.loss_backends import fast_backends
from tunewright.inspection.architectures import FAMILIES
from tunewright.inspection.machine_info import MachineInfo
from tunewright.kernels import cpu_matmul, int8, merged_lora
from tunewright.planning.fast_paths import PATHS
from tunewright.planning.parameter_count import COUNTS
from tunewright.planning.resolve_adapter import RATES
from tunewright.planning.run_plan import InspectedFacts, Plan

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
    on_cpu = InspectedFacts.model_construct(machine=MachineInfo.model_construct(probe=None))
    llama = Plan.model_construct(
        fast_paths=tuple(PATHS), run=RunConfig(model="m", data="d", task="causal_lm"), facts=on_cpu
    )
    backend_paths = {name for way in fast_backends(llama) for name in way.paths}
    others = {
        cpu_matmul.onednn_matmul.__name__,
        int8.__name__.rpartition(".")[2],
        merged_lora.merged_lora.__name__,
    }
    assert backend_paths | others == set(PATHS)


@pytest.mark.parametrize("family", sorted(set(FAMILIES) & set(PEFT_TARGETS)))
def test_our_query_and_value_layers_are_those_of_peft(family: str) -> None:
    roles = FAMILIES[family].roles
    ours = {*roles.get("q", ()), *roles.get("v", ())}
    named = PEFT_TARGETS[family]
    theirs = {name for name in ours if name in named} if isinstance(named, str) else set(named)
    assert ours & theirs or ours & FUSED or not ours, f"{ours} against {theirs}"


def test_generated_pages_are_current() -> None:
    """Those that change most often; `make check` asks all four tools."""
    done = subprocess.run(
        [sys.executable, "tools/docs.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
