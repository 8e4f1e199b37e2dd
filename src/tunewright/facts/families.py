"""Families of models: which layer names play which role. The only place where layer names stand.

PEFT's own table (`peft/utils/constants.py`) is the oracle for q and v; a family outside the table is read from the
names in the checkpoint.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tunewright.spec.presets import Role


@dataclass(frozen=True)
class Family:
    """Names by role; one name may play several roles where projections are fused."""

    roles: Mapping[Role, str]


LLAMA: Mapping[Role, str] = {
    "q": "q_proj", "k": "k_proj", "v": "v_proj", "o": "o_proj", "gate": "gate_proj", "up": "up_proj", "down": "down_proj",
}  # fmt: skip
FUSED: Mapping[Role, str] = {
    "q": "query_key_value", "k": "query_key_value", "v": "query_key_value",
    "o": "dense", "up": "dense_h_to_4h", "down": "dense_4h_to_h",
}  # fmt: skip
GPT2: Mapping[Role, str] = {"q": "c_attn", "k": "c_attn", "v": "c_attn", "o": "c_proj", "up": "c_fc", "down": "c_proj"}
PHI3: Mapping[Role, str] = {
    "q": "qkv_proj", "k": "qkv_proj", "v": "qkv_proj", "o": "o_proj",
    "gate": "gate_up_proj", "up": "gate_up_proj", "down": "down_proj",
}  # fmt: skip
QWEN1: Mapping[Role, str] = {
    "q": "c_attn", "k": "c_attn", "v": "c_attn", "o": "c_proj", "gate": "w2", "up": "w1", "down": "c_proj",
}  # fmt: skip
OPT: Mapping[Role, str] = {"q": "q_proj", "k": "k_proj", "v": "v_proj", "o": "out_proj", "up": "fc1", "down": "fc2"}
PHI: Mapping[Role, str] = {"q": "q_proj", "k": "k_proj", "v": "v_proj", "o": "dense", "up": "fc1", "down": "fc2"}
GPTJ: Mapping[Role, str] = {
    "q": "q_proj",
    "k": "k_proj",
    "v": "v_proj",
    "o": "out_proj",
    "up": "fc_in",
    "down": "fc_out",
}
INTERNLM2: Mapping[Role, str] = {
    "q": "wqkv", "k": "wqkv", "v": "wqkv", "o": "wo", "gate": "w1", "up": "w3", "down": "w2",
}  # fmt: skip
BAICHUAN: Mapping[Role, str] = {**LLAMA, "q": "W_pack", "k": "W_pack", "v": "W_pack"}

LLAMA_LIKE = (
    "llama", "mistral", "mixtral", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "gemma", "gemma2", "gemma3_text",
    "granite", "cohere", "cohere2", "olmo", "olmo2", "smollm3", "stablelm", "exaone4",
)  # fmt: skip

FAMILIES: Mapping[str, Family] = {
    **{name: Family(LLAMA) for name in LLAMA_LIKE},
    "starcoder2": Family({**LLAMA, "up": "c_fc", "down": "c_proj"}),
    "gpt2": Family(GPT2),
    "gpt_neox": Family(FUSED),
    "bloom": Family(FUSED),
    "falcon": Family(FUSED),
    "opt": Family(OPT),
    "phi": Family(PHI),
    "phi3": Family(PHI3),
    "gptj": Family(GPTJ),
    "glm": Family({**PHI3, "q": "q_proj", "k": "k_proj", "v": "v_proj"}),
    "qwen": Family(QWEN1),
    "internlm2": Family(INTERNLM2),
    "baichuan": Family(BAICHUAN),
}

GUESSES: Mapping[Role, str] = {
    "q": r"q_proj|query|wq|q|qkv_proj|query_key_value|c_attn|Wqkv|wqkv|in_proj",
    "k": r"k_proj|key|wk|k|qkv_proj|query_key_value|c_attn|Wqkv|wqkv|in_proj",
    "v": r"v_proj|value|wv|v|qkv_proj|query_key_value|c_attn|Wqkv|wqkv|in_proj",
    "o": r"o_proj|out_proj|dense|wo|o|c_proj",
    "gate": r"gate_proj|gate_up_proj|w1|wi_0",
    "up": r"up_proj|gate_up_proj|fc1|fc_in|w3|wi_1|wi|c_fc|dense_h_to_4h",
    "down": r"down_proj|fc2|fc_out|w2|dense_4h_to_h",
}


def roles_of(model_type: str, names: Iterable[str]) -> tuple[dict[Role, str], bool]:
    """Role to layer name, for the names this model really has; and whether the family stands in the table."""
    present = set(names)
    family = FAMILIES.get(model_type)
    if family and set(family.roles.values()) <= present:
        return dict(family.roles), True
    guessed = {
        role: name for role, pattern in GUESSES.items() for name in sorted(present) if re.fullmatch(pattern, name)
    }
    return guessed, False
