"""What a run exports: the adapter as a plain PEFT folder, and the merged model as a plain transformers folder."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from peft import LoraConfig, PeftModel
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel

from tunewright.config.methods import METHODS
from tunewright.data.tokenized.tokenization import TokenizedExample
from tunewright.data.tokenized.tokenizer import TextTokenizer
from tunewright.engine.evaluation.generation import generate
from tunewright.engine.models.finite import check_finite, trained_tensors
from tunewright.engine.models.load_model import DTYPES, adapter_tensors, load_adapter, load_hf_tokenizer
from tunewright.engine.models.quantization import dequantized
from tunewright.engine.system.io_errors import disk_faults
from tunewright.errors import error, exists_already
from tunewright.i18n import N_
from tunewright.planning.peft_kwargs import LABELLED
from tunewright.planning.run_plan import Plan
from tunewright.rundir import atomic_io
from tunewright.rundir.model_card import card
from tunewright.rundir.records import BaselineRecord
from tunewright.rundir.run_dir import RunDir
from tunewright.rundir.session_protocol import MergeResult

logger = logging.getLogger(__name__)

# Largest difference of logits, as a share of the largest logit: a merge rounds each weight once more.
MERGE_TOLERANCE = {"fp32": 1e-4, "mixed": 3e-2, "bf16": 3e-2, "fp16": 1e-2}
# Initializations of LoRA that move a part of the base into the adapter, so that B times A is not zero at the start.
MOVES_BASE_WEIGHTS = ("pissa", "olora")


def initial_weights_from_base(model: PeftModel) -> dict[str, Tensor]:
    """The initial A and B of a fresh adapter whose initialization moved them out of the base's weights; else empty.

    They depend on the base alone, up to signs that cancel out in B times A, so a resumed run computes the same ones.
    """
    config = model.active_peft_config
    if not isinstance(config, LoraConfig) or not str(config.init_lora_weights).lower().startswith(MOVES_BASE_WEIGHTS):
        return {}
    return {
        name: tensor.detach().clone()
        for name, tensor in adapter_tensors(model).items()
        if ".lora_A." in name or ".lora_B." in name
    }


def save_adapter(
    model: PeftModel,
    plan: Plan,
    run: RunDir,
    tokenizer: TextTokenizer,
    initial_weights: Mapping[str, Tensor] | None = None,
    baseline: BaselineRecord | None = None,
) -> Path:
    """The adapter with tokenizer, template and card; loads in bare PEFT. Published whole, with a manifest.

    `initial_weights` is the result of `initial_weights_from_base` for the fresh adapter. For a model with a head, its config
    with the labels is saved too: `AutoConfig.from_pretrained(adapter)`. `baseline` goes into the card.
    Raises: TrainingError E511 for a trained parameter that is not finite; OSError where the disk refuses.
    """
    check_finite(trained_tensors(model))
    with atomic_io.staging(run.path) as staged, disk_faults(staged):
        model.save_pretrained(staged, safe_serialization=True, save_embedding_layers=False)
        if initial_weights:
            _convert_to_original_base(staged, initial_weights)
        if plan.run.task in LABELLED:
            _save_labels(model, staged)
        load_hf_tokenizer(Path(plan.facts.model.tokenizer_folder), tokenizer).save_pretrained(staged)
        (staged / "README.md").write_text(card(plan, run, baseline), encoding="utf-8")
        base = plan.facts.model
        run.publish_adapter(staged, {"model": base.digest, **base.contents.model_dump()})
    logger.info("saved the adapter to %s", run.adapter_dir)
    return run.adapter_dir


def _convert_to_original_base(folder: Path, initial_weights: Mapping[str, Tensor]) -> None:
    """Convert a saved adapter to one of the original base: B A - B0 A0 = [B, -B0] [A; A0], at twice the rank.

    PEFT's own conversion (`path_initial_model_for_weight_conversion` of peft 0.21.2) is the same sum, but drops all other
    tensors: heads, biases, DoRA's magnitudes. DoRA stays exact, as its magnitudes belong to the sum of base and update.
    """
    path = folder / "adapter_model.safetensors"
    save_file(with_initial_weights(load_file(path), initial_weights), path, metadata={"format": "pt"})
    config = LoraConfig.from_pretrained(folder)
    scale = math.sqrt(2) if config.use_rslora else 2  # the scale is alpha / r, or alpha / sqrt(r)
    config.init_lora_weights, config.inference_mode = True, True
    config.r, config.lora_alpha = 2 * config.r, scale * config.lora_alpha
    config.rank_pattern = {name: 2 * r for name, r in (config.rank_pattern or {}).items()}
    config.alpha_pattern = {name: scale * alpha for name, alpha in (config.alpha_pattern or {}).items()}
    config.save_pretrained(folder)


def with_initial_weights(tensors: Mapping[str, Tensor], initial_weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """An adapter's tensors, each concatenated with its initial weights."""
    combined = dict(tensors)
    for name, initial in initial_weights.items():
        is_a, trained = ".lora_A." in name, tensors[name]
        combined[name] = torch.cat([trained, (initial if is_a else -initial).to(trained.device)], dim=0 if is_a else 1)
    return combined


