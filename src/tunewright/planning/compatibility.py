"""Which methods exist for which tasks, models and settings, as far as PEFT and transformers really run them.

Each refusal was seen to fail, or to give wrong results, with peft 0.21.2, transformers 5.23 and bitsandbytes 0.50.2;
`tests/matrix/test_methods.py` runs the others.
"""

from tunewright.config.methods import METHODS, AdaLora
from tunewright.config.resolved_config import ResolvedConfig
from tunewright.config.run_config import RunConfig
from tunewright.config.section import AUTO
from tunewright.config.tasks import TASKS
from tunewright.errors import Problem
from tunewright.i18n import N_
from tunewright.planning.check_config import conflict
from tunewright.planning.run_plan import InspectedFacts

# Encoders that take keys and values from outside.
PREFIXED_ENCODERS = frozenset({"bert", "roberta", "electra", "xlm-roberta", "camembert"})
# Decoders whose cache has another shape than PEFT's prefixes.
NO_PREFIX = frozenset({"deepseek_v2", "deepseek_v3", "rwkv", "falcon_h1", "openai-gpt", "mamba", "mamba2"})
# What was trained, saved and loaded on 8 and 4 bits; others compute with the stored codes as if they were weights.
ON_QUANTIZED = frozenset({"lora", "adalora", "ia3", "prefix_tuning", "prompt_tuning", "p_tuning"})
LORA_OPTIMIZERS = ("loraplus", "lorafa")
# Start values that PEFT takes out of the base's weights, or refuses without a preparation of its own.
FROM_WEIGHTS = ("pissa", "olora", "loftq", "eva")
PREPARED = ("corda", "lora_ga")


def check_method(run: RunConfig, facts: InspectedFacts) -> list[Problem]:
    """E122 if the method does not work for this task and model, E109 for each setting it does not go with."""
    model = facts.model
    if run.task != AUTO and (reason := reason_not(run.method, run.task, model.kind, model.model_type)):
        values = {
            "method": METHODS[run.method].title,
            "task": TASKS[run.task].task_type,
            "family": model.model_type,
            "reason": reason,
            "works": "lora",
        }
        return [Problem("E122", values=values)]
    return _settings(run, facts) + _labels(run, facts)


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


def _settings(run: RunConfig, facts: InspectedFacts) -> list[Problem]:
    """Settings that this method does not go with."""
    problems, extra, quantized = [], run.peft.extra, f"model.quantization={run.model.quantization}"
    start = str(extra.get("init_lora_weights", ""))
    if run.method == "prefix_tuning" and run.train.activation_checkpointing is True:
        reason = N_("a checkpointed layer is called without the cache that the prefix is")
        fix = "--set train.activation_checkpointing=false"
        problems.append(conflict("method=prefix_tuning", "train.activation_checkpointing", reason, fix))
    if start == "loftq" and (facts.is_on_cpu or facts.is_on_mps):
        reason, where = (
            N_("PEFT computes LoftQ's initialization only by CUDA, ROCm or XPU"),
            "MPS" if facts.is_on_mps else "CPU",
        )
        problems.append(conflict("init_lora_weights=loftq", where, reason, "--set peft.init_lora_weights=pissa"))
    if start.startswith(PREPARED):
        reason = N_("PEFT requires a preparation of the model that Tunewright does not do")
        problems.append(conflict(f"init_lora_weights={start}", "train", reason, "--set peft.init_lora_weights=pissa"))
    if run.model.quantization not in (AUTO, "none"):
        if facts.is_on_mps:
            reason = N_("bitsandbytes was not tried on Apple's GPUs, and loads its kernels for them from the Hub")
            problems.append(conflict(quantized, "MPS", reason, "--set model.quantization=none"))
        if run.method not in ON_QUANTIZED:
            reason = N_("PEFT would compute with the stored codes, or fail")
            problems.append(conflict(f"method={run.method}", quantized, reason, "--method lora"))
        if start.startswith(FROM_WEIGHTS):
            reason = N_("initialization is computed from the weights, which are stored quantized")
            problems.append(conflict(f"init_lora_weights={start}", quantized, reason, "--set model.quantization=none"))
        if extra.get("use_dora") and run.model.quantization == "8bit":
            reason = N_("bitsandbytes drops the scales that DoRA reads when it is tested")
            problems.append(conflict("use_dora", quantized, reason, "--set model.quantization=4bit"))
    if run.launch.strategy not in (AUTO, "ddp") and run.model.quantization not in (AUTO, "none"):
        reason = N_("weights in fewer bits are not shared out among processes")
        sharded = f"launch.strategy={run.launch.strategy}"
        problems.append(conflict(sharded, quantized, reason, "--set model.quantization=none"))
    if run.train.optim in LORA_OPTIMIZERS and (run.method != "lora" or extra.get("rank_pattern")):
        reason = N_("this optimizer is made for LoRA with one rank")
        problems.append(
            conflict(f"train.optim={run.train.optim}", f"method={run.method}", reason, "--set train.optim=adamw_torch")
        )
    return problems


def _labels(run: RunConfig, facts: InspectedFacts) -> list[Problem]:
    if run.data.class_weights == "none" or (facts.data.labels and facts.data.problem_type != "regression"):
        return []
    reason, fix = N_("there are no classes to weigh"), "--set data.class_weights=none"
    return [conflict("data.class_weights=balanced", f"task={run.task}", reason, fix)]


def check_schedule(run: ResolvedConfig, num_steps: int) -> list[Problem]:
    """E109 for a schedule of AdaLoRA that has no room to move ranks."""
    if not isinstance(run.peft, AdaLora):
        return []
    p = run.peft
    problems = []
    if p.init_r <= p.target_r:
        reason, fix = (
            N_("ranks are pruned, so there must be more at the start"),
            f"--set peft.init_r={p.target_r + 1}",
        )
        problems.append(conflict(f"peft.init_r={p.init_r}", f"peft.target_r={p.target_r}", reason, fix))
    if num_steps - p.tfinal < 2 or p.tinit >= num_steps - p.tfinal:
        reason = N_("no step is left between them in which ranks could move")
        pair = f"peft.tinit={p.tinit}, peft.tfinal={p.tfinal}"
        problems.append(
            conflict(pair, f"{num_steps} steps", reason, "--set peft.tinit=0 --set peft.tfinal=0 --epochs 3")
        )
    return problems
