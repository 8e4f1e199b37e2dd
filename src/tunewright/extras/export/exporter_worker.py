"""A merged classifier or tagger by transformers' own exporters: `python -m tunewright.extras.export.exporter_worker`.

Reads one JSON object from standard input, an `ExporterRequest`, and writes one to standard output: what both models gave for the
rows. What libraries print goes to standard error.
"""

# Shapes: B rows, T tokens, C classes

import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import torch
import transformers
from torch import Tensor
from transformers.exporters import ExportedModel, OnnxConfig, OnnxExporter, OpenVINOConfig, OpenVINOExporter

CLASSES: dict[str, Any] = {
    "AutoModelForSequenceClassification": transformers.AutoModelForSequenceClassification,
    "AutoModelForTokenClassification": transformers.AutoModelForTokenClassification,
}
EXPORTERS: dict[str, Any] = {
    "onnx": lambda model, inputs: OnnxExporter().export(model, inputs, OnnxConfig(dynamic=True)),
    "openvino": lambda model, inputs: OpenVINOExporter().export(model, inputs, OpenVINOConfig(dynamic=True)),
}


class ExporterRequest(TypedDict):
    """What is exported, and the rows that both models are given."""

    model: str
    """A folder, as `target` is."""
    target: str
    format: str
    """onnx or openvino."""
    auto_class: str
    rows: list[list[int]]
    """Ids."""
    second_texts: list[int]
    """Where each row's second text begins; 0 if it has none."""


@dataclass(frozen=True)
class Row:
    """One row's tokens, and where its second text begins; 0 if it has none."""

    ids: list[int]
    second_text: int

    def types(self) -> list[int]:
        return [int(0 < self.second_text <= i) for i in range(len(self.ids))]


def padded(rows: Sequence[Row], config: Any) -> dict[str, Tensor]:
    """A batch (B, T) with its mask; with type ids where the model has several types, as BERT tells a second text by them."""
    longest = max(len(row.ids) for row in rows)

    def filled(values: Iterable[list[int]], fill: int) -> Tensor:
        return torch.tensor([row + [fill] * (longest - len(row)) for row in values])

    batch = {
        "input_ids": filled((row.ids for row in rows), config.pad_token_id or 0),
        "attention_mask": filled(([1] * len(row.ids) for row in rows), 0),
    }
    if config.to_dict().get("type_vocab_size", 0) > 1:
        batch["token_type_ids"] = filled((row.types() for row in rows), 0)
    return batch


def export(request: ExporterRequest) -> dict[str, object]:
    """Export, load the files again, and compare logits and labels with torch, row by row and all rows in one padded batch."""
    auto_class = CLASSES[request["auto_class"]]
    model = auto_class.from_pretrained(
        request["model"], dtype=torch.float32, use_safetensors=True, trust_remote_code=False, local_files_only=True
    ).eval()
    rows = [Row(*row) for row in zip(request["rows"], request["second_texts"], strict=True)]
    target, config = Path(request["target"]), model.config
    with torch.no_grad():
        exported = EXPORTERS[request["format"]](model, padded(rows[:2] * 2, config))
        exported.save_pretrained(target)
        loaded = ExportedModel.from_pretrained(target, local_files_only=True, trust_remote_code=False)
        batches = [padded([row], config) for row in rows] + [padded(rows, config)]
        pairs = [(model(**batch).logits, torch.as_tensor(loaded(**batch).logits), batch) for batch in batches]
    gaps = [_gap(ours, theirs, batch["attention_mask"]) for ours, theirs, batch in pairs]
    equal = [_have_equal_labels(ours, theirs, config.problem_type) for ours, theirs, _batch in pairs[:-1]]
    return {
        "equal": equal, "largest_gap": max(gaps), "mean_gap": sum(gaps) / len(gaps),
        "scale": max(float(ours.abs().max()) for ours, _theirs, _batch in pairs),
    }  # fmt: skip


def _have_equal_labels(ours: Tensor, theirs: Tensor, problem_type: str | None) -> bool:
    """Whether two logits of one row mean the same: one label, several labels, a tag for each token, or a number."""
    if problem_type == "regression":
        return bool(torch.allclose(ours, theirs, rtol=1e-3, atol=1e-3))
    if problem_type == "multi_label_classification":
        return bool(((ours > 0) == (theirs > 0)).all())
    return bool((ours.argmax(-1) == theirs.argmax(-1)).all())


def _gap(ours: Tensor, theirs: Tensor, mask_BT: Tensor) -> float:
    """Largest difference; of tags only at tokens that are there."""
    difference = (ours - theirs).abs()
    return float(difference[mask_BT.bool()].max() if ours.dim() == 3 else difference.max())


if __name__ == "__main__":
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    answer.write(json.dumps(export(json.load(sys.stdin))))
    answer.close()