def _save_labels(model: PeftModel, folder: Path) -> None:
    """The config of the model with its head, without quantization: the adapter fits plain weights too."""
    config = type(model.config).from_dict(model.config.to_dict())
    if "quantization_config" in vars(config):
        del config.quantization_config
    config.architectures = [type(model.get_base_model()).__name__]
    config.save_pretrained(folder)


def merge_inputs(rows: Sequence[TokenizedExample], plan: Plan) -> list[list[int]]:
    """Inputs that a merge is checked on: the prompts of rows, or whole rows where they hold no answer."""
    if plan.run.task != "causal_lm":
        return [list(row.input_ids) for row in rows]
    return [list(row.input_ids[: row.prompt_length]) for row in rows if 0 < row.prompt_length < len(row.input_ids)]


@dataclass(frozen=True)
class _ModelOutputs:
    """A model's outputs for some inputs: an answer or labels for each, and its logits."""

    answers: list[Any]
    """Empty where answers are not compared."""
    logits: list[Tensor]

    def equal(self, other: "_ModelOutputs") -> int:
        return sum(a == b for a, b in zip(self.answers, other.answers, strict=True))

    def difference(self, other: "_ModelOutputs") -> float:
        pairs = zip(self.logits, other.logits, strict=True)
        return max((float((a - b).abs().max()) for a, b in pairs), default=0.0)

    def scale(self) -> float:
        return max((float(logits.abs().max()) for logits in self.logits), default=1.0)


def _model_outputs(
    model: Any, plan: Plan, tokenizer: TextTokenizer, inputs: Sequence[Sequence[int]], max_new_tokens: int
) -> _ModelOutputs:
    model.eval()
    logits = [next_logits(model, plan, ids) for ids in inputs]
    if plan.run.task in LABELLED:
        return _ModelOutputs([_label(row, plan.facts.data.problem_type) for row in logits], logits)
    answers = generate(model, inputs, tokenizer, max_new_tokens=max_new_tokens) if max_new_tokens else []
    return _ModelOutputs(answers, logits)


@torch.inference_mode()
def next_logits(model: Any, plan: Plan, ids: Sequence[int]) -> Tensor:
    """Logits of the next token (V,), of the labels (C,), or of each token's tags (T, C)."""
    batch = {"input_ids": torch.tensor([list(ids)], device=model.device)}
    if plan.run.task == "seq2seq":
        start_id = model.generation_config.decoder_start_token_id
        batch["decoder_input_ids"] = torch.tensor([[start_id]], device=model.device)
    logits_BTV = model(**batch).logits.float().cpu()
    return logits_BTV[0] if plan.run.task in LABELLED else logits_BTV[0, -1]


def _label(logits: Tensor, problem_type: str | None) -> Any:
    if problem_type == "regression":
        return None  # a regression: its logit is all there is to compare
    return (logits > 0).tolist() if problem_type == "multi_label_classification" else logits.argmax(-1).tolist()


