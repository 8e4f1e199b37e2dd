"""Which methods exist for which tasks and kinds of models, as far as PEFT and transformers really run them.

Each refusal was seen to fail at the first step with peft 0.21.2 and transformers 5.23; `tests/matrix/test_methods.py`
runs the others.
"""

from tunewright.errors import Problem
from tunewright.i18n import N_
from tunewright.plan.adapter import is_cpu
from tunewright.plan.plan import Facts
from tunewright.spec.methods import METHODS
from tunewright.spec.run import Run
from tunewright.spec.tasks import TASKS

# Encoders that take keys and values from outside.
PREFIXED_ENCODERS = frozenset({"bert", "roberta", "electra", "xlm-roberta", "camembert"})

# Decoders whose cache has another shape than PEFT's prefixes.
NO_PREFIX = frozenset({"deepseek_v2", "deepseek_v3", "rwkv", "falcon_h1", "openai-gpt", "mamba", "mamba2"})


def check_method(run: Run, facts: Facts) -> list[Problem]:
    """E122 if the method does not work for this task and model, with those that do."""
    assert run.task != "auto"
    reason = reason_not(run.method, run.task, facts.model.kind, facts.model.model_type)
    if reason is None and run.method == "adalora" and run.train.max_steps == 1:
        reason = N_("ranks move between steps, and there is only one")
    if run.method == "prefix_tuning" and run.train.activation_checkpointing is True:
        why = N_("a checkpointed layer is called without the cache that the prefix is")
        fix = "--set train.activation_checkpointing=false"
        values = {
            "first": "method=prefix_tuning",
            "second": "train.activation_checkpointing",
            "reason": why,
            "fix": fix,
        }
        return [Problem("E109", values=values)]
    if run.peft.extra.get("init_lora_weights") == "loftq" and is_cpu(facts):
        why, fix = N_("PEFT computes LoftQ's start values on a GPU only"), "--set peft.init_lora_weights=pissa"
        return [Problem("E109", values={"first": "init_lora_weights=loftq", "second": "CPU", "reason": why, "fix": fix})]
    if reason is None:
        return []
    works = [name for name in METHODS if reason_not(name, run.task, facts.model.kind, facts.model.model_type) is None]
    values = {
        "method": METHODS[run.method].title, "task": TASKS[run.task].task_type, "family": facts.model.model_type,
        "reason": reason, "works": works[0],
    }  # fmt: skip
    return [Problem("E122", values=values)]


def reason_not(method: str, task: str, kind: str, model_type: str) -> str | None:
    """Why a method does not work there; None if it does."""
    is_prompt, is_label_task = METHODS[method].is_prompt_learning, task in ("seq_cls", "token_cls")
    if is_prompt and kind == "encoder_decoder" and is_label_task and (task == "seq_cls" or method == "prefix_tuning"):
        return N_("its classification model takes no learned positions")
    if method == "prefix_tuning" and kind == "encoder" and model_type not in PREFIXED_ENCODERS:
        return N_("this model takes no keys and values from outside")
    if method == "prefix_tuning" and model_type in NO_PREFIX:
        return N_("it does not keep keys and values by heads")
    return None
