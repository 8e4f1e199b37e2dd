"""Settings for transformers and PEFT, tried without weights and rows: `python -m tunewright.engine.training.dry_run`.

PEFT's config is applied to the base's architecture on the meta device, where tensors have shapes and no memory, and the model
is called once; TrainingArguments, optimizer, schedule and loader make one step of a miniature. A setting is to blame only if
the attempt succeeds without it, so a limit of the meta device does no harm. The request is a plan, the answer a list of problems.
"""

import json
import math
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import torch
import transformers
from accelerate.scheduler import AcceleratedScheduler
from peft import LoraConfig, get_peft_model
from torch.optim.lr_scheduler import LambdaLR
from transformers import (
    AutoConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.integrations.integration_utils import get_reporting_integration_callbacks

from tunewright.config.methods import ALL_LINEAR
from tunewright.config.resolved_config import ResolvedConfig, ResolvedLora, ResolvedTrainConfig
from tunewright.data.tokenized.tokenization import TokenizedExample
from tunewright.engine.models.load_model import label_settings
from tunewright.engine.models.peft_adapter import planned_config
from tunewright.engine.system.device import device
from tunewright.engine.system.oom import ran_out, reason_of
from tunewright.engine.tasks.collator import StepCollator
from tunewright.engine.tasks.task_registry import ENGINE_TASKS, task_of
from tunewright.engine.training.build_trainer import training_arguments
from tunewright.engine.training.meters import TrainingMeters
from tunewright.engine.training.optimizers import make_optimizer
from tunewright.engine.training.trainer import StepTrainer
from tunewright.errors import Problem, TunewrightError
from tunewright.kernels.cross_entropy import plain_loss
from tunewright.planning.passthrough_settings import ADAMW, OPEN, target_pattern, unusual
from tunewright.planning.run_plan import Plan
from tunewright.rundir.checkpoints import CheckpointStore
from tunewright.security import gate_model_folder, printable
from tunewright.security.processes import limit_this_process

TOKENS = 8
MOST_RATES = 20_000  # steps of a schedule that are computed
# Initializations that are computed from weights, which do not exist here.
FROM_WEIGHTS = ("pissa", "olora", "loftq", "eva", "corda", "lora_ga", "mica", "orthogonal")
Settings = Mapping[str, object]
Attempt = Callable[[Settings], None]


def problems_of(plan: Plan) -> list[Problem]:
    """What upstream refuses of a plan's settings."""
    return [*_adapter(plan), *_training(plan)]


def _fault(attempt: Attempt, settings: Settings) -> str:
    """What upstream raised for these settings; empty if they were accepted."""
    try:
        attempt(settings)
    except Exception as fault:
        if ran_out(fault):
            raise  # the limits of this process, which its parent reports
        cause = fault.__cause__ if isinstance(fault, TunewrightError) and fault.__cause__ else fault
        return printable(f"{type(cause).__name__}: {reason_of(cause)}")[:300]
    return ""


def blame(section: str, upstream: str, settings: Settings, attempt: Attempt) -> list[Problem]:
    """E141 for the setting without which the attempt succeeds; for all of them if it is none alone."""
    reason = _fault(attempt, settings)
    if not reason or _fault(attempt, {}):
        return []
    culprits = [n for n in settings if not _fault(attempt, {k: v for k, v in settings.items() if k != n})]
    return [
        Problem("E141", values={"key": f"{section}.{name}", "upstream": upstream, "reason": reason})
        for name in (culprits or list(settings))[:1]
    ]


def _adapter(plan: Plan) -> list[Problem]:
    """The adapter on the meta device: built, then called."""
    pattern = target_pattern(plan.run)
    settings = {**plan.run.peft.extra, **({"target_modules": pattern} if pattern else {})}
    if not settings:
        return []
    if unknown := _unknown(plan):
        return unknown
    for is_called in (False, True):

        def attempt(chosen: Settings, is_called: bool = is_called) -> None:
            _attach(plan, chosen, is_called=is_called)

        if problems := blame("peft", "PEFT", settings, attempt):
            return problems
    return []


def meta_model(plan: Plan) -> PreTrainedModel:
    """The base's architecture with the plan's labels, without weights."""
    folder = Path(plan.facts.model.folder)
    gate_model_folder(folder)
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True, **label_settings(plan))
    with torch.device("meta"):
        model: PreTrainedModel = task_of(plan).auto_class.from_config(config, trust_remote_code=False)
    return model.requires_grad_(False)


def _unknown(plan: Plan) -> list[Problem]:
    """E145 for `modules_to_save` that the model does not have; PEFT ignores some of them."""
    modules_to_save = plan.run.peft.extra.get("modules_to_save") or []
    modules_to_save = [modules_to_save] if isinstance(modules_to_save, str) else modules_to_save
    try:
        paths = [name for name, _module in meta_model(plan).named_modules()] if modules_to_save else []
    except Exception:
        return []
    missing = [name for name in modules_to_save if not any(path == name or path.endswith(f".{name}") for path in paths)]
    values = {"key": "peft.modules_to_save", "names": ", ".join(map(printable, missing))}
    return [Problem("E145", values=values)] if missing and paths else []


