"""An oracle for the plan's memory: the real architecture, by the packed way, traced on the meta device with 1 and 2 layers.

The peak grows evenly with the layers, so peak(L) = p1 + (L - 1) (p2 - p1). What MemTracker (a private module of torch) needs
to take a frozen model: a stand-in for the gradient hooks of frozen parameters, and two iterations.
"""

import torch
from peft import LoraConfig, get_peft_model
from torch.distributed._tools.mem_tracker import MemTracker
from transformers import AutoModelForCausalLM, LlamaConfig

from tunewright.kernels.cross_entropy import chunked_cross_entropy
from tunewright.kernels.document_attention import NAME

META = torch.device("meta")


class _NoHook:
    def remove(self) -> None:
        """Nothing was registered on a frozen parameter."""


def traced_peak(config: LlamaConfig, lora: LoraConfig, *, rows: int, tokens: int, checkpointing: bool = False) -> float:
    """Bytes at the peak of a training step of `rows` packed rows with Adam, in fp32, without the process around it."""
    one_layer, two_layers = (
        _peak(config, lora, layers, rows, tokens, checkpointing=checkpointing) for layers in (1, 2)
    )
    return one_layer + (config.num_hidden_layers - 1) * (two_layers - one_layer)


def _peak(config: LlamaConfig, lora: LoraConfig, layers: int, rows: int, tokens: int, *, checkpointing: bool) -> float:
    short_config = LlamaConfig(**{**config.to_dict(), "num_hidden_layers": layers, "use_cache": False})
    with META:
        base = AutoModelForCausalLM.from_config(short_config, attn_implementation=NAME, dtype=torch.float32)
        model = get_peft_model(base, lora, low_cpu_mem_usage=True).to(META).train()
    if checkpointing:
        base.activation_checkpointing_enable({"use_reentrant": False})
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, foreach=False)
    tracker = MemTracker()
    for parameter in model.parameters():
        if not parameter.requires_grad:
            tracker._param_to_grad_hook_handles[parameter] = (_NoHook(), _NoHook())
    tracker.track_external(model, optimizer)
    num_tokens = rows * tokens
    arguments = {
        "input_ids": torch.zeros((1, num_tokens), dtype=torch.long, device=META),
        "position_ids": torch.zeros((1, num_tokens), dtype=torch.long, device=META),
        # Without one transformers looks into the positions for packed rows, which have no numbers here.
        "attention_mask": torch.ones((1, 1, num_tokens, num_tokens), dtype=torch.bool, device=META),
        "spans": torch.tensor([(i * tokens, (i + 1) * tokens, 0, 0) for i in range(rows)]),
    }
    labels = torch.zeros(num_tokens, dtype=torch.long, device=META)
    with tracker:
        for _number in range(2):
            hidden = base.model(**arguments, use_cache=False).last_hidden_state[0]
            chunked_cross_entropy(hidden, base.lm_head.weight, labels).backward()
            optimizer.step()
            optimizer.zero_grad()
            tracker.reset_mod_stats()
    return float(tracker.get_tracker_snapshot("peak")[META]["Total"])
