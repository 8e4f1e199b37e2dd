"""A classifier without torch: `python benchmarks/deploy/labels.py RUN [--rounds 5] [--rows 200]`

The run exported by the command that people use, to ONNX and to OpenVINO (the extras `onnx` and `openvino`), and its held-out
texts one by one through each, and through torch with the merged model: rows per second, the largest gap of logits, and the
seconds and bytes of the export. Results go to labels.json.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import openvino
import torch
from serve import measured_on
from tokenizers import Encoding, Tokenizer
from transformers import AutoModelForSequenceClassification

from tunewright import api
from tunewright.rundir import atomic_io

RESULTS = Path(__file__).parent / "labels.json"
Labels = Callable[[Encoding], np.ndarray]


def inputs_of(text: Encoding) -> dict[str, np.ndarray]:
    values = {"input_ids": text.ids, "attention_mask": text.attention_mask, "token_type_ids": text.type_ids}
    return {name: np.array([row]) for name, row in values.items()}


def by_torch(folder: Path) -> Labels:
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()

    def logits(text: Encoding) -> np.ndarray:
        with torch.inference_mode():
            return model(**{name: torch.from_numpy(row) for name, row in inputs_of(text).items()}).logits.numpy()

    return logits


def by_onnx(folder: Path) -> Labels:
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]
    return lambda text: session.run(["logits"], {name: inputs_of(text)[name] for name in names})[0]


def by_openvino(folder: Path) -> Labels:
    (file,) = folder.glob("*.xml")
    model = openvino.Core().compile_model(file, "CPU")
    names = [entry.any_name for entry in model.inputs]
    return lambda text: model({name: inputs_of(text)[name] for name in names})[0]


def rows_per_second(labels: Labels, texts: Sequence[Encoding]) -> float:
    started = time.perf_counter()
    for text in texts:
        labels(text)
    return len(texts) / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=200)
    asked = parser.parse_args()
    run = api.open_run(asked.run)
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        run.merge(root / "torch")
        exports = {to: run.export(root / to, to=to) for to in ("onnx", "openvino")}
        run.close()
        tokenizer = Tokenizer.from_file(str(root / "torch/tokenizer.json"))
        tokenizer.no_padding()
        samples = run.dir.samples("after")
        texts = [tokenizer.encode(samples[i % len(samples)].prompt) for i in range(asked.rows)]
        loaders = {"torch": by_torch, "onnx": by_onnx, "openvino": by_openvino}
        models = {name: load(root / name) for name, load in loaders.items()}
        expected = [models["torch"](text) for text in texts]
        speeds: dict[str, list[float]] = {name: [] for name in models}
        for number in range(asked.rounds):
            for name in models if number % 2 else reversed(models):
                speeds[name].append(rows_per_second(models[name], texts))
        results = {name: {"rows_per_second": round(statistics.median(each), 1)} for name, each in speeds.items()}
        for name, export in exports.items():
            theirs = [models[name](text) for text in texts]
            pairs = list(zip(expected, theirs, strict=True))
            results[name] |= {
                "largest_gap": float(max(np.abs(a - b).max() for a, b in pairs)),
                "same_labels": sum(int(a.argmax() == b.argmax()) for a, b in pairs),
                "seconds": round(export.seconds, 1),
                "bytes": export.to_json()["bytes"],
            }
    stored = {**measured_on(), "run": run.name, "rows": asked.rows, "rounds": asked.rounds, "results": results}
    atomic_io.write_json(RESULTS, stored)
    print(json.dumps(stored, indent=1))


if __name__ == "__main__":
    main()
