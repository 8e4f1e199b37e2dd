"""A GGUF file as a plain fp32 model folder, once: `python -m tunewright.engine.models.gguf_weights FILE FOLDER`."""

import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

from tunewright.rundir import atomic_io
from tunewright.rundir.checkpoints import seal
from tunewright.security import gate_gguf


def dequantize(source: Path, target: Path) -> None:
    """Write model, tokenizer and configs of `source` into the new folder `target`, which appears whole or not at all.

    A plain `from_pretrained(gguf_file=...)` leaves the model marked as quantized, and it cannot be saved; with
    `dequantize=True` it can. Raises: ModelError E308. Cost: 4 bytes for each parameter, in memory and on disk.
    """
    gate_gguf(source)
    with atomic_io.staging(target.parent) as staged:
        folder, name = str(source.parent), source.name
        tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name, trust_remote_code=False)
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            gguf_file=name,
            quantization_config=GgufConfig(gguf_file=name, dequantize=True),
            dtype=torch.float32,
            trust_remote_code=False,
        )
        model.save_pretrained(staged)
        tokenizer.save_pretrained(staged)
        seal(staged, run_id="", step=0, identity={})
        atomic_io.publish_folder(staged, target)


if __name__ == "__main__":
    dequantize(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
