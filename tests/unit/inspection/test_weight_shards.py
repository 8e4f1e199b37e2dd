"""An index that names the wrong file, shards without an index, weights under other names: told before anything starts."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tunewright.errors import ModelError, Problem
from tunewright.inspection.model_info import read_model
from tunewright.inspection.weight_shards import weight_files

from .test_config_sizes import LLAMA
from .test_layer_shapes import WHOLE

FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
HALVES = {name: FIRST if ".0." in name or "embed" in name else SECOND for name in WHOLE}
Sharded = Callable[..., Path]


@pytest.fixture
def sharded(tmp_path: Path) -> Sharded:
    """A model in two files; `index` says where its tensors lie, None leaves it out."""

    def build(index: dict[str, str] | None, lost: str = "") -> Path:
        (tmp_path / "config.json").write_text(json.dumps(LLAMA))
        for file in (FIRST, SECOND):
            names = [name for name, place in HALVES.items() if place == file and name != lost]
            save_file({name: torch.zeros(WHOLE[name]) for name in names}, tmp_path / file)
        if index is not None:
            (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
        return tmp_path

    return build


def refused(folder: Path) -> Problem:
    with pytest.raises(ModelError) as caught:
        read_model(folder, "model")
    (problem,) = caught.value.problems
    return problem


def run(command: str) -> None:
    subprocess.run(command.replace("python", sys.executable, 1), shell=True, check=True)


def test_two_files_and_their_index_pass(sharded: Sharded) -> None:
    assert read_model(sharded(HALVES), "model").num_layers == 2


@pytest.mark.parametrize(
    "moved", [["lm_head.weight"], ["model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight"], [*WHOLE]]
)
def test_a_tensor_that_lies_in_another_file_is_named_and_the_line_mends_it(sharded: Sharded, moved: list[str]) -> None:
    other = {FIRST: SECOND, SECOND: FIRST}
    folder = sharded(HALVES | {name: other[HALVES[name]] for name in moved})
    problem = refused(folder)
    assert (problem.code, problem.values["count"]) == ("E325", len(moved))
    assert problem.values["names"].startswith(f"{moved[0]} ({other[HALVES[moved[0]]]})")
    run(problem.values["command"])
    assert json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"] == HALVES
    assert read_model(folder, "model").num_layers == 2


def test_a_tensor_that_lies_nowhere_has_no_line(sharded: Sharded) -> None:
    problem = refused(sharded(HALVES, lost="lm_head.weight"))
    assert (problem.code, problem.values["names"]) == ("E325", f"lm_head.weight ({SECOND})")
    assert len(problem.fixes()) == 1


def test_files_without_an_index_are_told_with_the_line_that_writes_it(sharded: Sharded) -> None:
    folder = sharded(None)
    problem = refused(folder)
    assert (problem.code, problem.values["files"]) == ("E326", f"{FIRST}, {SECOND}")
    run(problem.values["command"])
    assert read_model(folder, "model").num_layers == 2


@pytest.mark.parametrize(("lost", "named"), [(FIRST, "00001-of-00002"), (SECOND, "00002-of-00002")])
def test_a_file_that_is_missing_without_an_index_is_told_by_its_number(sharded: Sharded, lost: str, named: str) -> None:
    folder = sharded(None)
    (folder / lost).unlink()
    problem = refused(folder)
    assert (problem.code, problem.values["lost"]) == ("E326", named)
    assert named in problem.fixes()[0]


@pytest.mark.parametrize("name", ["model-00001-of-00001.safetensors", "weights.safetensors", "model.fp16.safetensors"])
def test_one_file_under_another_name_is_told_with_its_right_name(sharded: Sharded, name: str) -> None:
    folder = sharded(None)
    for path in folder.glob("*.safetensors"):
        path.unlink()
    save_file({name: torch.zeros(shape) for name, shape in WHOLE.items()}, folder / name)
    run(refused(folder).values["rename"])
    assert read_model(folder, "model").num_layers == 2


def test_the_one_file_goes_before_an_index_as_in_transformers(sharded: Sharded) -> None:
    folder = sharded({"lm_head.weight": "never.safetensors"})
    save_file({name: torch.zeros(shape) for name, shape in WHOLE.items()}, folder / "model.safetensors")
    assert weight_files(folder) == [folder / "model.safetensors"]
    assert read_model(folder, "model").num_layers == 2
