"""What an adapter holds that an engine beside PEFT does not compute: found in its config and the names of its tensors.

Read in llama.cpp's convert_lora_to_gguf.py (build b10605) and in vLLM 0.32's lora/peft_helper.py.
"""

from collections.abc import Iterator

from tunewright.config.methods import METHODS
from tunewright.extras.export.effective_alpha import LoraConfig, layer_of
from tunewright.extras.export.formats import ExportFormat
from tunewright.i18n import N_, Phrase, counted
from tunewright.inspection.model_info import ModelInfo
from tunewright.inspection.weight_shards import Headers
from tunewright.planning.run_plan import Plan

VLLM_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""vLLM's choices for --max-lora-rank."""
# Starts of LoRA that change the base's weights: the saved adapter is a difference to a base that only exists in that run.
# PiSSA's and OLoRA's are converted when a run saves its adapter (engine/export/save_model.py), and their config says so.
_CHANGED_BASE = ("pissa", "olora", "loftq", "corda", "lora_ga")


def adapter_limits(row: ExportFormat, plan: Plan, config: LoraConfig, tensors: Headers) -> Iterator[str]:
    """Each reason why this format cannot hold the adapter; `tensors` is the header of its weights."""
    method = METHODS[plan.run.method]
    if method.is_prompt_learning:
        yield Phrase(N_("{method} learns inputs, and no engine but PEFT puts them in front"), method=method.title)
        return
    if plan.run.method != "lora":
        yield Phrase(N_("the engine computes LoRA alone, and this is {method}"), method=method.title)
        return
    yield from _beyond_lora(config, tensors)
    model = plan.facts.model
    if row.is_gguf:
        yield from llama_cpp_limits(model, tensors)
    else:
        yield from vllm_limits(config, tensors)


def _beyond_lora(config: LoraConfig, tensors: Headers) -> Iterator[str]:
    start = str(config.get("init_lora_weights")).lower()
    if start.startswith(_CHANGED_BASE):
        yield Phrase(N_("its start ({start}) changed the base's weights"), start=start)
    parts = list(_other_parts(config))
    yield from parts
    others = sorted(name for name in tensors if not layer_of(name))
    if others and not parts:
        number = counted(N_("{count} tensor"), N_("{count} tensors"), len(others))
        yield Phrase(N_("{number} are no factors of LoRA, as {name}"), number=number, name=others[0])


def _other_parts(config: LoraConfig) -> Iterator[str]:
    """What the config says is in the file beside the factors."""
    if config.get("use_dora"):
        yield N_("DoRA scales whole columns of the weights by their norm")
    if config.get("bias", "none") != "none" or config.get("lora_bias"):
        yield N_("it trained biases")
    if saved := config.get("modules_to_save"):
        yield Phrase(N_("it holds whole layers (modules_to_save: {names})"), names=", ".join(saved))
    if config.get("trainable_token_indices"):
        yield N_("it trained the vectors of single tokens (trainable_token_indices)")
    if config.get("target_parameters"):
        yield N_("it changes parameters of experts (target_parameters)")


def llama_cpp_limits(model: ModelInfo, tensors: Headers) -> Iterator[str]:
    """Reasons of llama.cpp's converter and engine, for factors of LoRA."""
    layers = {layer_of(name) for name in tensors}
    vocabulary = {path for group in model.vocabulary for path in group.paths}
    ends = {path.rpartition(".")[2] for path in vocabulary} | {"lm_head", "embed_tokens", "wte"}
    if model.tie_word_embeddings and (tied := sorted(x for x in layers if x.rpartition(".")[2] in ends)):
        # llama.cpp #9065: with tied embeddings the file has one tensor for both, and the head's update finds no place.
        yield Phrase(N_("it changes {name}, which is tied to another matrix here (llama.cpp #9065)"), name=tied[0])
    if model.is_conv1d:
        # The converter turns Conv1D weights over, and PEFT's factors of them are not turned (GPT2Model.modify_tensors).
        yield Phrase(N_("the converter turns the factors of {type}'s layers over"), type=model.model_type)


def vllm_limits(config: LoraConfig, tensors: Headers) -> Iterator[str]:
    """Reasons of vLLM, for factors of LoRA."""
    rank = highest_rank(config, tensors)
    if rank > VLLM_RANKS[-1]:
        yield Phrase(N_("its rank {rank} is above {most}"), rank=rank, most=VLLM_RANKS[-1])


def highest_rank(config: LoraConfig, tensors: Headers) -> int:
    """The highest rank of any layer, from the tensors."""
    ranks = [entry["shape"][0] for name, entry in tensors.items() if name.endswith(".lora_A.weight")]
    return max(ranks, default=int(config.get("r") or 0))


def max_lora_rank(rank: int) -> int:
    """vLLM's value for adapters of this rank: the next one up. Above the highest: that one."""
    return next((choice for choice in VLLM_RANKS if choice >= rank), VLLM_RANKS[-1])
