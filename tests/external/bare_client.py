"""Loads an adapter and a merged model as anyone would who has PEFT and transformers, and nothing of ours.

`python bare_client.py ASKED.json LOGITS.safetensors`; run by `bare.py` where tunewright cannot be imported.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from peft import AutoPeftModelForCausalLM, PeftModel
from safetensors.torch import save_file
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer


@torch.no_grad()
def logits(model: nn.Module, prompts: Sequence[Sequence[int]]) -> list[torch.Tensor]:
    """The logits at every position of each prompt, one prompt at a time."""
    return [model.eval()(input_ids=torch.tensor([list(ids)])).logits[0] for ids in prompts]


def main(request_path: Path, answer: Path) -> None:
    torch.set_num_threads(1)
    request = json.loads(request_path.read_text())
    adapter, merged = request["adapter"], request["merged"]

    def base() -> nn.Module:
        return AutoModelForCausalLM.from_pretrained(request["base"], dtype=torch.float32)

    def load_adapter() -> nn.Module:
        model = base()
        model.load_adapter(adapter)
        return model

    ways = {
        "PeftModel.from_pretrained": lambda: PeftModel.from_pretrained(base(), adapter),
        "AutoPeftModelForCausalLM": lambda: AutoPeftModelForCausalLM.from_pretrained(adapter, dtype=torch.float32),
        "model.load_adapter": load_adapter,
        "merge_and_unload": lambda: PeftModel.from_pretrained(base(), adapter).merge_and_unload(),
        "merged folder": lambda: AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32),
    }
    tokenizer = AutoTokenizer.from_pretrained(adapter)
    prompts = [tokenizer.apply_chat_template(t, add_generation_prompt=True)["input_ids"] for t in request["turns"]]
    tensors = {f"{way}/{i}": tensor for way, load in ways.items() for i, tensor in enumerate(logits(load(), prompts))}
    assert not any(name.partition(".")[0] == "tunewright" for name in sys.modules)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, answer)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
