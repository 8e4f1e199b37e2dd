"""The private parts of transformers' Trainer that Tunewright stands on, as they were when they were last read.

A failure here means: a new version of transformers changed a method that `engine/training/trainer_overrides.py` overrides
or calls, or one that sets the fields it reads. Read the new source beside our override, run `tests/faults/test_resume_exact.py`,
then store the new version, signature and digest below and move the bounds in pyproject.toml.
"""

import ast
import hashlib
import inspect
import textwrap
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import transformers
from packaging.requirements import Requirement
from packaging.version import Version
from transformers import Trainer

from tunewright.engine.training.trainer import StepTrainer
from tunewright.engine.training.trainer_overrides import TrainerOverrides

ROOT = Path(__file__).parent.parent.parent
FENCE = ROOT / "src/tunewright/engine/training/trainer_overrides.py"
READ_IN = "5.23.0"


@dataclass(frozen=True)
class UpstreamMethod:
    """A method of transformers' Trainer as it was read: its parameters, and the first 16 digits of its source's SHA-256."""

    parameters: str
    digest: str


OVERRIDDEN = {
    "_get_train_sampler": UpstreamMethod("train_dataset=None", "f3d15b81f2b00da7"),
    "_get_grad_norm": UpstreamMethod("model, grad_norm=None", "27e2667f3741dab8"),
    "_init_training_state": UpstreamMethod(
        "max_steps, num_update_steps_per_epoch, num_train_epochs, resume_from_checkpoint, trial", "4104b60f52334e7c"
    ),
    "_load_callback_state": UpstreamMethod("", "5f5e2dede16b759f"),
    "_load_from_checkpoint": UpstreamMethod("resume_from_checkpoint, model=None", "1fa7425d1ea7cc18"),
    "_load_optimizer_and_scheduler": UpstreamMethod("checkpoint", "d8b86ea0410fde7b"),
    "_save_optimizer_and_scheduler": UpstreamMethod("output_dir", "bc4e124e099660b8"),
    "_get_output_dir": UpstreamMethod("trial", "a0570e0382da6174"),
    "_determine_best_metric": UpstreamMethod("metrics, trial", "a895fcc6f2d12fe5"),
    "_save_checkpoint": UpstreamMethod("model, trial", "4638fc7aeef978e1"),
}
CALLED = {
    "_prepare_inputs": UpstreamMethod("inputs", "b28ea48b32905bdc"),
    "_get_learning_rate": UpstreamMethod("", "fa1c0637a10c3074"),
}
# They set `_tr_loss` and `_globalstep_last_logged`, and decide when the overridden methods are called.
CALLERS = {
    "_inner_training_loop": UpstreamMethod(
        "batch_size=None, args=None, resume_from_checkpoint=None, trial=None, ignore_keys_for_eval=None",
        "3b8b7359ad087d87",
    ),
    "_prepare_for_training": UpstreamMethod("max_steps, train_dataloader, resume_from_checkpoint", "7196fc64ea534003"),
    "_run_epoch": UpstreamMethod(
        "model, epoch, train_dataloader, steps_in_epoch, num_update_steps_per_epoch, trial, ignore_keys_for_eval, "
        "start_time, resume_from_checkpoint, epochs_trained, steps_trained_in_current_epoch",
        "20e0f3da01994864",
    ),
    "_maybe_log_save_evaluate": UpstreamMethod(
        "tr_loss, grad_norm, model, trial, epoch, ignore_keys_for_eval, start_time, learning_rate=None",
        "7d857f3099680113",
    ),
}
FIELDS = ("_tr_loss", "_globalstep_last_logged")
METHODS = OVERRIDDEN | CALLED | CALLERS


def parameters_of(method: Callable[..., Any]) -> str:
    """Names and defaults of a method's parameters; annotations are printed in another way by each version of Python."""
    bare = [p.replace(annotation=p.empty) for p in list(inspect.signature(method).parameters.values())[1:]]
    return ", ".join(map(str, bare))


def change_of(name: str, trainer: type = Trainer) -> str:
    """One sentence on what changed in a method since it was read; empty if nothing did."""
    version = f"transformers {transformers.__version__} (read: {READ_IN})"
    method = vars(trainer).get(name)
    if method is None:
        return f"{version} has no Trainer.{name} any more."
    read = METHODS[name]
    parameters = parameters_of(method)
    if parameters != read.parameters:
        return f"{version} changed the signature of Trainer.{name} from ({read.parameters}) to ({parameters})."
    source = textwrap.dedent(inspect.getsource(method))
    digest = hashlib.sha256(source.encode()).hexdigest()[:16]
    if digest != read.digest:
        return f"{version} changed the source of Trainer.{name}: its digest is {digest}, not {read.digest}."
    return ""


@pytest.mark.parametrize("name", METHODS)
def test_private_methods_of_upstream_are_those_that_were_read(name: str) -> None:
    change = change_of(name)
    assert not change, f"{change} Compare it with {FENCE.name}, then store the new digest here."


@pytest.mark.parametrize("field", FIELDS)
def test_private_fields_are_still_set_by_the_loop(field: str) -> None:
    assert f"self.{field} = " in inspect.getsource(Trainer._inner_training_loop), (
        f"the loop does not set {field} any more"
    )


def test_the_fence_overrides_what_is_named_here_and_nothing_else() -> None:
    private = {name for name in vars(TrainerOverrides) if name.startswith("_") and not name.startswith("__")}
    assert private & vars(Trainer).keys() == OVERRIDDEN.keys()
    assert {name for name in vars(StepTrainer) if name.startswith("_") and not name.startswith("__")} == set()


def test_private_names_of_upstream_stand_in_the_fence_alone() -> None:
    private = {name for name in vars(Trainer) if name.startswith("_") and not name.startswith("__")} | set(FIELDS)
    uses = {
        f"{path.name}: {node.attr}"
        for path in (ROOT / "src/tunewright/engine/training").glob("*.py")
        if path != FENCE
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in private
        if isinstance(node.value, ast.Name) and node.value.id in ("self", "trainer")
    }
    assert uses == set()


def test_a_change_is_one_clear_sentence() -> None:
    class Newer(Trainer):
        def _get_grad_norm(self, model, grad_norm=None, norm_type=2):
            return 0.0

        def _load_callback_state(self) -> None:
            pass

    assert "changed the signature of Trainer._get_grad_norm from (model, grad_norm=None) to" in change_of(
        "_get_grad_norm", Newer
    )
    assert "changed the source of Trainer._load_callback_state" in change_of("_load_callback_state", Newer)
    assert f"(read: {READ_IN}) has no Trainer._save_checkpoint any more." in change_of("_save_checkpoint", Newer)


@pytest.mark.parametrize("package", ["transformers", "peft"])
def test_bounds_end_behind_the_version_that_tests_have_seen(package: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    bounds = {r.name: r.specifier for r in map(Requirement, project["dependencies"])}[package]
    pins = (
        Requirement(line)
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line and line[0] != "#"
    )
    pinned = Version(next(str(r.specifier).removeprefix("==") for r in pins if r.name == package))
    assert pinned in bounds
    assert Version(f"{pinned.major}.{pinned.minor + 1}.0") not in bounds, (
        f"{package} has no upper bound behind {pinned}"
    )
