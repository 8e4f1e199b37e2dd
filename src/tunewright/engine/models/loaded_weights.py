"""The check that all weights of a base come from its files: transformers initializes what is missing, and drops what is surplus."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TypedDict

from transformers import PreTrainedModel

from tunewright.errors import Problem, errors_of
from tunewright.inspection.tensor_names import listed, natural
from tunewright.planning.peft_kwargs import LABELLED
from tunewright.planning.run_plan import Plan
from tunewright.security import TensorEntry

# Poolers belong to tasks on whole texts; a file may have one that is not used, or lack one that is then initialized.
POOLER = re.compile(r"(^|\.)pooler\.")
NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")
# Masks and tables that older versions saved with the weights; models compute them.
COMPUTED = re.compile(
    r"(^|\.)(inv_freq|original_inv_freq|position_ids|token_type_ids|masked_bias|causal_mask|version|embed_positions\.weights)$"
)


class LoadingInfo(TypedDict):
    """transformers' report on loading: tensors of the model, of its files, and of both with the shapes in file and model."""

    missing_keys: Collection[str]
    unexpected_keys: Collection[str]
    mismatched_keys: Collection[tuple[str, Sequence[int], Sequence[int]]]


def check_loaded(model: PreTrainedModel, info: LoadingInfo, plan: Plan, stored: Mapping[str, TensorEntry]) -> None:
    """`stored` are the headers of the files, by tensor name.

    Nothing may be missing, surplus or of another shape, except for heads: that of a classification task may be new or have
    another number of labels, and one of another task may be left in the file. Tensors that transformers knows to be left
    over (its `_keys_to_ignore_on_load_unexpected`), and those that a model computes itself, do not count as weights.
    Raises: ModelError E316, E317, E318, all of them at once.
    """
    fresh = plan.facts.model.fresh_heads.get(plan.run.task, ())
    labels = plan.run.task in LABELLED
    missing = [name for name in info["missing_keys"] if not (labels and _is_head(name, model, fresh))]
    surplus = [name for name in info["unexpected_keys"] if _has_no_place(name, model, stored)]
    misshapen = [
        f"{name} ({_times(here)} / {_times(expected)})"
        for name, here, expected in info["mismatched_keys"]
        if not (labels and _is_head(name, model, fresh))
    ]
    lists = (("E316", missing), ("E317", surplus), ("E318", misshapen))
    folder = plan.facts.model.folder
    problems = [
        Problem(code, values={"folder": folder, "count": len(names), "names": listed(sorted(names, key=natural))})
        for code, names in lists
        if names
    ]
    if problems:
        raise errors_of(problems)


def _is_head(name: str, model: PreTrainedModel, fresh: Collection[str]) -> bool:
    """Outside of the base, or a module that is known to be new with this task."""
    return not _is_inside(name, model) or any(part in fresh for part in name.split("."))


def _is_inside(name: str, model: PreTrainedModel) -> bool:
    """Whether a tensor is of the base: below its prefix, or without one where the file is that of a bare base."""
    children = {child for child, _module in model.named_children()}
    prefix = model.base_model_prefix
    if prefix not in children:
        return name.split(".")[0] in children
    patterns = {NUMBER.sub("*", own) for own, _tensor in model.named_parameters()}
    return name.startswith(f"{prefix}.") or NUMBER.sub("*", f"{prefix}.{name}") in patterns


def _has_no_place(name: str, model: PreTrainedModel, stored: Mapping[str, TensorEntry]) -> bool:
    if not _is_inside(name, model) or POOLER.search(name) or COMPUTED.search(name):
        return False
    entry = stored.get(name) or stored.get(name.removeprefix(f"{model.base_model_prefix}."))
    shape = entry["shape"] if entry else []
    is_mask = name.endswith(".bias") and len(shape) == 4 and shape[:2] == [1, 1]
    return not is_mask and name not in dict(model.named_buffers())


def _times(shape: Iterable[int]) -> str:
    return " x ".join(map(str, shape))
