"""Keys that people write and that stand elsewhere today: old names, other tools' names, fields Tunewright sets itself.

Three tables, each by section ("config" is the top level). None of these keys is accepted; each gets its own answer.
Source: transformers 5.23 and peft 0.21.2 for what was renamed; LLaMA-Factory, axolotl and TRL for the other names.
"""

from collections.abc import Mapping

from tunewright.i18n import N_

TOP = "config"

# section -> old name -> where it stands today, with the value if the old name implied one
RENAMED: Mapping[str, Mapping[str, str]] = {
    TOP: {
        "args": "train",
        "base_model": "model.name",
        "dataset": "data.train",
        "datasets": "data.train",
        "finetuning_type": "method",
        "lora": "peft",
        "lora_config": "peft",
        "peft_config": "peft",
        "peft_method": "method",
        "peft_type": "method",
        "template": "model.chat_template",
        "training": "train",
        "training_args": "train",
        "training_arguments": "train",
    },
    "model": {
        "base_model": "model.name",
        "dtype": "model.precision",
        "load_in_4bit": "model.quantization: 4bit",
        "load_in_8bit": "model.quantization: 8bit",
        "model_name": "model.name",
        "model_name_or_path": "model.name",
        "name_or_path": "model.name",
        "path": "model.name",
        "quantization_bit": "model.quantization",
        "template": "model.chat_template",
        "torch_dtype": "model.precision",
    },
    "data": {
        "assistant_only_loss": "data.train_on: answers",
        "column_mapping": "data.map",
        "columns": "data.map",
        "completion_only_loss": "data.train_on: answers",
        "cutoff_len": "data.max_length",
        "dataset": "data.train",
        "dataset_name": "data.train",
        "eval_dataset": "data.holdout",
        "eval_file": "data.holdout",
        "file": "data.train",
        "max_len": "data.max_length",
        "max_seq_len": "data.max_length",
        "max_seq_length": "data.max_length",
        "model_max_length": "data.max_length",
        "path": "data.train",
        "sequence_len": "data.max_length",
        "system_prompt": "data.system",
        "test_size": "data.holdout",
        "train_dataset": "data.train",
        "train_file": "data.train",
        "train_on_inputs": "data.train_on",
        "train_on_prompt": "data.train_on",
        "val_set_size": "data.holdout",
        "val_size": "data.holdout",
        "validation": "data.holdout",
        "validation_file": "data.holdout",
    },
    "peft": {
        "additional_target": "peft.modules_to_save",
        "alpha": "peft.lora_alpha",
        "dropout": "peft.lora_dropout",
        "lora_dim": "peft.r",
        "lora_modules_to_save": "peft.modules_to_save",
        "lora_r": "peft.r",
        "lora_rank": "peft.r",
        "lora_target": "peft.target_modules",
        "lora_target_linear": "peft.target_modules: all-linear",
        "lora_target_modules": "peft.target_modules",
        "rank": "peft.r",
    },
    "train": {
        "batch_size": "train.per_device_train_batch_size",
        "early_stopping": "train.early_stopping_patience",
        "epochs": "train.num_train_epochs",
        "gradient_checkpointing": "train.activation_checkpointing",
        "gradient_clipping": "train.max_grad_norm",
        "lr": "train.learning_rate",
        "lr_scheduler": "train.lr_scheduler_type",
        "micro_batch_size": "train.per_device_train_batch_size",
        "num_epochs": "train.num_train_epochs",
        "optimizer": "train.optim",
        "per_gpu_train_batch_size": "train.per_device_train_batch_size",
        "train_batch_size": "train.per_device_train_batch_size",
        "warmup_ratio": "train.warmup_steps",
    },
    "eval": {
        "max_tokens": "eval.max_new_tokens",
        "num_samples": "eval.rows",
    },
    "run": {
        "run_name": "run.name",
        "output": "run.output_dir",
    },
}

