"""The base model's evaluation, kept by content: a second run on the same rows reads what the first one computed.

The key holds everything that could change a digit of it, also the versions of the libraries, the processor and the number
of threads. What is read is what was computed then, to the last bit; anything else is computed anew.
"""

import hashlib
import logging
import math
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ValidationError

from tunewright.config.stored_record import Stamp, StoredRecord
from tunewright.data.tokenized import tokenized_cache
from tunewright.engine.evaluation.evaluator import EvaluationResult, Evaluator
from tunewright.engine.system.device import is_on_cpu, name
from tunewright.inspection.machine_info import processor, versions
from tunewright.metrics.evaluated_rows import ExampleLoss, Sample
from tunewright.planning.run_plan import Plan
from tunewright.rundir import atomic_io, file_names
from tunewright.rundir.run_dir import RunDir
from tunewright.security import home, narrow, seal_object, unseal_object

logger = logging.getLogger(__name__)

# Fields of LoRA that say what stands beside the base; any other may be one that changes it, as layer_replication does.
BESIDE_THE_BASE = {"r", "lora_alpha", "lora_dropout", "target_modules", "init_lora_weights", "use_rslora", "use_dora"}
LIBRARY_SETTINGS = ("MKL_", "ONEDNN_", "DNNL_", "ATEN_", "TORCH_")
FORMAT = 2  # one more whenever the same model and rows give other figures


class BaseEvaluation(StoredRecord):
    """What the cache holds of one evaluation, and when it was computed."""

    key: str
    computed: Stamp
    scores: dict[str, float]
    samples: list[Sample]
    losses: list[ExampleLoss]

    def result(self) -> EvaluationResult:
        """As it came from the evaluator."""
        return EvaluationResult(dict(self.scores), list(self.samples), list(self.losses))


@dataclass(frozen=True)
class BaseScores:
    """The place of one run's base evaluation in the cache."""

    path: Path
    run: RunDir

    def read(self) -> BaseEvaluation | None:
        """The evaluation with this key; None if there is none that holds. It becomes as private as the run's rows are now."""
        try:
            stored = BaseEvaluation.model_validate(unseal_object(self.path) or {})
        except ValidationError:
            return None
        if stored.key != self.path.stem:
            return None
        with suppress(OSError):  # the same rows may have been public when they were evaluated
            narrow([self.path], [self.run.file(file_names.RUN_JSON)])
        logger.info("the base model was evaluated before: %s", self.path.name)
        return stored

    def write(self, result: EvaluationResult) -> None:
        """Keep an evaluation for the next run; left out where a score is no number, or the cache cannot be written."""
        if not all(map(math.isfinite, result.scores.values())):
            return
        evaluation = BaseEvaluation(
            key=self.path.stem,
            computed=round(time.time(), 3),
            scores=result.scores,
            samples=result.samples,
            losses=result.losses,
        )
        try:
            with self.run.private():
                atomic_io.write_cached(self.path, seal_object(self.path, evaluation.to_stored()))
        except OSError as fault:
            logger.warning("the base model's scores are not kept for the next run: %s", fault)


def base_scores(
    plan: Plan, run: RunDir, rows_key: str, paths: tuple[str, ...], evaluator: Evaluator
) -> BaseScores | None:
    """Where the evaluation of a plan's base is kept; `rows_key` is that of the encoded rows, `paths` are those of the loss.

    None where the base's weights are not known by their content.
    """
    model, settings = plan.facts.model, plan.run
    if not model.contents.weights:
        return None
    facts = {
        "format": FORMAT,
        "versions": versions(),
        "processor": processor(),
        "device": torch.backends.cpu.get_cpu_capability() if is_on_cpu() else name(),
        "environment": {name: text for name, text in os.environ.items() if name.startswith(LIBRARY_SETTINGS)},
        "threads": torch.get_num_threads(),
        "matmul": torch.backends.mkldnn.matmul.fp32_precision,
        "model": [model.digest, model.contents.model_dump(), settings.model.model_dump(mode="json")],
        "task": [settings.task, list(evaluator.labels), evaluator.problem_type],
        # Heads and other parts that the base lacks start from the seed.
        "seed": None if settings.task == "causal_lm" else settings.train.seed,
        "adapter": [settings.method, settings.peft.model_dump(mode="json", exclude=BESIDE_THE_BASE)],
        "rows": [rows_key, hashlib.sha256(tokenized_cache.dump(evaluator.rows)).hexdigest()],
        "answers": [evaluator.num_answers, evaluator.max_new_tokens, evaluator.merge],
        "batches": [evaluator.collator.max_tokens, evaluator.collator.same_length, evaluator.backoff.halvings],
        "paths": [list(paths), list(plan.fast_paths)],
    }
    return BaseScores(home() / "base_scores" / f"{tokenized_cache.key_of(facts)}.json", run)
