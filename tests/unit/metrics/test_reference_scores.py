"""Our scores on recorded random inputs, beside what seqeval, scikit-learn, rouge-score and sacrebleu gave for them.

benchmarks/metrics/run.py compares thousands and writes these; the packages are not needed here.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tunewright.metrics import scoring

RECORDED = json.loads(Path(__file__).with_name("reference_scores.json").read_text(encoding="utf-8"))
OURS: Mapping[str, Callable[..., Mapping[str, float]]] = {
    "tags": scoring.tag_scores,
    "one label": scoring.classification_scores,
    "several labels": scoring.multi_label_scores,
    "numbers": scoring.regression_scores,
    "English texts": scoring.text_scores,
    "Chinese texts": scoring.text_scores,
}


@pytest.mark.parametrize("case", RECORDED["cases"], ids=lambda case: f"{case['package']} {case['kind']}")
def test_a_score_is_what_its_reference_says(case: dict[str, Any]) -> None:
    scores = OURS[case["kind"]](*case["inputs"])
    assert {name: scores[name] for name in case["scores"]} == pytest.approx(case["scores"], abs=1e-9)


def test_every_score_with_a_reference_was_recorded() -> None:
    recorded = {(case["package"], name) for case in RECORDED["cases"] for name in case["scores"]}
    assert {package for package, _name in recorded} == {"seqeval", "scikit-learn", "rouge-score", "sacrebleu"}
    assert {name for _package, name in recorded} == {
        "accuracy", "entity_f1", "entity_precision", "entity_recall", "macro_f1", "micro_f1", "mae", "rmse", "pearson",
        "rouge1", "rouge2", "rougeL", "bleu",
    }  # fmt: skip