def _attach(plan: Plan, settings: Settings, *, is_called: bool) -> None:
    declared = dict(plan.run.peft) | ({"target_modules": ALL_LINEAR} if target_pattern(plan.run) else {})
    chosen = dict(settings)
    if str(chosen.get("init_lora_weights", "")).startswith(FROM_WEIGHTS):
        chosen["init_lora_weights"] = True
    section = type(plan.run.peft).model_validate({**declared, **chosen})
    changed = plan.model_copy(update={"run": plan.run.model_copy(update={"peft": section})})
    with warnings.catch_warnings():
        if not chosen.get("target_parameters"):  # PEFT looks for the keys among layers alone
            warnings.filterwarnings("error", "The following .*_pattern keys did not match", RuntimeWarning)
        model = get_peft_model(meta_model(plan), planned_config(changed), low_cpu_mem_usage=True)
    if not is_called:
        return
    with torch.device("meta"):
        ids = torch.zeros((1, TOKENS), dtype=torch.long)
        model(input_ids=ids, **({"decoder_input_ids": ids} if plan.run.task == "seq2seq" else {}))


def _training(plan: Plan) -> list[Problem]:
    """One step of a miniature with the plan's settings."""
    settings = {**unusual(plan.run.train), **plan.run.train.extra}

    def attempt(chosen: Settings) -> None:
        with tempfile.TemporaryDirectory() as folder:
            _step(plan, chosen, Path(folder))

    return blame("train", "transformers", settings, attempt) if settings else []


class FirstStep(TrainerCallback):
    """Ends the training after its first step."""

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        control.should_training_stop = True
        return control


def _step(plan: Plan, settings: Settings, folder: Path) -> None:
    declared = {name: value for name, value in dict(plan.run.train).items() if name not in OPEN}
    chosen = dict(settings)
    for tracker in get_reporting_integration_callbacks(chosen.pop("report_to", None)):
        tracker()  # refuses if its package is missing; nothing is reported
    if chosen.get("dataloader_num_workers"):
        chosen["dataloader_num_workers"] = 1
    fixed = {"max_steps": plan.num_steps, "eval_steps": 1, "logging_steps": 1}
    train = ResolvedTrainConfig.model_validate({**declared, "optim": ADAMW, **chosen, **fixed})
    run = _miniature_run(plan.run, train)
    small = plan.model_copy(update={"run": run, "effective_batch": 2, "fast_paths": ()})
    rows = [TokenizedExample(number, [1, 2, 3, 4], [-100, 2, 3, 4], 1, 4) for number in (1, 2)]
    task = ENGINE_TASKS["causal_lm"]
    model = _miniature().to(device())  # as in a run: the optimizer gets the parameters that are there
    trainer = StepTrainer(
        loss=plain_loss, held_out_loss=lambda _model: 1.0, method="lora",
        store=CheckpointStore(folder, "dry"), identity={},
        keep_checkpoints=2, meters=TrainingMeters(), model=model,
        args=training_arguments(small, folder, has_tests=True), train_dataset=rows, eval_dataset=rows,
        data_collator=StepCollator(task.collate, task.units, task.size, 0, 2 * TOKENS), callbacks=[FirstStep()],
        optimizers=(make_optimizer(model, small), None),
    )  # fmt: skip
    trainer.train()
    _check_rates(trainer.lr_scheduler, plan.num_steps)


def _check_rates(scheduler: Any, num_steps: int) -> None:
    """A schedule to its end: some cannot be computed, or turn round, at a step far from the first. Raises: ValueError."""
    if isinstance(scheduler, AcceleratedScheduler):
        scheduler = scheduler.scheduler
    if not isinstance(scheduler, LambdaLR):
        return
    stride = max(1, num_steps // MOST_RATES)
    for step in (*range(0, num_steps, stride), num_steps):
        for factor in scheduler.lr_lambdas:
            rate = float(factor(step))
            if not 0 <= rate < math.inf:
                raise ValueError(
                    f"at step {step} of {num_steps} the learning rate is {rate:g} times the one that is set"
                )


def _miniature() -> Any:
    """A language model of a few hundred parameters with an adapter."""
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    base = LlamaForCausalLM(LlamaConfig(vocab_size=16, num_key_value_heads=2, max_position_embeddings=16, **sizes))
    config = LoraConfig(r=2, lora_alpha=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    return get_peft_model(base, config)


def _miniature_run(run: ResolvedConfig, train: ResolvedTrainConfig) -> ResolvedConfig:
    peft = ResolvedLora.model_validate({"r": 2, "lora_alpha": 2, "lora_dropout": 0.0, "target_modules": ["q_proj"]})
    return run.model_copy(update={"train": train, "task": "causal_lm", "method": "lora", "peft": peft})


def main() -> None:
    """Entry of the process: a plan on standard input, problems on standard output."""
    request = json.load(sys.stdin)
    limit_this_process(request["seconds"], request["megabytes"], only_held=True)
    warnings.simplefilter("ignore")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    with redirect_stdout(sys.stderr):
        problems = problems_of(Plan.model_validate(request["plan"]))
    json.dump({"problems": [problem.to_record() for problem in problems]}, sys.stdout)
    sys.stdout.flush()
    os._exit(0)  # does not wait for processes of loaders or trackers


if __name__ == "__main__":
    main()
