"""Families of models: which layer names play which role. The only place with layer names.

A name is the end of a module's path, as PEFT matches it: `attention.output.dense`. PEFT's own table
(`peft/utils/constants.py`) is the oracle for q, v and (IA)3; a family outside the table is read from the names in the
checkpoint.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tunewright.config.preset_table import Role
from tunewright.config.tasks import Task

if TYPE_CHECKING:
    from tunewright.inspection.model_info import ModelInfo

Names = tuple[str, ...]
Roles = Mapping[Role, Names]


def _roles(q: str, k: str, v: str, o: str, gate: str = "", up: str = "", down: str = "") -> Roles:
    """Names by role, several divided by blanks; fused projections play several roles."""
    modules: dict[Role, str] = {"q": q, "k": k, "v": v, "o": o, "gate": gate, "up": up, "down": down}
    return {role: tuple(names.split()) for role, names in modules.items() if names}


def _fused(qkv: str, o: str, gate: str = "", up: str = "", down: str = "") -> Roles:
    return _roles(qkv, qkv, qkv, o, gate, up, down)


@dataclass(frozen=True)
class Architecture:
    """One row of the table. Names that a model does not have are passed over, so that one row can serve variants.

    `base`: where transformers puts the layers; checkpoints without a head lack it in front of their names.
    `experts`: parameters that hold all experts of a block at once, which LoRA reaches as `target_parameters`.
    `ia3`: roles that (IA)3 scales; those that play `down` are its feed-forward modules.
    `heads`: modules of a task's head that PEFT, which knows `classifier` and `score`, would leave frozen.
    `has_dense_classifier`: the `classifier` for sequences has a layer of hidden size before the one of the labels.
    `refused`: names that PEFT rejects here.
    `is_rewritten`: PEFT 0.21.2 hands LoRA's gate_proj, up_proj and down_proj to the experts, at another rank, and leaves
    out dense and shared layers of these names; so only attention has names in such a row.
    """

    roles: Roles
    base: str = "model"
    experts: Names = ()
    ia3: tuple[Role, ...] = ("k", "v", "down")
    heads: Mapping[Task, Names] = field(default_factory=dict)
    has_dense_classifier: bool = False
    refused: Names = ()
    is_rewritten: bool = False
    is_conv1d: bool = False


LLAMA = _roles("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
ATTENTION = _roles("q_proj", "k_proj", "v_proj", "o_proj")
LATENT = _roles("q_proj q_a_proj q_b_proj", "kv_a_proj_with_mqa kv_b_proj", "kv_b_proj", "o_proj")
FUSED = _fused("query_key_value", o="dense", up="dense_h_to_4h", down="dense_4h_to_h")
GPT2 = _fused("c_attn", o="attn.c_proj", up="c_fc", down="mlp.c_proj")
PHI3 = _fused("qkv_proj", o="o_proj", gate="gate_up_proj", up="gate_up_proj", down="down_proj")
GLM = _roles("q_proj", "k_proj", "v_proj", "o_proj", gate="gate_up_proj", up="gate_up_proj", down="down_proj")
PHI = _roles("q_proj", "k_proj", "v_proj", "dense", up="fc1", down="fc2")
GPTJ = _roles("q_proj", "k_proj", "v_proj", "out_proj", up="fc_in", down="fc_out")
CODEGEN = _fused("qkv_proj", o="out_proj", up="fc_in", down="fc_out")
GPT_NEO = _roles("q_proj", "k_proj", "v_proj", "out_proj", up="c_fc", down="c_proj")
STARCODER2 = _roles("q_proj", "k_proj", "v_proj", "o_proj", up="c_fc", down="c_proj")
MPT = _fused("Wqkv", o="out_proj", up="up_proj", down="down_proj")
QWEN1 = _fused("c_attn", o="attn.c_proj", gate="w2", up="w1", down="mlp.c_proj")
INTERNLM2 = _fused("wqkv", o="wo", gate="w1", up="w3", down="w2")
BAICHUAN = _fused("W_pack", o="o_proj", gate="gate_proj", up="up_proj", down="down_proj")
RWKV = _roles("receptance", "key", "value", "output")
RWKV7 = _roles("r_proj", "k_proj", "v_proj", "o_proj", up="key", down="value")
BLIP2 = _roles("q q_proj", "k k_proj", "v v_proj", "o out_proj")
T5 = _roles("q", "k", "v", "o", gate="wi_0", up="wi wi_1", down="wo")
BART = _roles("q_proj", "k_proj", "v_proj", "out_proj", up="fc1", down="fc2")
# "output.dense" is the end of "attention.output.dense" too: no name for PEFT distinguishes the two.
BERT = _roles("query", "key", "value", "attention.output.dense", up="intermediate.dense", down="output.dense")
BERT2BERT: Roles = {**BERT, "o": ("attention.output.dense", "crossattention.output.dense")}
MPNET = _roles("q", "k", "v", "o", up="intermediate.dense", down="output.dense")
DISTILBERT = _roles("q_lin", "k_lin", "v_lin", "out_lin", up="lin1", down="lin2")
ALBERT = _roles("query", "key", "value", "attention.dense", up="ffn", down="ffn_output")
DEBERTA: Roles = {**BERT, "q": ("in_proj",), "k": ("in_proj",), "v": ("in_proj",)}
DEBERTA2: Roles = {**BERT, "q": ("query_proj",), "k": ("key_proj",), "v": ("value_proj",)}
MODERNBERT = _fused("Wqkv", o="attn.Wo", gate="mlp.Wi", up="mlp.Wi", down="mlp.Wo")

EXPERTS = ("experts.gate_up_proj", "experts.down_proj")
QV: tuple[Role, ...] = ("q", "v", "down")
# A Mamba mixer takes the weights of the first without calling them, and calls the second on every path.
MAMBA = ("out_proj", "conv1d")
MAMBA_INPUTS = ("in_proj", "x_proj")
GPT = "transformer"
CLASSIFIES: Mapping[Task, Names] = {"seq_cls": ("classification_head",)}
POOLS: Mapping[Task, Names] = {"seq_cls": ("pooler",)}

ROWS: tuple[tuple[str, Architecture], ...] = (
    (
        "llama mistral ministral ministral3 granite cohere cohere2 olmo olmo2 olmo3 smollm3 stablelm",
        Architecture(LLAMA),
    ),
    ("exaone4 helium nemotron arcee apertus ernie4_5 hunyuan_v1_dense internlm3 seed_oss", Architecture(LLAMA)),
    ("qwen2 qwen3 gemma gemma2 gemma3_text gemma4 gemma4_text", Architecture(LLAMA, ia3=QV)),
    ("llama4 llama4_text", Architecture(LLAMA, experts=EXPERTS, ia3=QV)),
    ("qwen2_moe", Architecture(LLAMA, experts=EXPERTS)),
    ("phimoe gpt_oss granitemoe", Architecture(ATTENTION, experts=EXPERTS)),
    ("mixtral qwen3_moe olmoe glm4_moe ernie4_5_moe", Architecture(ATTENTION, experts=EXPERTS, is_rewritten=True)),
    ("deepseek_v2 deepseek_v3", Architecture(LATENT, experts=EXPERTS, is_rewritten=True)),
    ("falcon_h1", Architecture(LLAMA, refused=MAMBA)),
    ("nemotron_h", Architecture(ATTENTION, refused=MAMBA)),
    ("mamba mamba2 falcon_mamba", Architecture({}, "backbone", refused=MAMBA)),
    ("glm glm4", Architecture(GLM)),
    ("phi", Architecture(PHI, ia3=QV)),
    ("phi3", Architecture(PHI3)),
    ("starcoder2", Architecture(STARCODER2)),
    ("baichuan", Architecture(BAICHUAN)),
    ("gpt2 openai-gpt btlm", Architecture(GPT2, GPT, is_conv1d=True)),
    ("gpt_bigcode", Architecture(GPT2, GPT)),
    ("qwen", Architecture(QWEN1, GPT)),
    ("internlm2", Architecture(INTERNLM2)),
    ("gpt_neo", Architecture(GPT_NEO, GPT, ia3=QV)),
    ("gptj", Architecture(GPTJ, GPT, ia3=QV)),
    ("codegen", Architecture(CODEGEN, GPT)),
    ("bloom falcon RefinedWeb RefinedWebModel chatglm", Architecture(FUSED, GPT)),
    ("gpt_neox", Architecture(FUSED, "gpt_neox")),
    ("mpt", Architecture(MPT, GPT)),
    ("opt", Architecture(BART, ia3=("q", "k", "down"))),
    ("xglm", Architecture(BART)),
    ("biogpt", Architecture(BART, "biogpt")),
    ("rwkv", Architecture(RWKV, "rwkv")),
    ("rwkv7", Architecture(RWKV7)),
    ("blip-2", Architecture(BLIP2, "")),
    ("t5 umt5 longt5", Architecture(T5, "", heads=CLASSIFIES)),
    ("mt5", Architecture(T5, "", ia3=("k", "v", "up"), heads=CLASSIFIES)),
    ("bart", Architecture(BART, ia3=QV, heads=CLASSIFIES)),
    ("mbart pegasus marian blenderbot blenderbot-small m2m_100 plbart", Architecture(BART, heads=CLASSIFIES)),
    ("encoder-decoder", Architecture(BERT2BERT, "")),
    ("bert", Architecture(BERT, "bert", heads=POOLS)),
    ("roberta xlm-roberta xlm-roberta-xl camembert", Architecture(BERT, "roberta", has_dense_classifier=True)),
    ("electra", Architecture(BERT, "electra", has_dense_classifier=True)),
    ("ernie", Architecture(BERT, "ernie", heads=POOLS)),
    ("layoutlm", Architecture(BERT, "layoutlm", heads=POOLS)),
    ("mpnet", Architecture(MPNET, "mpnet", has_dense_classifier=True)),
    ("distilbert", Architecture(DISTILBERT, "distilbert", has_dense_classifier=True)),
    ("albert", Architecture(ALBERT, "albert", heads=POOLS)),
    ("deberta", Architecture(DEBERTA, "deberta", heads=POOLS)),
    ("deberta-v2", Architecture(DEBERTA2, "deberta", heads=POOLS)),
    ("modernbert", Architecture(MODERNBERT, heads={"seq_cls": ("head",), "token_cls": ("head",)})),
)
FAMILIES: Mapping[str, Architecture] = {name: family for names, family in ROWS for name in names.split()}
UNKNOWN = Architecture({}, "")

GUESSES: Mapping[Role, str] = {
    "q": r"q_proj|query|wq|q|qkv_proj|query_key_value|c_attn|Wqkv|wqkv|in_proj",
    "k": r"k_proj|key|wk|k|qkv_proj|query_key_value|c_attn|Wqkv|wqkv|in_proj",
    "v": r"v_proj|value|wv|v|qkv_proj|query_key_value|c_attn|Wqkv|wqkv|in_proj",
    "o": r"o_proj|out_proj|dense|wo|o|c_proj",
    "gate": r"gate_proj|gate_up_proj|w1|wi_0",
    "up": r"up_proj|gate_up_proj|fc1|fc_in|w3|wi_1|wi|c_fc|dense_h_to_4h",
    "down": r"down_proj|fc2|fc_out|w2|dense_4h_to_h",
}

# What a checkpoint calls the experts' matrices -> what the loaded model calls the parameter that holds them all.
EXPERT_PARTS: Mapping[str, str] = {
    **dict.fromkeys(("gate_proj", "up_proj", "gate_up_proj", "w1", "w3", "input_linear"), EXPERTS[0]),
    **dict.fromkeys(("down_proj", "w2", "output_linear"), EXPERTS[1]),
}
EXPERT_NAMES = frozenset({*EXPERT_PARTS, "gate"})
NOT_LINEAR = re.compile(r"(^|\.)(experts|router|relative_attention_bias)(\.|$)|\.(mlp|block_sparse_moe|mixer)\.gate$")
NORM = re.compile(r"norm|^ln|_ln$", re.IGNORECASE)
# Heads of pre-training, which no task of ours loads.
PRETRAINING_HEADS = (
    "cls.",
    "predictions.",
    "generator_predictions.",
    "discriminator_predictions.",
    "lm_head.layer_norm.",
)


def matches(name: str, path: str) -> bool:
    """True if PEFT finds the module under this entry of a list of names."""
    return path == name or path.endswith(f".{name}")


def names_of(roles: Roles, wanted: Iterable[Role]) -> list[str]:
    """The names that play these roles, each once."""
    return list(dict.fromkeys(name for role in wanted for name in roles.get(role, ())))


def roles_of(model: "ModelInfo") -> tuple[Roles, bool]:
    """Role to the names that this model really has; and whether its family is in the table."""
    paths = model.linear_paths
    family = FAMILIES.get(model.model_type)
    if family:
        present = {
            role: tuple(name for name in names if any(matches(name, path) for path in paths))
            for role, names in family.roles.items()
        }
        if present.get("q") or not family.roles:
            return {role: names for role, names in present.items() if names}, True
    ends = sorted({path.rpartition(".")[2] for path in paths})
    guessed = {role: tuple(n for n in ends if re.fullmatch(pattern, n)) for role, pattern in GUESSES.items()}
    return {role: names for role, names in guessed.items() if names}, False


def same_roles(names: Iterable[str], model: "ModelInfo") -> list[str]:
    """What plays in this model the roles that the names play in the family that knows most of them."""
    patterns = list(names)

    def played(family: Architecture) -> dict[str, set[Role]]:
        return {
            name: {role for role, own in family.roles.items() if any(matches(name, f".{other}") for other in own)}
            for name in patterns
        }

    best = max((played(family) for _names, family in ROWS), key=lambda roles: sum(map(bool, roles.values())))
    wanted = set().union(*best.values())
    here, _is_known = roles_of(model)
    return names_of(here, [role for role in LLAMA if role in wanted])


def ia3_modules(model: "ModelInfo") -> tuple[list[str], list[str]]:
    """What (IA)3 scales in this model, and which of it are feed-forward modules."""
    roles, _is_known = roles_of(model)
    scaled = FAMILIES.get(model.model_type, UNKNOWN).ia3
    return names_of(roles, scaled), names_of(roles, [role for role in scaled if role == "down"])


def norm_modules(model: "ModelInfo") -> list[str]:
    """The model's norm layers: by name, or one by one where some block has none, as PEFT would stumble over the gap."""
    return [entry for group in model.norms for entry in ([group.name] if _in_every_block(group.paths) else group.paths)]


def _in_every_block(paths: Iterable[str]) -> bool:
    blocks = {int(number[0]) for path in paths if (number := re.findall(r"(?<=\.)\d+(?=\.)", path))}
    return blocks == set(range(len(blocks)))


def expert_parameters(model: "ModelInfo") -> list[str]:
    """The parameters in which this model holds its experts; none where they were not tried with PEFT."""
    known = FAMILIES.get(model.model_type, UNKNOWN).experts
    return [name for name in known if any(group.name == name for group in model.experts)]