# section -> name that is gone -> why
REMOVED: Mapping[str, Mapping[str, str]] = {
    "train": {
        "adafactor": N_("the optimizer is chosen by train.optim: adafactor"),
        "fp16_backend": N_("there is only one left"),
        "fp16_opt_level": N_("it belonged to apex, which transformers no longer uses"),
        "half_precision_backend": N_("there is only one left"),
        "include_tokens_per_second": N_("tokens per second are always measured"),
        "jit_mode_eval": N_("transformers dropped it"),
        "logging_dir": N_("set the environment variable TENSORBOARD_LOGGING_DIR"),
        "overwrite_output_dir": N_("a run never overwrites another one"),
        "past_index": N_("transformers dropped it"),
        "save_safetensors": N_("weights are always saved as safetensors"),
        "torchdynamo": N_("use train.torch_compile and train.torch_compile_backend"),
        "use_ipex": N_("transformers dropped it"),
        "use_mps_device": N_("an Apple GPU is found by itself"),
    },
}

_BEST = N_("the step with the lowest held-out loss is always kept; see train.early_stopping_patience")
_CHECKPOINTS = N_("every measurement of the held-out loss saves a checkpoint: train.eval_steps")
_DEVICE = N_("the device is found by itself; the environment variable CUDA_VISIBLE_DEVICES hides GPUs")
_IMPORTS = N_("it would import code that the config names")
_ONE_PROCESS = N_("a run trains in one process on one device, so there is nothing to divide or to join")
_PRECISION = N_("use model.precision: bf16, fp16, fp32 or auto")
_RESUME = N_("a run is continued exactly where it stopped: tunewright runs resume RUN")
_STEPS = N_("training and measuring are steps of every run")
_UPLOAD = N_("a run uploads no model")

# Fields of TrainingArguments that only several processes, or several devices, have a use for.
SEVERAL_PROCESSES = (
    "accelerator_config",
    "average_tokens_across_devices",
    "ddp_backend",
    "ddp_broadcast_buffers",
    "ddp_bucket_cap_mb",
    "ddp_find_unused_parameters",
    "ddp_static_graph",
    "ddp_timeout",
    "deepspeed",
    "dispatch_batches",
    "eval_use_gather_object",
    "fsdp",
    "fsdp_config",
    "log_level_replica",
    "log_on_each_node",
    "parallelism_config",
    "save_on_each_node",
    "split_batches",
)

