"""The model card: what a stranger reads beside the adapter. Its code is run in tests/matrix."""

import pytest

from tunewright.config.load_config import patch
from tunewright.config.run_config import RunConfig
from tunewright.planning.resolve import resolve
from tunewright.report import run_record
from tunewright.rundir.model_card import card, has_untrained_head, loading_code
from tunewright.rundir.run_dir import RunDir


def card_of(run: RunDir) -> str:
    record = run_record.read(run)
    return card(record.plan, run, record.baseline)


@pytest.mark.parametrize(
    ("fixture", "tag", "auto_class"),
    [
        ("finished", "text-generation", "AutoPeftModelForCausalLM"),
        ("translated", "text2text-generation", "AutoPeftModelForSeq2SeqLM"),
        ("classified", "text-classification", "AutoModelForSequenceClassification"),
        ("estimated", "text-classification", "AutoModelForSequenceClassification"),
        ("tagged", "token-classification", "AutoModelForTokenClassification"),
    ],
)
def test_the_card_is_that_of_the_task(fixture: str, tag: str, auto_class: str, request: pytest.FixtureRequest) -> None:
    run: RunDir = request.getfixturevalue(fixture)
    text = card_of(run)
    code = text.split("```python\n")[1].split("```")[0]
    assert f"\npipeline_tag: {tag}\n" in text
    assert f"{auto_class}.from_pretrained(" in code
    compile(code, "card", "exec")
    assert code.strip() == loading_code(run_record.read(run).plan, "adapter")
    assert "None" not in text and "nan" not in text


def test_labels_baseline_and_untrained_head_are_named(classified: RunDir) -> None:
    text = card_of(classified)
    assert "**Labels** (6): `address`, `cancel`" in text
    assert "| metric | base, untrained head | always the majority class | this adapter |" in text
    assert "| accuracy | 0.1167 | 0.1667 | 0.9083 |" in text
    assert "| held_out_loss | 1.79 |  | 0.21 |" in text
    assert "an untrained one only guesses" in text


def test_a_base_that_has_a_head_is_not_called_untrained(classified: RunDir, finished: RunDir) -> None:
    plan = run_record.read(classified).plan
    with_head = plan.facts.model.model_copy(update={"architecture": "BertForSequenceClassification"})
    plan = plan.model_copy(update={"facts": plan.facts.model_copy(update={"model": with_head})})
    assert not has_untrained_head(plan)
    assert "ignore_mismatched_sizes=True" in loading_code(plan, "adapter"), "its head may have other labels"
    assert not has_untrained_head(run_record.read(finished).plan)


@pytest.mark.parametrize(
    ("peft", "method"),
    [
        (
            {"method": "lora", "peft": {"r": 4, "use_dora": True}},
            "lora (target_modules=[q_proj, k_proj, v_proj, o_proj], lora_alpha=8",
        ),
        (
            {"method": "prefix_tuning", "peft": {"num_virtual_tokens": 20}},
            "prefix_tuning (num_virtual_tokens=20, init_weights=zero)",
        ),
        ({"method": "ia3"}, "ia3 (target_modules=[k_proj, v_proj, down_proj], feedforward_modules=[down_proj])"),
    ],
)
def test_every_method_is_said_with_its_fields(finished: RunDir, peft: dict[str, object], method: str) -> None:
    plan = run_record.read(finished).plan
    config = RunConfig.model_validate({"model": "smollm2", "task": "causal_lm", "data": "support.jsonl", **peft})
    run, _choices = resolve(config, plan.facts)
    text = card(plan.model_copy(update={"run": run}), finished)
    assert f"**Method**: {method}" in text
    assert ("use_dora=true" in text) == ("use_dora" in str(peft))


def test_a_quantized_base_is_said(finished: RunDir) -> None:
    plan = run_record.read(finished).plan
    run = patch(plan.run, {"model.quantization": "4bit"})
    assert "held in 4 bit (NF4)" in card(plan.model_copy(update={"run": run}), finished)
