"""The alpha that an adapter is written with, the names and numbers of start scripts, sizes of GGUF files."""

import math
from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.planning.conftest import facts as facts
from tunewright.config.run_config import RunConfig
from tunewright.extras.export.adapter_limits import VLLM_RANKS, llama_cpp_limits, max_lora_rank, vllm_limits
from tunewright.extras.export.effective_alpha import EffectiveAlpha, effective_alpha, layer_of
from tunewright.extras.export.export_plan import merged_bytes
from tunewright.extras.export.gguf_limits import gguf_size
from tunewright.extras.export.start_scripts import ServedAdapter, model_name, sglang_script, vllm_script
from tunewright.inspection.model_info import LinearGroup, ModelInfo
from tunewright.planning.make_plan import make_plan
from tunewright.planning.run_plan import InspectedFacts
from tunewright.rundir.base_model import BaseReference

Q, V = "base_model.model.model.layers.0.self_attn.q_proj", "base_model.model.model.layers.0.self_attn.v_proj"
HUB = BaseReference("owner/base", "owner/base", "", "base")


def tensors(**ranks: int) -> dict[str, Any]:
    found = {}
    for name, rank in ranks.items():
        layer = {"q": Q, "v": V}[name]
        found |= {f"{layer}.lora_A.weight": {"shape": [rank, 64]}, f"{layer}.lora_B.weight": {"shape": [64, rank]}}
    return found


def test_a_plain_adapter_keeps_its_alpha() -> None:
    assert effective_alpha({"r": 8, "lora_alpha": 16}, tensors(q=8, v=8)) == EffectiveAlpha(16.0, {})


def test_another_rank_is_divided_by_itself_in_the_engine() -> None:
    config = {"r": 8, "lora_alpha": 16, "rank_pattern": {"v_proj": 4}}
    assert effective_alpha(config, tensors(q=8, v=4)) == EffectiveAlpha(16.0, {})


def test_rslora_of_one_rank_becomes_another_alpha() -> None:
    wanted = effective_alpha({"r": 16, "lora_alpha": 32, "use_rslora": True}, tensors(q=16, v=16))
    assert wanted == EffectiveAlpha(32 * 4.0, {})


def test_rslora_of_several_ranks_and_patterns_of_alpha_rescale_b() -> None:
    config = {"r": 16, "lora_alpha": 32, "use_rslora": True, "alpha_pattern": {"v_proj": 8}}
    wanted = effective_alpha(config, tensors(q=16, v=4))
    assert wanted.alpha == 128.0
    assert wanted.factors == {f"{V}.lora_B.weight": pytest.approx(8 * math.sqrt(4) / 128)}


def test_patterns_match_as_in_peft() -> None:
    for key, is_match in (
        ("v_proj", True),
        ("self_attn.v_proj", True),
        ("proj", False),
        (r"layers\.0\..*v_proj", True),
    ):
        config = {"r": 8, "lora_alpha": 16, "alpha_pattern": {key: 4}}
        assert bool(effective_alpha(config, tensors(q=8, v=8)).factors) is is_match, key


def test_only_factors_of_lora_have_a_layer() -> None:
    assert layer_of(f"{Q}.lora_A.weight") == "model.layers.0.self_attn.q_proj"
    for name in (f"{Q}.lora_magnitude_vector.weight", f"{Q}.bias", "base_model.model.lm_head.weight"):
        assert layer_of(name) == ""


def test_the_rank_limit_is_the_next_one_of_vllm() -> None:
    assert [max_lora_rank(rank) for rank in (1, 2, 8, 9, 33, 129, 257, 512)] == [1, 8, 8, 16, 64, 256, 320, 512]
    assert sorted(VLLM_RANKS) == list(VLLM_RANKS)


def test_a_name_is_one_word_wherever_it_is_used() -> None:
    assert [model_name(name) for name in ("my run", "a=b", "../x", "日本", "run-42.b")] == [
        "my-run", "a-b", "x", "model", "run-42.b",
    ]  # fmt: skip


