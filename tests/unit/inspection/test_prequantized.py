"""Folders that are stored in fewer bits already are refused by the method's name, with the way on."""

import json
from pathlib import Path
from typing import Any

import pytest

from tunewright.errors import ModelError, Problem
from tunewright.inspection.model_info import read_model

from .test_config_sizes import LLAMA, SHAPES

Tensors = dict[str, tuple[list[int], str]]
PLAIN: Tensors = {name: (shape, "F16") for name, shape in SHAPES.items()}
LAYER = "model.layers.0.mlp.down_proj"


def refused(folder: Path, tensors: Tensors, **config: Any) -> Problem:
    (folder / "config.json").write_text(json.dumps({**LLAMA, **config}))
    with pytest.raises(ModelError) as caught:
        read_model(folder, "model", tensors)
    (problem,) = caught.value.problems
    assert problem.code == "E321"
    return problem


@pytest.mark.parametrize(
    ("config", "tensors", "method"),
    [
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, {f"{LAYER}.weight.absmax": ([9], "U8")}, "bitsandbytes, 4 bit"),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, {f"{LAYER}.SCB": ([9], "F32")}, "bitsandbytes, 8 bit"),
        ({"quant_method": "gptq", "bits": 4}, {f"{LAYER}.qweight": ([9, 9], "I32")}, "gptq, 4 bit"),
        ({"quant_method": "awq", "bits": 4}, {f"{LAYER}.qzeros": ([9, 9], "I32")}, "awq, 4 bit"),
        ({"quant_method": "fp8"}, {f"{LAYER}.weight_scale_inv": ([1, 1], "F32")}, "fp8"),
        ({"quant_method": "mxfp4"}, {"model.layers.0.mlp.experts.gate_up_proj_blocks": ([4, 9], "U8")}, "mxfp4"),
        ({"quant_method": "compressed-tensors"}, {f"{LAYER}.weight_packed": ([9, 9], "I32")}, "compressed-tensors"),
    ],
)  # fmt: skip
def test_each_method_is_named(tmp_path: Path, config: dict[str, Any], tensors: Tensors, method: str) -> None:
    problem = refused(tmp_path, {**PLAIN, **tensors}, quantization_config=config)
    assert problem.values["method"] == method
    assert problem.where.file.endswith("config.json")
    assert "--set model.quantization=4bit" in problem.fixes()[0]
    assert not any("remove quantization_config" in fix for fix in problem.fixes())


def test_packed_weights_are_seen_without_a_config(tmp_path: Path) -> None:
    assert refused(tmp_path, {**PLAIN, f"{LAYER}.qweight": ([9, 9], "I32")}).values["method"] == f"{LAYER}.qweight"
    assert refused(tmp_path, {**PLAIN, f"{LAYER}.weight": ([64, 96], "F8_E4M3")}).values["method"] == f"{LAYER}.weight"


def test_plain_weights_beside_a_quantization_config_have_a_way_of_their_own(tmp_path: Path) -> None:
    problem = refused(tmp_path, PLAIN, quantization_config={"quant_method": "gptq", "bits": 4})
    assert "remove quantization_config" in problem.fixes()[-1]
    config = json.loads((tmp_path / "config.json").read_text())
    del config["quantization_config"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert read_model(tmp_path, "model", PLAIN).num_layers == 2


@pytest.mark.parametrize("named", ["meta/big-model", ["meta/big-model"]])
def test_the_base_that_the_card_names_is_offered(tmp_path: Path, named: Any) -> None:
    (tmp_path / "README.md").write_text(f"---\nbase_model: {json.dumps(named)}\n---\n")
    problem = refused(tmp_path, PLAIN, quantization_config={"quant_method": "awq"})
    assert problem.fixes()[0].endswith("--model meta/big-model --set model.quantization=4bit")


def test_an_empty_quantization_config_is_none(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**LLAMA, "quantization_config": None}))
    assert read_model(tmp_path, "model", PLAIN).num_layers == 2
