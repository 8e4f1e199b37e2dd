"""A merged classifier or tagger by transformers' own exporters: `python -m tunewright.extras.export.exporter_worker`.

Reads one JSON object from standard input: `model` and `target` (folders), `format` (onnx, openvino), `auto_class`, and `rows`
(lists of ids). Writes one to standard output: what both models gave for the rows. What libraries print goes to standard error.
"""

# Shapes: B rows, T tokens, C classes

import json
import os
import sys
from pathlib import Path
from typing import Any

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


def padded(rows: list[list[int]], pad_id: int) -> dict[str, Tensor]:
    """A batch (B, T) with its mask."""
    longest = max(map(len, rows))
    ids_BT = torch.tensor([row + [pad_id] * (longest - len(row)) for row in rows])
    mask_BT = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    return {"input_ids": ids_BT, "attention_mask": mask_BT}


def export(request: dict[str, Any]) -> dict[str, object]:
    """Export, load the files again, and compare logits and labels with torch, row by row and all rows in one padded batch."""
    auto_class = CLASSES[request["auto_class"]]
    model = auto_class.from_pretrained(
        request["model"], dtype=torch.float32, use_safetensors=True, trust_remote_code=False, local_files_only=True
    ).eval()
    rows, target = request["rows"], Path(request["target"])
    pad_id = model.config.pad_token_id or 0
    with torch.no_grad():
        exported = EXPORTERS[request["format"]](model, padded(rows[:2] * 2, pad_id))
        exported.save_pretrained(target)
        loaded = ExportedModel.from_pretrained(target, local_files_only=True, trust_remote_code=False)
        batches = [padded([row], pad_id) for row in rows] + [padded(rows, pad_id)]
        pairs = [(model(**batch).logits, torch.as_tensor(loaded(**batch).logits), batch) for batch in batches]
    gaps = [_gap(ours, theirs, batch["attention_mask"]) for ours, theirs, batch in pairs]
    equal = [bool((ours.argmax(-1) == theirs.argmax(-1)).all()) for ours, theirs, _batch in pairs[:-1]]
    return {
        "equal": equal, "largest_gap": max(gaps), "mean_gap": sum(gaps) / len(gaps),
        "scale": max(float(ours.abs().max()) for ours, _theirs, _batch in pairs),
    }  # fmt: skip


def _gap(ours: Tensor, theirs: Tensor, mask_BT: Tensor) -> float:
    """Largest difference; of tags only at tokens that are there."""
    difference = (ours - theirs).abs()
    return float(difference[mask_BT.bool()].max() if ours.dim() == 3 else difference.max())


if __name__ == "__main__":
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    answer.write(json.dumps(export(json.load(sys.stdin))))
    answer.close()
