"""The published adapter is compared, bit for bit, with the one in memory."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from tests.faults.conftest import Toys
from tunewright.engine.export.verify_export import verify_saved_adapter
from tunewright.errors import TrainingError
from tunewright.rundir.checkpoints import seal
from tunewright.rundir.run_dir import RunDir


@dataclass(frozen=True)
class NoTest:
    """Stands for the test of a run without held-out rows."""

    rows: tuple[()] = ()
    num_answers: int = 0
    max_new_tokens: int = 1


@pytest.fixture
def run(toys: Toys, tmp_path: Path) -> RunDir:
    """A copy of a finished run."""
    return RunDir(Path(shutil.copytree(toys.finished().path, tmp_path / "run")))


@pytest.fixture
def model(toys: Toys, run: RunDir) -> PeftModel:
    return PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(toys.folder / "model"), run.adapter_dir)


def reseal(run: RunDir) -> None:
    """A manifest that agrees with whatever stands in the folder."""
    (run.adapter_dir / "manifest.json").unlink()
    seal(run.adapter_dir, run_id=run.info().id, step=0, identity={})


def change_a_value(run: RunDir) -> None:
    path = run.adapter_dir / "adapter_model.safetensors"
    tensors = load_file(path)
    next(iter(tensors.values())).view(-1)[0] += 1e-7
    save_file(tensors, path, metadata={"format": "pt"})
    reseal(run)


def drop_a_tensor(run: RunDir) -> None:
    path = run.adapter_dir / "adapter_model.safetensors"
    tensors = load_file(path)
    tensors.popitem()
    save_file(tensors, path, metadata={"format": "pt"})
    reseal(run)


def flip_a_bit(run: RunDir) -> None:
    path = run.adapter_dir / "adapter_model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def spoil_the_config(run: RunDir) -> None:
    path = run.adapter_dir / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"r": 5}))


def test_what_was_published_is_what_is_in_memory(run: RunDir, model: PeftModel) -> None:
    verify_saved_adapter(model, run, {}, NoTest())  # type: ignore[arg-type]
    assert run.adapter_dir.is_dir()


@pytest.mark.parametrize("harm", [change_a_value, drop_a_tensor, flip_a_bit, spoil_the_config])
def test_an_adapter_that_is_another_on_the_disk_is_taken_away(
    harm: Callable[[RunDir], None], run: RunDir, model: PeftModel
) -> None:
    harm(run)
    with pytest.raises(TrainingError) as refused:
        verify_saved_adapter(model, run, {}, NoTest())  # type: ignore[arg-type]
    assert [problem.code for problem in refused.value.problems] == ["E513"]
    assert not run.adapter_dir.exists()