# section -> field of upstream (or its old name) that Tunewright sets itself -> what to use instead
OWNED: Mapping[str, Mapping[str, str]] = {
    "model": {
        "attn_implementation": N_("the plan chooses it for the device"),
        "device_map": _DEVICE,
        "quantization_config": N_("use model.quantization: 8bit or 4bit"),
        "trust_remote_code": N_("code that comes with a model is never run"),
    },
    "peft": {
        "base_model_name_or_path": N_("use model.name"),
        "inference_mode": N_("it is set when the adapter is saved"),
        "megatron_config": _IMPORTS,
        "megatron_core": _IMPORTS,
        "method": N_("method stands at the top level, beside peft"),
        "peft_type": N_("use method, at the top level"),
        "tokenizer_name_or_path": N_("the model's own tokenizer is taken"),
        "total_step": N_("the number of steps of the plan is taken"),
        "task_type": N_("use task, at the top level"),
    },
    "train": {
        **dict.fromkeys(SEVERAL_PROCESSES, _ONE_PROCESS),
        "auto_find_batch_size": N_("it changes the effective batch; the plan chooses a batch size that fits"),
        "bf16": _PRECISION,
        "bf16_full_eval": _PRECISION,
        "disable_tqdm": N_("the command line shows progress itself"),
        "do_eval": _STEPS,
        "do_predict": _STEPS,
        "do_train": _STEPS,
        "enable_jit_checkpoint": N_("stopping a run always saves a checkpoint, between two steps"),
        "eval_batch_size": N_("the plan chooses it"),
        "eval_strategy": N_("Tunewright decides it by train.eval_steps"),
        "evaluation_strategy": N_("it is now called eval_strategy, and Tunewright decides it by train.eval_steps"),
        "fp16": _PRECISION,
        "fp16_full_eval": _PRECISION,
        "greater_is_better": _BEST,
        "hub_always_push": _UPLOAD,
        "hub_model_id": _UPLOAD,
        "hub_private_repo": _UPLOAD,
        "hub_revision": _UPLOAD,
        "hub_strategy": _UPLOAD,
        "hub_token": _UPLOAD,
        "ignore_data_skip": _RESUME,
        "include_num_input_tokens_seen": N_("tokens are always counted"),
        "load_best_model_at_end": _BEST,
        "local_rank": N_("the launcher sets it"),
        "logging_nan_inf_filter": N_("it would hide broken numbers; a run stops at the first one"),
        "metric_for_best_model": _BEST,
        "activation_checkpointing_kwargs": N_("set by train.activation_checkpointing"),
        "gradient_checkpointing_kwargs": N_("set by train.activation_checkpointing"),
        "dataloader_pin_memory": _DEVICE,
        "group_by_length": N_("rows of a step are sorted by length already"),
        "label_smoothing_factor": N_("the loss is computed at the answers only, without smoothing"),
        "logging_first_step": N_("the first step is always logged"),
        "torch_compile": N_("fast paths take its place"),
        "torch_compile_backend": N_("fast paths take its place"),
        "torch_compile_mode": N_("fast paths take its place"),
        "torch_empty_cache_steps": _DEVICE,
        "no_cuda": _DEVICE,
        "output_dir": N_("use run.output_dir"),
        "per_device_eval_batch_size": N_("the plan chooses it"),
        "push_to_hub": _UPLOAD,
        "remove_unused_columns": N_("the columns are chosen by data.map"),
        "restore_callback_states_from_checkpoint": _RESUME,
        "resume_from_checkpoint": _RESUME,
        "run_name": N_("use run.name"),
        "save_only_model": N_("checkpoints are always complete, so that a run can be continued"),
        "save_steps": _CHECKPOINTS,
        "save_strategy": _CHECKPOINTS,
        "use_cpu": _DEVICE,
    },
}


_FOUR_BITS = N_("LoRA on a base whose weights are stored in 4 bits")
_FULL = N_("all weights are trained only beside adapters, for comparison")
_COMPARE = "tunewright compare {model} {data} --full"

# value of method that is another tool's, without blanks, dashes and underscores -> what it is here, and how it is asked for
METHODS_ELSEWHERE: Mapping[str, tuple[str, str]] = {
    "qlora": (_FOUR_BITS, "--method lora --set model.quantization=4bit"),
    "lora4bit": (_FOUR_BITS, "--method lora --set model.quantization=4bit"),
    "dora": (N_("LoRA with the length of the weights trained apart"), "--method lora --set peft.use_dora=true"),
    "qdora": (
        N_("DoRA on a base whose weights are stored in 4 bits"),
        "--method lora --set peft.use_dora=true --set model.quantization=4bit",
    ),
    "rslora": (N_("LoRA with another scale"), "--method lora --set peft.use_rslora=true"),
    "pissa": (N_("LoRA with other start values"), "--method lora --set peft.init_lora_weights=pissa"),
    "olora": (N_("LoRA with other start values"), "--method lora --set peft.init_lora_weights=olora"),
    "full": (_FULL, _COMPARE),
    "fullft": (_FULL, _COMPARE),
    "fullfinetuning": (_FULL, _COMPARE),
    "fft": (_FULL, _COMPARE),
    "sft": (N_("it is what every method does: learning from right answers"), "--method lora"),
}


def elsewhere(value: str) -> tuple[str, str] | None:
    """What a method's name of another tool is here, and how it is asked for; None for a name that is not known."""
    return METHODS_ELSEWHERE.get("".join(char for char in value.lower() if char.isalnum()))


def refused(section: str) -> frozenset[str]:
    """Names that `section` never hands on to upstream, although upstream may have them."""
    return frozenset(RENAMED.get(section, {})) | frozenset(REMOVED.get(section, {})) | frozenset(OWNED.get(section, {}))
