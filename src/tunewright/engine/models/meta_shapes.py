"""A model's tensors from its config alone, without weights: `python -m tunewright.engine.models.meta_shapes FOLDER FILE`.

The architecture is built on the meta device, where tensors have names and shapes and no memory. FILE then holds, sealed, name ->
[shape, type], as a checkpoint's header would; tied tensors are in it once.
"""

import sys
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForSeq2SeqLM, PretrainedConfig

from tunewright.rundir import atomic_io
from tunewright.security import seal_object

TYPES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}
CAUSAL_ENDINGS = ("ForCausalLM", "LMHeadModel")


def shapes(config: PretrainedConfig) -> dict[str, tuple[list[int], str]]:
    """Shape and type of each tensor; types are bf16 where the config says nothing."""
    name = (config.architectures or [""])[0]
    if config.is_encoder_decoder:
        auto_class = AutoModelForSeq2SeqLM
    elif name.endswith(CAUSAL_ENDINGS):
        auto_class = AutoModelForCausalLM
    else:
        auto_class = AutoModel
    with torch.device("meta"):
        model = auto_class.from_config(config, trust_remote_code=False)
    stored = TYPES.get(config.dtype, "BF16")
    return {name: (list(parameter.shape), stored) for name, parameter in model.named_parameters()}


if __name__ == "__main__":
    tensor_shapes = shapes(AutoConfig.from_pretrained(sys.argv[1], trust_remote_code=False, local_files_only=True))
    target = Path(sys.argv[2])
    atomic_io.write_cached(target, seal_object(target, {"tensors": tensor_shapes}))
