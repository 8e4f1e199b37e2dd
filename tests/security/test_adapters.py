"""Adapters of strangers: what they ask for beside what their tensors and this base explain."""

from pathlib import Path
from typing import Any

import pytest

from tests.hostile import LAYERS, LORA_CONFIG, TRIED, adapter_folder, lora_shapes, write_json
from tunewright.config.methods import METHODS
from tunewright.errors import ModelError
from tunewright.security import gate_adapter, regex_timeout

KINDS = {name.upper() for name in METHODS}


def code_of(folder: Path) -> str:
    with pytest.raises(ModelError) as caught:
        gate_adapter(folder, LAYERS, KINDS)
    TRIED["adapters"] += 1
    return caught.value.problems[0].code


def test_a_sound_adapter_passes(tmp_path: Path) -> None:
    assert gate_adapter(adapter_folder(tmp_path), LAYERS, KINDS)["r"] == 4


@pytest.mark.parametrize(
    "names",
    ["q_proj", r".*\.(q_proj|v_proj)$", r"model\.layers\.[0-1]\.self_attn\.\w+", "all-linear", ["q_proj", "v_proj"]],
)
def test_names_and_patterns_as_people_write_them_pass(tmp_path: Path, names: Any) -> None:
    assert gate_adapter(adapter_folder(tmp_path, target_modules=names), LAYERS, KINDS)


@pytest.mark.parametrize(
    "change",
    [
        {"auto_mapping": {"base_model_class": "Evil", "parent_library": "evil"}},
        {"megatron_config": {"a": 1}, "megatron_core": "evil"},
        {"megatron_core": "os"},
        {"tokenizer_kwargs": {"trust_remote_code": True}},
        {"corda_config": {"cache_file": "/tmp/evil.pt"}},
        {"corda_config": {"covariance_file": "evil.pt"}},
        {"prompt_tuning_init_state_dict_path": "evil.bin"},
        {"auto_map": {"AutoModel": "evil.Model"}},
        {"runtime_config": {"custom_generate": "owner/name"}},
    ],
)
def test_what_would_import_or_unpickle_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    assert code_of(adapter_folder(tmp_path, **change)) == "E307"


@pytest.mark.parametrize(
    "change",
    [
        {"r": 10**6}, {"r": 2**31}, {"r": 10**30}, {"r": 1e12}, {"rank_pattern": {"q_proj": 10**6}}, {"r": -4}, {"r": 2},
        {"peft_type": "PREFIX_TUNING", "num_virtual_tokens": 10**8},
        {"peft_type": "P_TUNING", "num_virtual_tokens": 8, "encoder_hidden_size": 10**7},
        {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 8, "token_dim": 10**9},
        {"peft_type": "PREFIX_TUNING", "num_virtual_tokens": 8, "num_layers": 10**7},
        {"peft_type": "FOURIERFT", "n_frequency": 10**10}, {"peft_type": "BOFT", "boft_block_size": 10**6},
        {"peft_type": "ADALORA", "init_r": 10**6}, {"peft_type": "OFT", "oft_block_size": 2**40},
        {"peft_type": "VERA", "r": 2**20},
    ],
)  # fmt: skip
def test_sizes_that_nothing_explains_are_refused_before_room_is_made(tmp_path: Path, change: dict[str, Any]) -> None:
    assert code_of(adapter_folder(tmp_path, **change)) == "E310"


@pytest.mark.parametrize(
    "change",
    [
        {"peft_type": "XLORA", "adapters": {"0": "/somewhere/else"}}, {"peft_type": "MULTITASK_PROMPT_TUNING"},
        {"peft_type": "lora"}, {"peft_type": None}, {"peft_type": ""}, {"peft_type": "../LORA"}, {"target_modules": 5},
        {"target_modules": [1, 2]}, {"target_modules": "x" * 2000}, {"target_modules": [f"m{i}" for i in range(20_000)]},
        {"target_modules": "("}, {"target_modules": "a{99999999999}"}, {"modules_to_save": ["[", "q_proj"]},
    ],
)  # fmt: skip
def test_odd_types_and_names_are_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    assert code_of(adapter_folder(tmp_path, **change)) == "E310"


@pytest.mark.parametrize("kind", [["LORA"], {"a": 1}])
def test_a_type_that_is_no_text_is_refused(tmp_path: Path, kind: Any) -> None:
    assert code_of(adapter_folder(tmp_path, peft_type=kind)) == "E310"


@pytest.mark.parametrize("key", ["target_modules", "exclude_modules", "modules_to_save", "rank_pattern"])
def test_a_pattern_that_never_ends_is_refused_and_not_followed(
    tmp_path: Path, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(regex_timeout, "SECONDS", 1)
    pattern = r"(.*)*(.*)*(.*)*x" if key != "rank_pattern" else r"(\w+\.?)+(\w+\.?)+!"
    value: Any = {pattern: 4} if key == "rank_pattern" else [pattern] if key == "modules_to_save" else pattern
    assert code_of(adapter_folder(tmp_path, **{key: value})) == "E310"


@pytest.mark.parametrize(
    "shapes",
    [
        lora_shapes(5),
        {name: (side * 2, *rest) for name, (side, *rest) in lora_shapes().items()},
        {name: (4, 17) if "lora_A" in name else shape for name, shape in lora_shapes().items()},
        {name: (17, 4) if "lora_B" in name else shape for name, shape in lora_shapes().items()},
        {name: (*shape, 1) for name, shape in lora_shapes().items()},
        {name: (0, 16) if "lora_A" in name else shape for name, shape in lora_shapes().items()},
    ],
)
def test_shapes_are_explained_by_the_rank_and_the_layer(tmp_path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    assert code_of(adapter_folder(tmp_path, shapes)) == "E310"


@pytest.mark.parametrize("name", ["adapter_model.bin", "adapter_model.pt", "adapter.pkl"])
def test_a_pickled_adapter_is_refused_with_what_to_do(tmp_path: Path, name: str) -> None:
    write_json(tmp_path / "adapter_config.json", LORA_CONFIG)
    (tmp_path / name).write_bytes(b"\x80\x04.")
    assert code_of(tmp_path) == "E303"


def test_folders_that_lack_or_link_a_part_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert code_of(tmp_path / "empty") == "E310"
    linked = adapter_folder(tmp_path / "linked")
    (linked / "adapter_model.safetensors").rename(tmp_path / "elsewhere.safetensors")
    (linked / "adapter_model.safetensors").symlink_to("../elsewhere.safetensors")
    assert code_of(linked) == "E315"
    damaged = adapter_folder(tmp_path / "damaged")
    (damaged / "adapter_config.json").write_text("[]")
    assert code_of(damaged) == "E309"
