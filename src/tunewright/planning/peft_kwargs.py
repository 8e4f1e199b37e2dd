"""What PEFT needs besides the fields of a config: steps, tokenizer, sizes of the model. For both worker and script."""

from tunewright.config.methods import ALL_LINEAR, METHODS, AdaLora, Targeted
from tunewright.planning.run_plan import Plan

# PEFT looks for the sizes of a model under other names, and not in nested configs.
SHAPES_PEFT_MISSES = frozenset({"encoder-decoder", "distilbert"})
# Trained as a whole, so that no adapter may wrap them.
HEADS = ["classifier", "score", "pre_classifier"]
LABELLED = ("seq_cls", "token_cls")
LOFTQ = {"loftq_bits": 4, "loftq_iter": 1}


def known_fields(plan: Plan, num_steps: int) -> dict[str, object]:
    """Fields of PEFT's config that follow from the plan and from the steps that will be made, in PEFT's names."""
    run, model = plan.run, plan.facts.model
    known: dict[str, object] = {}
    if isinstance(run.peft, AdaLora):
        known["total_step"] = num_steps
        if num_steps != plan.num_steps:  # the schedule keeps its shape
            planned = {"tinit": run.peft.tinit, "tfinal": run.peft.tfinal}
            known |= {name: int(steps) * num_steps // plan.num_steps for name, steps in planned.items()}
    if run.peft.extra.get("prompt_tuning_init") == "TEXT":
        known["tokenizer_name_or_path"] = model.tokenizer_folder
    if run.peft.extra.get("init_lora_weights") == "loftq":
        known["loftq_config"] = {**LOFTQ, **(run.peft.extra.get("loftq_config") or {})}
    if METHODS[run.method].is_prompt_learning and model.model_type in SHAPES_PEFT_MISSES:
        known |= {"num_layers": model.num_decoder_layers or model.num_layers, "token_dim": model.hidden_size}
        known["num_attention_heads"] = model.num_attention_heads
    if run.task in LABELLED and isinstance(run.peft, Targeted) and run.peft.target_modules == ALL_LINEAR:
        known["exclude_modules"] = HEADS
    return known
