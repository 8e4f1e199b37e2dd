"""What a format cannot hold is refused before any work, with the reason and a command that works instead."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.matrix.conftest import _measured, _settings_are_tried_here, shop_rows, task_rows, tiny_model
from tests.matrix.test_causal_lm import run_for
from tunewright import api
from tunewright.errors import TunewrightError
from tunewright.extras.export import gguf_limits
from tunewright.extras.export.export_plan import make_export_plan
from tunewright.extras.export.export_run import export

__all__ = ["_measured", "_settings_are_tried_here", "shop_rows", "task_rows", "tiny_model"]
Make = Callable[..., api.TrainedRun]
SHORT = {"train.max_steps": 1, "train.eval_steps": 1, "eval.rows": 0}
AS_MERGED = "--as merged"
ADAPTERS: dict[str, tuple[dict[str, Any], str, str]] = {
    "dora": ({"peft.use_dora": True}, "DoRA", AS_MERGED),
    "biases": ({"peft.bias": "lora_only", "model": "qwen2"}, "trained biases", AS_MERGED),
    "whole layers": ({"peft.modules_to_save": ["lm_head"]}, "modules_to_save: lm_head", AS_MERGED),
    "single tokens": ({"peft.trainable_token_indices": [1, 2]}, "single tokens", AS_MERGED),
    "ia3": ({"method": "ia3"}, "the engine computes LoRA alone, and this is (IA)3", AS_MERGED),
    "adalora": ({"method": "adalora", "train.max_steps": 12, "train.eval_steps": 6}, "this is AdaLoRA", AS_MERGED),
    "prefix": ({"method": "prefix_tuning"}, "Prefix Tuning learns inputs", "tunewright chat"),
    "prompt": ({"method": "prompt_tuning"}, "Prompt Tuning learns inputs", "tunewright chat"),
    "p-tuning": ({"method": "p_tuning"}, "P-Tuning learns inputs", "tunewright chat"),
    "conv1d": ({"model": "gpt2"}, "turns the factors of gpt2", AS_MERGED),
}


@pytest.fixture
def make(tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path) -> Make:
    def build(model: str = "llama", **settings: Any) -> api.TrainedRun:
        return run_for(tiny_model(model), shop_rows, tmp_path / "run", **{**SHORT, **settings})

    return build


@pytest.mark.parametrize("case", ADAPTERS)
def test_an_adapter_that_gguf_cannot_hold(case: str, make: Make) -> None:
    settings, reason, instead = ADAPTERS[case]
    plan = make_export_plan(make(**settings).dir, "gguf", Path("out"), as_="adapter")
    (problem,) = plan.problems
    assert problem.code == "E620" and reason in problem.message()
    assert problem.fixes()[0].endswith(instead) or instead in problem.fixes()[0]
    is_merged = make_export_plan(plan.run, "gguf", Path("out"), as_="merged")
    codes = [problem.code for problem in is_merged.problems]
    assert codes == ([] if instead == AS_MERGED else ["E603"])


@pytest.mark.parametrize("case", [case for case in ADAPTERS if case != "conv1d"])
def test_an_adapter_that_vllm_cannot_hold(case: str, make: Make) -> None:
    settings, reason, instead = ADAPTERS[case]
    (problem,) = make_export_plan(make(**settings).dir, "vllm", Path("out"), as_="adapter").problems
    assert problem.code == "E620" and reason in problem.message() and instead in problem.fixes()[0]


@pytest.mark.parametrize("start", ["pissa", "olora"])
def test_starts_that_were_taken_out_of_the_base_are_plain_adapters_by_then(start: str, make: Make) -> None:
    run = make(**{"peft.init_lora_weights": start})
    assert make_export_plan(run.dir, "gguf", Path("out"), as_="adapter").problems == ()


def test_rslora_is_written_with_the_alpha_of_its_scale(make: Make) -> None:
    run = make(**{"peft.use_rslora": True, "peft.r": 16, "peft.lora_alpha": 8})
    plan = make_export_plan(run.dir, "gguf", Path("out"), as_="adapter")
    assert plan.problems == () and any("alpha 32 for rank 16" in note for note in plan.notes)


def test_ranks_and_alphas_of_single_layers_are_written_with_one_alpha(make: Make) -> None:
    run = make(
        **{"peft.r": 8, "peft.lora_alpha": 16, "peft.rank_pattern": {"q_proj": 4}, "peft.alpha_pattern": {"v_proj": 4}}
    )
    for to in ("gguf", "vllm"):
        plan = make_export_plan(run.dir, to, Path("out"), as_="adapter")
        assert plan.problems == () and any("effective alpha" in note for note in plan.notes)


def test_a_task_that_the_format_is_not_for(
    tiny_model: Callable[..., Path], task_rows: dict[str, Path], tmp_path: Path
) -> None:
    run = run_for(tiny_model("bert"), task_rows["seq_cls"], tmp_path / "run", task="seq_cls", **SHORT)
    (problem,) = make_export_plan(run.dir, "gguf", Path("out")).problems
    assert problem.code == "E620" and problem.fixes() == ["tunewright export run --to onnx"]


@pytest.mark.parametrize(
    ("to", "options"),
    [("tgi", {}), ("mlx", {"as_": "adapter"}), ("gguf", {"quant": "q9_9"}), ("vllm", {"quant": "q8_0"})],
)
def test_words_that_a_format_does_not_have(to: str, options: dict[str, str], make: Make) -> None:
    with pytest.raises(TunewrightError, match="E622"):
        make_export_plan(make().dir, to, Path("out"), **options)


@pytest.mark.processes
def test_a_tokenizer_that_the_converter_has_not_seen_is_refused_in_its_words_before_the_merge(
    make: Make, converters: Path, tmp_path: Path
) -> None:
    run = make()
    with pytest.raises(TunewrightError, match="BPE pre-tokenizer was not recognized") as caught:
        export(run.dir, run.session(), "gguf", tmp_path / "out")
    assert caught.value.problems[0].code == "E620" and "<|im_end|>" in str(caught.value)
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".staging*"))


@pytest.mark.processes
def test_what_the_converter_said_of_a_tokenizer_is_not_asked_for_again(
    make: Make, converters: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, ended = make(), ["exit code -9", "NotImplementedError: of no kind that it knows", ""]
    monkeypatch.setattr(gguf_limits, "run_script", lambda *_words: ended.pop(0))
    said = [make_export_plan(run.dir, to, Path("out")).problems for to in ("gguf", "gguf", "ollama", "gguf")]
    assert ["exit code -9" in problem.message() for problem in said[0]] == [True]
    assert all("of no kind" in problem.message() for problems in said[1:] for problem in problems) and all(said[1:])
    assert ended == [""]


@pytest.mark.processes
def test_an_architecture_that_the_converter_does_not_know(make: Make, converters: Path) -> None:
    run = make("opt")
    (problem,) = make_export_plan(run.dir, "gguf", Path("out")).problems
    assert problem.code == "E620" and "OPTForCausalLM" in problem.message()


def test_ids_beyond_the_embedding(make: Make) -> None:
    run = make()
    facts = run.plan.facts
    smaller = facts.model.model_copy(update={"vocab_size": 290})
    plan = run.plan.model_copy(update={"facts": facts.model_copy(update={"model": smaller})})
    run.dir.file("plan.json").write_text(plan.model_dump_json())
    problems = make_export_plan(run.dir, "gguf", Path("out")).problems
    assert [problem.code for problem in problems] == ["E620"] and "290 rows" in problems[0].message()


def test_a_folder_in_use(make: Make, tmp_path: Path) -> None:
    run = make()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/file").touch()
    with pytest.raises(TunewrightError, match="E115"):
        export(run.dir, run.session(), "vllm", tmp_path / "out")
