"""An adapter goes into a model whole or not at all, when it is used and when a run goes on."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file

from tests.faults.conftest import Toys
from tunewright.data.tokenized.tokenizer import load_tokenizer
from tunewright.engine.models.adapter_state import TRAINED, restore_trained, save_trained
from tunewright.engine.models.load_model import Tensors, adapter_tensors, load_adapter, load_base, restore_adapter
from tunewright.engine.models.peft_adapter import attach_adapter, planned_config
from tunewright.errors import TunewrightError
from tunewright.rundir.checkpoints import MANIFEST
from tunewright.rundir.run_dir import RunDir

WEIGHTS = "adapter_model.safetensors"
Damage = Callable[[Tensors, str], object]
DAMAGES: dict[str, tuple[Damage, str]] = {
    "missing": (lambda tensors, name: tensors.pop(name), "missing: 1 tensors, first"),
    "not expected": (lambda tensors, name: tensors.update({f"{name}.more": torch.ones(2)}), "more"),
    "another shape": (lambda tensors, name: tensors.update({name: torch.ones(3, 5)}), "(3, 5)"),
    "a shape that would be stretched": (lambda tensors, name: tensors.update({name: tensors[name][:1].clone()}), "1, "),
    "NaN": (lambda tensors, name: tensors[name].view(-1)[:1].fill_(torch.nan), "holds NaN or infinity"),
    "infinity": (lambda tensors, name: tensors[name].view(-1)[-1:].fill_(torch.inf), "holds NaN or infinity"),
}  # fmt: skip


@pytest.fixture(scope="module")
def run(toys: Toys) -> RunDir:
    return toys.finished()


@pytest.fixture
def adapter(run: RunDir, tmp_path: Path) -> Path:
    """The run's adapter without the seal, which would tell of any damage before the tensors are looked at."""
    folder = Path(shutil.copytree(run.adapter_dir, tmp_path / "adapter"))
    (folder / MANIFEST).unlink()
    return folder


def loaded(run: RunDir, adapter: Path) -> PeftModel:
    plan = run.plan()
    return load_adapter(load_base(plan, load_tokenizer(Path(plan.facts.model.folder))), adapter)


def spoil(adapter: Path, damage: Damage) -> str:
    tensors = load_file(adapter / WEIGHTS)
    name = sorted(tensors)[0]
    damage(tensors, name)
    save_file(tensors, adapter / WEIGHTS)
    return name


def refusal(load: Callable[[], object]) -> str:
    with pytest.raises(TunewrightError) as caught:
        load()
    assert [problem.code for problem in caught.value.problems] == ["E310"]
    return caught.value.problems[0].message()


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_adapter_is_not_used(name: str, run: RunDir, adapter: Path) -> None:
    damage, _message = DAMAGES[name]
    tensor = spoil(adapter, damage)
    assert tensor.removesuffix(".weight") in refusal(lambda: loaded(run, adapter))  # PEFT adds the adapter's name


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_adapter_leaves_a_model_as_it_was(name: str, run: RunDir, adapter: Path) -> None:
    model = loaded(run, adapter)
    with torch.no_grad():
        for tensor in adapter_tensors(model).values():
            tensor.fill_(0.5)
    damage, message = DAMAGES[name]
    spoil(adapter, damage)
    assert message in refusal(lambda: restore_adapter(model, adapter))
    assert all(torch.all(tensor == 0.5) for tensor in adapter_tensors(model).values())


def test_a_whole_one_is_put_in(run: RunDir, adapter: Path) -> None:
    model = loaded(run, adapter)
    stored = load_file(adapter / WEIGHTS)
    with torch.no_grad():
        for tensor in adapter_tensors(model).values():
            tensor.fill_(0.5)
    restore_adapter(model, adapter)
    assert adapter_tensors(model).keys() == stored.keys()
    assert all(torch.equal(tensor, stored[name]) for name, tensor in adapter_tensors(model).items())


@pytest.mark.parametrize("name", DAMAGES)
def test_a_run_goes_on_with_all_its_trained_numbers_or_with_none(name: str, toys: Toys, tmp_path: Path) -> None:
    """Of a method whose adapter file is not what was trained: AdaLoRA."""
    run = toys.finished("adalora")
    plan, folder = run.plan(), tmp_path / "checkpoint"
    base = load_base(plan, load_tokenizer(Path(plan.facts.model.folder)))
    model = attach_adapter(base, planned_config(plan), seed=1)
    folder.mkdir()
    save_trained(model, folder, "adalora")
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.fill_(0.5)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    damage, message = DAMAGES[name]
    tensors = load_file(folder / TRAINED)
    damage(tensors, sorted(tensors)[-1])
    save_file(tensors, folder / TRAINED)
    assert message in refusal(lambda: restore_trained(model, folder))
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
