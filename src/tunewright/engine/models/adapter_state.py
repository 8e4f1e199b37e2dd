"""The trained parameters in a checkpoint, where an adapter's file holds only what was derived from them."""

from pathlib import Path

import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file

from tunewright.engine.models.finite import first_not_finite, trained_tensors
from tunewright.engine.models.load_model import check_places
from tunewright.engine.models.peft_adapter import DERIVED
from tunewright.errors import error
from tunewright.i18n import N_, Phrase

TRAINED = "trained.safetensors"
IMPORTANCE = ("ipt", "exp_avg_ipt", "exp_avg_unc")


def save_trained(model: PeftModel, folder: Path, method: str) -> None:
    """Write the trained tensors of a method whose adapter file is not enough to resume from."""
    if method not in DERIVED:
        return
    tensors = {f"parameter/{n}": p.detach().cpu().contiguous() for n, p in trained_tensors(model)}
    if method == "adalora":
        tensors |= _allocator_tensors(model)
    save_file(tensors, folder / TRAINED)


def restore_trained(model: PeftModel, folder: Path) -> bool:
    """Restore such tensors, all or an error; False if the folder has none. Raises: ModelError E310."""
    path = folder / TRAINED
    if not path.is_file():
        return False
    stored = load_file(path)
    trained = {f"parameter/{name}": p for name, p in model.named_parameters() if p.requires_grad}
    check_places(trained, {name: tensor for name, tensor in stored.items() if name.startswith("parameter/")})
    if broken := first_not_finite(stored.items()):
        raise error("E310", reason=Phrase(N_("{name} holds NaN or infinity"), name=broken))
    with torch.no_grad():
        for name, parameter in trained.items():
            parameter.copy_(stored[name])
    if model.active_peft_config.peft_type == "ADALORA":
        _restore_allocator(model, stored)
    return True


def _allocator_tensors(model: PeftModel) -> dict[str, torch.Tensor]:
    """AdaLoRA's running importance of each weight, and which ranks of each layer are in use."""
    allocator, pattern = model.base_model.rankallocator, model.active_peft_config.rank_pattern or {}
    tensors = {f"ranks/{name}": torch.tensor(rank_mask) for name, rank_mask in pattern.items()}
    for kind in IMPORTANCE:
        tensors |= {
            f"{kind}/{name}": tensor.detach().cpu().contiguous() for name, tensor in vars(allocator)[kind].items()
        }
    return tensors


def _restore_allocator(model: PeftModel, stored: dict[str, torch.Tensor]) -> None:
    def part(kind: str) -> dict[str, torch.Tensor]:
        return {name.partition("/")[2]: tensor for name, tensor in stored.items() if name.startswith(f"{kind}/")}

    allocator = model.base_model.rankallocator
    for kind in IMPORTANCE:
        vars(allocator)[kind].update({name: tensor.to(model.device) for name, tensor in part(kind).items()})
    ranks = {name: rank_mask.tolist() for name, rank_mask in part("ranks").items()}
    model.active_peft_config.rank_pattern = ranks or None
