"""Names that a wrapper or an adapter left in a model's file are refused by name, and the pasted line mends the file."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tunewright.errors import ModelError
from tunewright.inspection.model_info import read_model

from .conftest import Describe
from .test_config_sizes import LLAMA
from .test_layer_shapes import WHOLE
from .test_model_info import BERT, BERT_SHAPES

Shapes = dict[str, list[int]]
BARE = {name.removeprefix("model."): shape for name, shape in WHOLE.items() if name != "lm_head.weight"}
IN_BLOCKS = {name.replace("layers.0.", "layers.0._orig_mod."): shape for name, shape in WHOLE.items()}


def in_front(prefix: str, shapes: Shapes = WHOLE) -> Shapes:
    return {prefix + name: shape for name, shape in shapes.items()}


@pytest.mark.parametrize(
    ("config", "shapes", "prefixes"),
    [
        (LLAMA, in_front("_orig_mod."), "_orig_mod."),
        (LLAMA, in_front("module."), "module."),
        (LLAMA, in_front("module._orig_mod."), "_orig_mod. module."),
        (LLAMA, in_front("_orig_mod.module."), "_orig_mod. module."),
        (LLAMA, IN_BLOCKS, "_orig_mod."),  # one block was compiled for itself
        (LLAMA, in_front("_fsdp_wrapped_module."), "_fsdp_wrapped_module."),
        (LLAMA, in_front("model."), "model."),
        (LLAMA, in_front("model.model.", BARE), "model."),
        (BERT, in_front("model.", BERT_SHAPES), "model."),
        (BERT, in_front("model.bert.", BERT_SHAPES), "model."),
        (BERT, in_front("module.bert.", BERT_SHAPES), "module."),
        ({**LLAMA, "model_type": "never-heard-of"}, in_front("module."), "module."),
    ],
)
def test_a_wrappers_name_in_front_is_told(
    describe: Describe, config: dict[str, object], shapes: Shapes, prefixes: str
) -> None:
    with pytest.raises(ModelError) as caught:
        describe(config, shapes)
    (problem,) = caught.value.problems
    assert (problem.code, problem.values["prefixes"]) == ("E327", prefixes)
    assert problem.values["names"].split(", ")[0] in shapes


@pytest.mark.parametrize(
    ("config", "shapes"),
    [
        (LLAMA, WHOLE),
        (LLAMA, BARE),
        (LLAMA, in_front("model.", BARE)),  # without an output every name begins with model.
        (BERT, BERT_SHAPES),
        (BERT, in_front("bert.", BERT_SHAPES)),
        ({**LLAMA, "model_type": "never-heard-of"}, in_front("model.")),
    ],
)
def test_the_names_of_a_model_itself_pass(describe: Describe, config: dict[str, object], shapes: Shapes) -> None:
    assert describe(config, shapes).hidden_size


@pytest.mark.parametrize(
    "added",
    [
        "model.layers.0.self_attn.q_proj.lora_A.weight",
        "model.layers.1.mlp.down_proj.lora_B.default.weight",
        "base_model.model.model.layers.0.self_attn.q_proj.weight",
        "model.layers.0.self_attn.q_proj.base_layer.weight",
        "model.layers.0.self_attn.k_proj.lora_magnitude_vector",
        "model.layers.0.mlp.down_proj.ia3_l",
    ],
)
def test_an_adapter_in_the_file_of_a_base_is_told(describe: Describe, added: str) -> None:
    with pytest.raises(ModelError) as caught:
        describe(LLAMA, WHOLE | {added: [8, 64]})
    (problem,) = caught.value.problems
    assert (problem.code, problem.values["count"], problem.values["names"]) == ("E328", 1, added)


@pytest.mark.processes
@pytest.mark.parametrize("shapes", [in_front("module._orig_mod."), IN_BLOCKS, in_front("model.")])
def test_the_pasted_line_takes_the_names_off(describe: Describe, tmp_path: Path, shapes: Shapes) -> None:
    described = describe(LLAMA, WHOLE)
    path = Path(described.folder) / "model.safetensors"
    save_file({name: torch.zeros(shape) for name, shape in shapes.items()}, path)
    with pytest.raises(ModelError) as caught:
        read_model(path.parent, "model")
    command = caught.value.problems[0].values["command"].replace("python", sys.executable, 1)
    subprocess.run(command, shell=True, check=True)
    assert set(load_file(path)) == set(WHOLE)
    assert read_model(path.parent, "model").num_layers == 2
