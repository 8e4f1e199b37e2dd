"""What leaves a run: merged models of every task, and adapters whose start values were taken out of the base.

Tolerance: 1e-4 on logits of size 1 in fp32. Start values taken from a weight are added to what is left of it again.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from huggingface_hub import ModelCard
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

from tunewright import api
from tunewright.config.tasks import TASKS
from tunewright.data.tokenized.tokenizer import load_tokenizer
from tunewright.engine.export.save_model import initial_weights_from_base, merge_inputs, save_adapter
from tunewright.engine.session_server import SessionServer
from tunewright.errors import TunewrightError
from tunewright.launch import start_run
from tunewright.reporting import SILENT
from tunewright.rundir.run_dir import RunDir
from tunewright.rundir.session_protocol import MergeRequest

from .test_causal_lm import run_for

LOGITS = 1e-4
IDS = torch.tensor([[5, 6, 7, 8, 9, 11]])
PATTERNS = {"rank_pattern": {"v_proj": 6}, "alpha_pattern": {"v_proj": 9}}
INITIALISATIONS: dict[str, dict[str, Any]] = {
    "pissa": {"init_lora_weights": "pissa"},
    "pissa, fast": {"init_lora_weights": "pissa_niter_4"},
    "olora": {"init_lora_weights": "olora"},
    "rank-stabilised, with patterns": {"init_lora_weights": "pissa", "use_rslora": True, **PATTERNS},
    "patterns": {"init_lora_weights": "olora", **PATTERNS},
    "with magnitudes": {"init_lora_weights": "pissa", "use_dora": True},
    "with biases": {"init_lora_weights": "pissa", "bias": "all"},
    "with a whole layer": {"init_lora_weights": "pissa", "modules_to_save": ["lm_head"]},
}


def planned(folder: Path, rows: Path, output: Path, **settings: object) -> RunDir:
    loaded = api.load(
        named={"model.name": str(folder), "data.train": str(rows), "run.output_dir": str(output), **settings}
    )
    return start_run.create(loaded, api.plan(loaded), force=False, reporter=SILENT)


def train_a_little(model: PeftModel, labels: torch.Tensor) -> None:
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)
    for _step in range(3):
        model.train()(input_ids=IDS, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()


@pytest.mark.parametrize("name", INITIALISATIONS)
def test_start_values_from_the_base_are_given_back(
    name: str, tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path
) -> None:
    folder = tiny_model("qwen2")  # a family with biases
    run = planned(folder, shop_rows, tmp_path / "run")
    config = LoraConfig(
        task_type="CAUSAL_LM", r=4, lora_alpha=6, target_modules=["q_proj", "v_proj"], **INITIALISATIONS[name]
    )
    base = AutoModelForCausalLM.from_pretrained(folder)
    untouched = base(input_ids=IDS).logits.detach()
    model = get_peft_model(base, config).eval()
    with torch.no_grad():
        torch.testing.assert_close(model(input_ids=IDS).logits, untouched, atol=LOGITS, rtol=LOGITS)
        with model.disable_adapter():
            assert not torch.allclose(model(input_ids=IDS).logits, untouched, atol=LOGITS), "nothing was taken"
    initial_weights = initial_weights_from_base(model)
    train_a_little(model, IDS)
    save_adapter(model, run.plan(), run, load_tokenizer(folder), initial_weights)

    bare = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder), run.adapter_dir).eval()
    with torch.no_grad():
        tuned = model(input_ids=IDS).logits
        assert not torch.allclose(tuned, untouched, atol=1e-2), "nothing was trained"
        torch.testing.assert_close(bare(input_ids=IDS).logits, tuned, atol=LOGITS, rtol=LOGITS)
        if config.bias == "none":
            with bare.disable_adapter():
                torch.testing.assert_close(bare(input_ids=IDS).logits, untouched, atol=0, rtol=0)


def test_a_head_stays_in_an_adapter_whose_start_values_are_given_back(
    tiny_model: Callable[..., Path], task_rows: dict[str, Path], tmp_path: Path
) -> None:
    folder = tiny_model("bert")
    run = planned(folder, task_rows["seq_cls"], tmp_path / "run", task="seq_cls")
    config = LoraConfig(task_type="SEQ_CLS", r=4, target_modules=["query"], init_lora_weights="pissa")
    model = get_peft_model(AutoModelForSequenceClassification.from_pretrained(folder, num_labels=3), config)
    initial_weights = initial_weights_from_base(model)
    train_a_little(model, torch.tensor([1]))
    save_adapter(model, run.plan(), run, load_tokenizer(folder), initial_weights)
    names = load_file(run.adapter_dir / "adapter_model.safetensors")
    assert {name for name in names if "classifier" in name} == {
        "base_model.model.classifier.weight",
        "base_model.model.classifier.bias",
    }
    again = AutoModelForSequenceClassification.from_pretrained(
        folder, config=AutoConfig.from_pretrained(run.adapter_dir)
    )
    with torch.no_grad():
        tuned = model(input_ids=IDS).logits
        loaded = PeftModel.from_pretrained(again, run.adapter_dir).eval()(input_ids=IDS).logits
    torch.testing.assert_close(loaded, tuned, atol=LOGITS, rtol=LOGITS)


@pytest.mark.parametrize(("quantization", "task", "family"), [
    ("none", "seq2seq", "t5"), ("none", "seq2seq", "bert2bert"), ("none", "seq_cls", "bert"), ("none", "seq_cls", "llama"),
    ("none", "token_cls", "bert"), ("none", "token_cls", "llama"),
    ("8bit", "causal_lm", "gpt2"), ("8bit", "seq2seq", "bert2bert"), ("8bit", "seq_cls", "bert"),
    ("4bit", "causal_lm", "gpt2"), ("4bit", "seq2seq", "t5"), ("4bit", "token_cls", "llama"),
])  # fmt: skip
def test_a_merged_model_of_any_task_gives_what_its_adapter_gives(
    quantization: str,
    task: str,
    family: str,
    tiny_model: Callable[..., Path],
    task_rows: dict[str, Path],
    tmp_path: Path,
) -> None:
    settings = {"task": task, "model.quantization": quantization, "train.learning_rate": 2e-2, "eval.max_new_tokens": 3}
    run = run_for(tiny_model(family), task_rows[task], tmp_path / "run", **settings)
    session = SessionServer(run.dir, lambda message: None)
    inputs = merge_inputs(session.data().held_out, session.plan)
    assert inputs
    assert all(inputs)
    result = session.merge(MergeRequest(str(tmp_path / "merged")))
    assert result.equal == result.prompts > 0
    assert result.max_logit_difference < LOGITS
    assert (result.base is not None) == (result.quantized is not None) == (quantization != "none")

    merged = vars(transformers)[TASKS[session.plan.run.task].auto_class].from_pretrained(tmp_path / "merged")
    assert "quantization_config" not in json.loads((tmp_path / "merged" / "config.json").read_text())
    for folder, library in ((run.adapter, "peft"), (tmp_path / "merged", "transformers")):
        about = ModelCard.load(folder / "README.md").data
        assert about.library_name == library
        assert {result.dataset_split for result in about.eval_results} == {"held-out"}
    if task in ("seq_cls", "token_cls"):
        assert tuple(merged.config.id2label.values()) == session.plan.facts.data.labels


def test_a_merge_that_answers_otherwise_is_refused_and_leaves_no_folder(
    tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_for(tiny_model(), shop_rows, tmp_path / "run", **{"train.learning_rate": 2e-2})
    monkeypatch.setattr("tunewright.engine.export.save_model.merged_model", lambda model, plan: model.unload())
    for compare_answers in (True, False):  # logits alone tell it, too
        request = MergeRequest(str(tmp_path / "merged"), compare_answers=compare_answers)
        with pytest.raises(TunewrightError) as caught:
            SessionServer(run.dir, lambda message: None).merge(request)
        assert [problem.code for problem in caught.value.problems] == ["E602"]
        assert not (tmp_path / "merged").exists()


def test_labels_of_several_kinds_are_compared(tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    """Several labels at once, and numbers, which have no label to compare."""
    rows = {
        "several": [{"text": f"row {i} of many", "labels": ["a", "b"] if i % 2 else ["b"]} for i in range(24)],
        "number": [{"text": f"row {i} of many", "label": i / 7} for i in range(24)],
    }
    for name, content in rows.items():
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in content))
        run = run_for(tiny_model("bert"), path, tmp_path / name, task="seq_cls")
        result = SessionServer(run.dir, lambda message: None).merge(MergeRequest(str(tmp_path / f"{name}-merged")))
        assert result.equal == result.prompts > 0


def test_what_peft_cannot_merge_says_why(tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path) -> None:
    run = run_for(tiny_model(), shop_rows, tmp_path / "run", **{"peft.lora_bias": True})
    with pytest.raises(TunewrightError, match="lora_bias") as caught:
        SessionServer(run.dir, lambda message: None).merge(MergeRequest(str(tmp_path / "merged")))
    assert caught.value.problems[0].code == "E603"
    assert not (tmp_path / "merged").exists()
