"""Both sides of every table, and upstream's names against the installed versions."""

import subprocess
import sys
from pathlib import Path

import peft
import pytest
from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as PEFT_TARGETS

from tunewright.accel import loss
from tunewright.engine.adapt import CONFIGS, peft_config
from tunewright.facts.families import FAMILIES
from tunewright.plan.choose import FAST_PATHS
from tunewright.spec.methods import METHODS, Lora

ROOT = Path(__file__).parent.parent.parent
FUSED = {"qkv_proj", "query_key_value", "c_attn", "wqkv", "W_pack"}


def test_methods_have_a_model_and_a_config() -> None:
    assert set(METHODS) == set(CONFIGS)
    built = peft_config(Lora(r=4, lora_alpha=8, lora_dropout=0.0, target_modules=["q_proj"]))
    assert isinstance(built, peft.LoraConfig)
    assert (built.r, built.lora_alpha, built.task_type) == (4, 8, "CAUSAL_LM")


def test_fast_paths_of_the_plan_exist() -> None:
    assert all(hasattr(loss, name) for name in FAST_PATHS)


@pytest.mark.parametrize("family", sorted(set(FAMILIES) & set(PEFT_TARGETS)))
def test_our_query_and_value_layers_are_those_of_peft(family: str) -> None:
    ours = {FAMILIES[family].roles["q"], FAMILIES[family].roles["v"]}
    theirs = set(PEFT_TARGETS[family])
    assert ours <= theirs or ours & FUSED, f"{ours} against {theirs}"


@pytest.mark.parametrize("tool", ["upstream.py", "docs.py"])
def test_generated_files_are_current(tool: str) -> None:
    done = subprocess.run(
        [sys.executable, f"tools/{tool}", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
