"""The torch-free side stays so: api, parent and every package beside engine and accel, in fresh processes."""

import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import tunewright

pytestmark = pytest.mark.processes
HEAVY = ("torch", "transformers", "peft", "accelerate", "datasets", "numpy")
WORKER_SIDE = (
    "tunewright.engine",
    "tunewright.kernels",
    "tunewright.extras.session_answers",
    "tunewright.extras.session_worker",
    "tunewright.extras.numerics",
    "tunewright.extras.proof.reference_answers",
    "tunewright.extras.lm_eval.harness_worker",
    "tunewright.extras.few_shot.few_shot_prompts",
    "tunewright.extras.export.scale_worker",
    "tunewright.extras.export.exporter_worker",
    "tunewright.extras.export.ct2_worker",
    "tunewright.extras.export.quantize_worker",
    "tunewright.extras.serve.session_answers",
    "tunewright.extras.ray_starter",  # a process of its own, in which Ray is
)


def _loaded(*modules: str) -> str:
    lines = "\n".join(f"import {module}" for module in modules)
    code = f"import sys\n{lines}\nprint(*[m for m in {HEAVY!r} if m in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


def test_the_package_and_its_api_are_light() -> None:
    assert _loaded("tunewright") == ""
    assert _loaded("tunewright.api") == ""


def test_the_parent_of_a_run_is_light() -> None:
    assert _loaded("tunewright.launch.supervisor") == ""


def test_no_module_beside_the_workers_side_loads_torch() -> None:
    names = [
        info.name
        for info in pkgutil.walk_packages([str(Path(tunewright.__file__).parent)], "tunewright.")
        if not info.name.startswith((*WORKER_SIDE, "tunewright.__main__"))
    ]
    assert len(names) > 40
    assert _loaded(*names) == ""
