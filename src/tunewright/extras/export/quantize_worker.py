"""A GGUF file in another type, by llama.cpp's quantizer: `python -m tunewright.extras.export.quantize_worker FROM TO TYPE`."""

import os
import sys

from cyllama.llama.llama_cpp import LlamaModelQuantizeParams, model_quantize

# llama.h's enum llama_ftype; held against what the file says of itself by tests/deploy/test_quants.py.
FILE_TYPES = {
    "q4_0": 2, "q4_1": 3, "q5_0": 8, "q5_1": 9, "q2_k": 10, "q3_k_m": 12, "q4_k_s": 14, "q4_k_m": 15, "q5_k_s": 16,
    "q5_k_m": 17, "q6_k": 18,
}  # fmt: skip


def quantize(source: str, target: str, quant: str) -> None:
    """Write the file; matrices whose rows the type cannot hold become a larger one, as llama.cpp decides."""
    params = LlamaModelQuantizeParams()
    params.ftype = FILE_TYPES[quant]
    params.nthread = len(os.sched_getaffinity(0))
    model_quantize(source, target, params)


if __name__ == "__main__":
    quantize(*sys.argv[1:4])