def merge(
    model: PeftModel,
    target: Path,
    plan: Plan,
    tokenizer: TextTokenizer,
    inputs: Sequence[Sequence[int]],
    max_new_tokens: int,
    readme: str,
) -> MergeResult:
    """Base and adapter as one model in `target`, published only if it answers like the adapter.

    A quantized base is dequantized first: a sum of quantized weights and an update would be rounded to quantized ones
    again. The merged model is then compared with the adapter on that plain base; how far this is from the quantized
    model is under `quantized`. With `max_new_tokens` 0 a generating model's logits are compared, and no answers. In 16 bits
    answers are compared and counted, and logits alone decide.
    `readme` is the text of its card.
    Raises: ConfigError E115 if the folder is in use; ExportError E603 if the method cannot be merged, E602 if answers or
    logits differ; TrainingError E511 if a sum of base and adapter is not finite.
    Cost: memory of the plain base model; disk of the merged one.
    """
    refuse_to_merge(plan)
    if target.exists() and any(target.iterdir()):
        raise exists_already(target)
    before = _model_outputs(model, plan, tokenizer, inputs, max_new_tokens)
    plain_base: str | None = None
    quantized: dict[str, float] | None = None
    if plan.run.model.quantization != "none":
        as_stored = before
        model = on_plain_base(model, plan)
        before = _model_outputs(model, plan, tokenizer, inputs, max_new_tokens)
        plain_base = f"dequantized from {plan.run.model.quantization}"
        quantized = {"equal": before.equal(as_stored), "max_logit_difference": before.difference(as_stored)}
    merged = merged_model(model, plan)
    after = _model_outputs(merged, plan, tokenizer, inputs, max_new_tokens)
    equal, difference = before.equal(after), before.difference(after)
    precision = plan.run.model.precision
    # In 16 bits the sum is rounded anew, and a word that another nearly equals may change: logits alone decide, as in `verify`.
    is_unlike = precision == "fp32" and equal < len(before.answers)
    if is_unlike or difference > MERGE_TOLERANCE[precision] * max(1.0, before.scale()):
        raise error("E602", equal=equal, total=len(before.answers), difference=f"{difference:.2g}")
    logger.info(
        "merged: %d of %d answers are equal, logits differ by at most %.2g", equal, len(before.answers), difference
    )
    _publish(merged, target, plan, tokenizer, readme)
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    return MergeResult(
        path=str(target),
        bytes=size,
        prompts=len(before.answers),
        equal=equal,
        max_logit_difference=difference,
        base=plain_base,
        quantized=quantized,
    )


def refuse_to_merge(plan: Plan) -> None:
    """Raises: ExportError E603 if the method cannot be merged on any model."""
    method = METHODS[plan.run.method]
    if not method.merges:
        raise error("E603", method=method.title, reason=N_("it learns inputs, and leaves the weights as they are"))


def merged_model(model: PeftModel, plan: Plan) -> PreTrainedModel:
    """Base and adapter as one; the model is consumed.

    Raises: ExportError E603 where PEFT cannot merge it; TrainingError E511 if a sum is not finite.
    """
    try:
        merged: PreTrainedModel = model.merge_and_unload(safe_merge=True)
    except (ValueError, RuntimeError) as fault:  # PEFT's refusals, as of lora_bias where a layer has no bias
        raise error("E603", method=METHODS[plan.run.method].title, reason=str(fault)) from fault
    check_finite(merged.named_parameters())
    return merged


def on_plain_base(model: PeftModel, plan: Plan) -> PeftModel:
    """The adapter on its dequantized base; the model is consumed.

    It goes through a folder: PEFT's layers on quantized layers merge in another way.
    """
    base, dtype = model.get_base_model(), DTYPES[plan.run.model.precision]
    with TemporaryDirectory() as folder, disk_faults(Path(folder)):
        model.save_pretrained(folder, safe_serialization=True, save_embedding_layers=False)
        base.is_loaded_in_8bit = base.is_loaded_in_4bit = False  # with these marks PEFT will not even take (IA)3 off
        return load_adapter(dequantized(model.unload(), dtype), Path(folder))


def _publish(merged: PreTrainedModel, target: Path, plan: Plan, tokenizer: TextTokenizer, readme: str) -> None:
    with atomic_io.staging(target.parent) as staged, disk_faults(staged):
        merged.save_pretrained(staged)
        load_hf_tokenizer(Path(plan.facts.model.tokenizer_folder), tokenizer).save_pretrained(staged)
        (staged / "README.md").write_text(readme, encoding="utf-8")
        atomic_io.publish_folder(staged, target)
