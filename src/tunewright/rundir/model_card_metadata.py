"""The metadata block of the model card, in the form that Hubs read: base, licence, and the scores as `model-index`."""

from collections.abc import Mapping
from pathlib import Path

from huggingface_hub import EvalResult, ModelCardData

from tunewright.config.tasks import TASKS
from tunewright.data.files.readers import hub_name, is_hub_id
from tunewright.inspection.builtin_models import BUNDLED
from tunewright.planning.run_plan import Plan
from tunewright.security import printable

CardScores = Mapping[str, Mapping[str, float | None]]  # "before" and "after" -> metric -> value
HELD_OUT = "held-out"
# Our scores by the Hub's names (https://hf.co/metrics), and what people call them.
HUB_METRICS: Mapping[str, tuple[str, str]] = {
    "exact_match": ("exact_match", "Exact match"),
    "entity_f1": ("f1", "Entity F1"),
    "accuracy": ("accuracy", "Accuracy"),
    "entity_precision": ("precision", "Entity precision"),
    "entity_recall": ("recall", "Entity recall"),
    "micro_f1": ("f1", "Micro F1"),
    "macro_f1": ("f1", "Macro F1"),
    "rmse": ("rmse", "RMSE"),
    "mae": ("mae", "MAE"),
    "pearson": ("pearsonr", "Pearson correlation"),
    "field_f1": ("f1", "F1 of JSON fields"),
    "valid": ("valid_json", "Valid JSON objects"),
    "rougeL": ("rouge", "ROUGE-L"),
    "rouge1": ("rouge", "ROUGE-1"),
    "rouge2": ("rouge", "ROUGE-2"),
    "bleu": ("bleu", "BLEU (0 to 1)"),
    "held_out_loss": ("loss", "Loss"),
    "perplexity": ("perplexity", "Perplexity"),
}


def card_data(plan: Plan, name: str, scores: CardScores, base: str, *, is_merged: bool) -> ModelCardData:
    """What a Hub shows and searches; each score is the tuned model's and named with the base's. `base` is what is shown."""
    results = _results(plan, scores)
    on_hub = [hub_name(path) for path in plan.run.data.paths if is_hub_id(path)]
    return ModelCardData(
        base_model=base,
        base_model_relation="finetune" if is_merged else "adapter",
        library_name="transformers" if is_merged else "peft",
        **plan.facts.model.license,
        pipeline_tag=TASKS[plan.run.task].pipeline_tag,
        tags=[plan.run.method, "tunewright", *(["merged"] if is_merged else [])],
        datasets=on_hub or None,
        model_name=one_line(name) if results else None,
        eval_results=results or None,
    )


def base_model(plan: Plan) -> str:
    """What the Hub knows the base by; a folder's own path where it was a folder."""
    name = plan.facts.model.name
    return BUNDLED[name].repository if name in BUNDLED else name


def data_name(plan: Plan) -> str:
    """The Hub's names of the data, or those of the files."""
    return ", ".join(map(source_name, plan.run.data.paths))


def source_name(path: str) -> str:
    """The Hub's name of a data set, or that of a file."""
    return hub_name(path) if is_hub_id(path) else Path(path).name


def one_line(text: str) -> str:
    """Foreign text with nothing in it that a terminal or a parser of lines obeys."""
    return printable(" ".join(text.split()))


def _results(plan: Plan, scores: CardScores) -> list[EvalResult]:
    """The tuned model's scores; the dataset's revision is the fingerprint of the rows, so that others can be distinguished."""
    if "after" not in scores:
        return []
    data = one_line(data_name(plan))
    task, before = TASKS[plan.run.task], scores.get("before", {})
    return [
        EvalResult(
            task_type=task.pipeline_tag,
            dataset_type=data,
            dataset_name=data,
            dataset_split=HELD_OUT,
            dataset_revision=plan.facts.data.fingerprint,
            metric_type=HUB_METRICS[metric][0],
            metric_name=_named(metric, before),
            metric_value=float(f"{value:.6g}"),
        )
        for metric, value in scores["after"].items()
        if value is not None
    ]


def _named(metric: str, before: Mapping[str, float | None]) -> str:
    """A metric's name with the base's value: `model-index` has no place for another model's score."""
    name, value = HUB_METRICS[metric][1], before.get(metric)
    return name if value is None else f"{name} (base model: {value:.4g})"