def test_scripts_name_adapter_rank_and_template_and_listen_here_alone() -> None:
    served = ServedAdapter("shop", HUB, 32, has_template=True)
    for script in (vllm_script(served), sglang_script(served)):
        assert 'shop="$here/adapter"' in script and "--max-lora-rank 32" in script
        assert '--chat-template "$here/chat_template.jinja"' in script and "--host 127.0.0.1" in script
        assert '"${BASE:-owner/base}"' in script
    merged = vllm_script(ServedAdapter("shop", HUB, 0, has_template=False))
    assert '"$here/model"' in merged and "lora" not in merged and "BASE" not in merged


def test_a_base_that_nobody_else_has_must_be_named() -> None:
    own = BaseReference('evil"; rm -rf $HOME', "", "", "evil")
    script = vllm_script(ServedAdapter("shop", own, 8, has_template=False))
    assert '"${BASE:?set it to the folder of the base model, evil__ rm -rf _HOME}"' in script


def test_rows_that_a_k_type_cannot_hold_are_counted() -> None:
    matrices = {"a.weight": {"shape": [100, 512]}, "b.weight": {"shape": [100, 576]}, "n.weight": {"shape": [512]}}
    size = gguf_size(matrices, "q4_k_m")
    assert (size.matrices, size.fallen_back) == (2, 1)
    assert size.bytes == int((100 * 512 * 4.5 + 100 * 576 * 5.5 + 512 * 32) / 8)
    assert gguf_size(matrices, "q8_0").fallen_back == 0


def model(*, is_tied: bool, is_conv1d: bool = False) -> ModelInfo:
    """A model of two matrices."""
    head = LinearGroup(name="lm_head", in_features=64, out_features=300, count=1, paths=("lm_head",))
    return ModelInfo(
        name="m", folder="", tokenizer_folder="", digest="", model_type="gpt2" if is_conv1d else "llama", architecture="A",
        num_layers=2, hidden_size=64, intermediate_size=96, num_attention_heads=4, num_key_value_heads=4, vocab_size=300,
        max_position_embeddings=256, num_parameters=1, weight_bytes=4, linear=(), vocabulary=(head,), has_chat_template=True,
        tie_word_embeddings=is_tied, is_conv1d=is_conv1d,
    )  # fmt: skip


def test_a_tied_head_has_no_place_of_its_own_in_the_file() -> None:
    """Our own runs cannot have one (E301, E109); an older version's might."""
    of_head = {f"base_model.model.lm_head.lora_{part}.weight": {"shape": [8, 8]} for part in "AB"}
    assert ["#9065" in reason for reason in llama_cpp_limits(model(is_tied=True), of_head)] == [True]
    assert list(llama_cpp_limits(model(is_tied=False), of_head)) == []
    assert list(llama_cpp_limits(model(is_tied=True), tensors(q=8))) == []


def test_layers_that_the_converter_turns_over() -> None:
    assert ["gpt2" in reason for reason in llama_cpp_limits(model(is_tied=False, is_conv1d=True), tensors(q=8))] == [
        True
    ]


def test_a_rank_above_all_of_vllm_is_refused() -> None:
    assert list(vllm_limits({"r": 513}, tensors(q=513)))
    assert not list(vllm_limits({"r": 512}, tensors(q=512, v=8)))


def test_a_merge_is_as_large_as_the_base_and_impossible_for_learned_inputs(
    facts: Callable[..., InspectedFacts],
) -> None:
    def merged(method: str) -> int | None:
        config = {"model": "smollm2", "data": "x.jsonl", "task": "causal_lm", "method": method}
        return merged_bytes(make_plan(RunConfig.model_validate(config), facts()))

    size = merged("lora")
    assert size is not None and size >= 2 * facts().model.num_parameters
    assert merged("prompt_tuning") is None
