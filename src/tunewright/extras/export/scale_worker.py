"""An adapter with another alpha and rescaled B, as a new folder: `python -m tunewright.extras.export.scale_worker`.

Reads one JSON object from standard input: `adapter` and `target` (folders), `alpha`, and `factors` (tensor -> number).
"""

import json
import sys
from pathlib import Path

from safetensors.torch import load_file, save_file

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def rescale(adapter: Path, target: Path, alpha: float, factors: dict[str, float]) -> None:
    """Write config and weights; B in fp32 where it is rescaled, as a factor of sqrt(2) is not exact in half precision."""
    tensors = load_file(adapter / WEIGHTS)
    tensors |= {name: tensors[name].float() * factor for name, factor in factors.items()}
    config = json.loads((adapter / CONFIG).read_text(encoding="utf-8"))
    config |= {"lora_alpha": alpha, "use_rslora": False, "alpha_pattern": {}}
    target.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, target / WEIGHTS)
    (target / CONFIG).write_text(json.dumps(config), encoding="utf-8")


if __name__ == "__main__":
    request = json.load(sys.stdin)
    rescale(Path(request["adapter"]), Path(request["target"]), request["alpha"], request["factors"])
    print("{}")
