"""The option surface is a budget: our own options, listed here; what is handed on to upstream does not count."""

from tunewright.config.schema_keys import options

# 60 until files of other encodings and control characters could be read, and thinking and the order of turns be chosen;
# one more for machines with several GPUs, of which a run takes one; seven for runs of several processes
# and machines; one for what a cluster has to be told; one for what is a text in files of plain text.
BUDGET = 74

OPTIONS = [
    "model.name",
    "model.revision",
    "model.precision",
    "model.quantization",
    "model.chat_template",
    "task",
    "data.train",
    "data.holdout",
    "data.map",
    "data.split",
    "data.encoding",
    "data.sample_by",
    "data.control_characters",
    "data.system",
    "data.max_length",
    "data.train_on",
    "data.thinking",
    "data.turns",
    "data.skip_bad",
    "data.max_bad",
    "data.problem_type",
    "data.class_weights",
    "data.max_truncated",
    "data.max_duplicates",
    "method",
    "preset",
    "peft.target_modules",
    "peft.lora_alpha",
    "peft.lora_dropout",
    "peft.r",
    "peft.bias",
    "peft.init_r",
    "peft.target_r",
    "peft.tinit",
    "peft.tfinal",
    "peft.feedforward_modules",
    "peft.num_virtual_tokens",
    "peft.encoder_hidden_size",
    "peft.block_size",
    "train.num_train_epochs",
    "train.max_steps",
    "train.learning_rate",
    "train.per_device_train_batch_size",
    "train.gradient_accumulation_steps",
    "train.lr_scheduler_type",
    "train.warmup_steps",
    "train.weight_decay",
    "train.max_grad_norm",
    "train.optim",
    "train.loraplus_lr_ratio",
    "train.activation_checkpointing",
    "train.seed",
    "train.data_seed",
    "train.logging_steps",
    "train.eval_steps",
    "train.save_total_limit",
    "train.early_stopping_patience",
    "train.report_to",
    "eval.rows",
    "eval.loss_rows",
    "eval.max_new_tokens",
    "run.name",
    "run.output_dir",
    "run.offline",
    "run.device_index",
    "launch.processes",
    "launch.parts",
    "launch.strategy",
    "launch.nodes",
    "launch.node_rank",
    "launch.main",
    "launch.timeout_seconds",
    "launch.job",
    "fast_paths",
]


def test_the_options_are_those_listed_here() -> None:
    assert [path for path, _field in options()] == OPTIONS


def test_the_options_stay_within_the_budget() -> None:
    assert len(OPTIONS) <= BUDGET
