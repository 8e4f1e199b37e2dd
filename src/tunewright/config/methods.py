"""One model per PEFT method: this is the method registry. Field names are PEFT's.

A new method is one class and one row of METHODS here, and one row in `engine/models/peft_adapter.py`;
`tests/contract/test_registries.py` holds both together. Declared are the fields that the plan chooses; every other
field of PEFT's config may be written too, under its own name, and goes to PEFT as it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from tunewright.config.deprecated_keys import refused
from tunewright.config.section import AUTO, Auto, Count, Int, Positive, Share, Text, UpstreamSection
from tunewright.config.upstream import peft_fields
from tunewright.i18n import N_

VIRTUAL_TOKENS = 20
ALL_LINEAR = "all-linear"
Rank = Annotated[Int, Field(ge=1, le=4096)]


def _method(name: str) -> Any:
    return Field(default=name, description=N_("The method these fields belong to."), exclude=True)


def _rank() -> Any:
    text = N_("Rank of the update; a larger rank learns more, costs memory and overfits sooner (usual: 8 to 32).")
    return Field(default=AUTO, description=text)


class PeftSection(UpstreamSection):
    """Fields of one of PEFT's configs."""

    @classmethod
    def upstream_fields(cls) -> Mapping[str, object]:
        names = refused("peft")
        kinds = peft_fields(cls.model_fields["method"].default)
        return {name: kind for name, kind in kinds.items() if name not in names}


class Targeted(PeftSection):
    """A method that changes chosen layers of the model."""

    target_modules: list[Text] | Text = Field(
        default=AUTO,
        description=N_(
            "Names of the layers to adapt, `all-linear`, or a regular expression; `auto` takes the preset's roles."
        ),
    )


class Scaled(Targeted):
    """A method whose update is scaled by alpha over rank."""

    lora_alpha: Positive | Auto = Field(
        default=AUTO, description=N_("Scale of the update, divided by the rank; usual is twice the rank.")
    )
    lora_dropout: Share | Auto = Field(
        default=AUTO,
        description=N_(
            "Share of inputs dropped in training against overfitting (0 to 0.1); 0 is a quarter faster on a CPU."
        ),
    )


class Lora(Scaled):
    """Fields of LoRA."""

    method: Literal["lora"] = _method("lora")
    r: Rank | Auto = _rank()
    bias: Literal["none", "all", "lora_only"] = Field(
        default="none", description=N_("Which bias vectors are trained besides the update.")
    )


class AdaLora(Scaled):
    """Fields of AdaLoRA."""

    method: Literal["adalora"] = _method("adalora")
    init_r: Rank | Auto = Field(
        default=AUTO, description=N_("Rank of each layer at the start; half as much again as target_r is usual.")
    )
    target_r: Rank | Auto = Field(
        default=AUTO, description=N_("Average rank at the end, after AdaLoRA has distributed it over the layers.")
    )
    tinit: Count | Auto = Field(default=AUTO, description=N_("Steps before ranks start to be pruned."))
    tfinal: Count | Auto = Field(default=AUTO, description=N_("Steps at the end in which ranks stay as they are."))

    @classmethod
    def upstream_fields(cls) -> Mapping[str, object]:
        """Without `r`, which AdaLoRA ignores, and `rank_pattern`, which it writes."""
        return {name: kind for name, kind in super().upstream_fields().items() if name not in ("r", "rank_pattern")}


class IA3(Targeted):
    """Fields of (IA)3."""

    method: Literal["ia3"] = _method("ia3")
    feedforward_modules: list[Text] | Text = Field(
        default=AUTO,
        description=N_(
            "Those of target_modules that are feed-forward layers: their input is scaled, not their output."
        ),
    )


class PromptLearning(PeftSection):
    """A method that trains vectors in front of the input and leaves the layers unchanged."""

    num_virtual_tokens: Positive | Auto = Field(
        default=AUTO, description=N_("Learned vectors put in front of the input.")
    )


def virtual_tokens(section: PeftSection) -> int:
    """Positions that a method puts in front of each row."""
    if not isinstance(section, PromptLearning):
        return 0
    return VIRTUAL_TOKENS if section.num_virtual_tokens == "auto" else section.num_virtual_tokens


class PrefixTuning(PromptLearning):
    """Fields of Prefix tuning."""

    method: Literal["prefix_tuning"] = _method("prefix_tuning")


class PromptTuning(PromptLearning):
    """Fields of Prompt tuning."""

    method: Literal["prompt_tuning"] = _method("prompt_tuning")


class PTuning(PromptLearning):
    """Fields of P-tuning."""

    method: Literal["p_tuning"] = _method("p_tuning")
    encoder_hidden_size: Positive | Auto = Field(
        default=AUTO, description=N_("Width of the network that generates the vectors.")
    )


class Vera(Targeted):
    """Fields of VeRA."""

    method: Literal["vera"] = _method("vera")
    r: Rank = Field(default=256, description=N_("Rank of the shared random matrices; only two vectors are trained."))


class Oft(Targeted):
    """Fields of OFT."""

    method: Literal["oft"] = _method("oft")


class Boft(Targeted):
    """Fields of BOFT."""

    method: Literal["boft"] = _method("boft")


class LoHa(Targeted):
    """Fields of LoHa."""

    method: Literal["loha"] = _method("loha")
    r: Rank | Auto = _rank()


class LoKr(Targeted):
    """Fields of LoKr."""

    method: Literal["lokr"] = _method("lokr")
    r: Rank | Auto = _rank()


class LnTuning(Targeted):
    """Fields of LN tuning, which trains copies of whole layers: the norms, or with `all-linear` every linear layer.

    The latter is full fine-tuning of all but the embeddings and the output, kept as a PEFT folder.
    """

    method: Literal["ln_tuning"] = _method("ln_tuning")


class FourierFT(Targeted):
    """Fields of FourierFT."""

    method: Literal["fourierft"] = _method("fourierft")


class Hra(Targeted):
    """Fields of HRA."""

    method: Literal["hra"] = _method("hra")
    r: Rank | Auto = _rank()


class Miss(Targeted):
    """Fields of MiSS."""

    method: Literal["miss"] = _method("miss")
    r: Rank | Auto = _rank()


class C3A(Targeted):
    """Fields of C3A."""

    method: Literal["c3a"] = _method("c3a")
    block_size: Positive | Auto = Field(
        default=AUTO, description=N_("Size of a circulant block; it must divide the layers' sizes.")
    )


class Delora(Targeted):
    """Fields of DeLoRA."""

    method: Literal["delora"] = _method("delora")
    r: Rank | Auto = _rank()


Peft = Annotated[
    Lora | AdaLora | IA3 | PrefixTuning | PromptTuning | PTuning
    | Vera | Oft | Boft | LoHa | LoKr | LnTuning | FourierFT | Hra | Miss | C3A | Delora,
    Field(discriminator="method"),
]  # fmt: skip


@dataclass(frozen=True)
class MethodRow:
    """A method's fields, what it does and where that is published, its title, PEFT's config class; can it be merged?"""

    model: type[PeftSection]
    about: str
    title: str
    config: str
    merges: bool = True

    @property
    def is_prompt_learning(self) -> bool:
        return issubclass(self.model, PromptLearning)


METHODS: Mapping[str, MethodRow] = {
    "lora": MethodRow(
        Lora,
        N_("a low-rank update beside frozen linear layers (Hu et al. 2021, arXiv:2106.09685)."),
        "LoRA",
        "LoraConfig",
    ),
    "adalora": MethodRow(
        AdaLora,
        N_("LoRA whose ranks are moved between layers while it trains (Zhang et al. 2023, arXiv:2303.10512)."),
        "AdaLoRA",
        "AdaLoraConfig",
    ),
    "ia3": MethodRow(
        IA3,
        N_("learned factors on keys, values and feed-forward activations (Liu et al. 2022, arXiv:2205.05638)."),
        "(IA)3",
        "IA3Config",
    ),
    "prefix_tuning": MethodRow(
        PrefixTuning,
        N_("learned keys and values in front of every layer's (Li and Liang 2021, arXiv:2101.00190)."),
        "Prefix Tuning",
        "PrefixTuningConfig",
        merges=False,
    ),
    "prompt_tuning": MethodRow(
        PromptTuning,
        N_("learned embeddings in front of the input (Lester et al. 2021, arXiv:2104.08691)."),
        "Prompt Tuning",
        "PromptTuningConfig",
        merges=False,
    ),
    "p_tuning": MethodRow(
        PTuning,
        N_("a small network generates the learned embeddings (Liu et al. 2021, arXiv:2103.10385)."),
        "P-Tuning",
        "PromptEncoderConfig",
        merges=False,
    ),
    "vera": MethodRow(
        Vera,
        N_("shared random matrices, learned scales (Kopiczko et al. 2024, arXiv:2310.11454)."),
        "VeRA",
        "VeraConfig",
    ),
    "oft": MethodRow(
        Oft, N_("orthogonal rotations of weights in blocks (Qiu et al. 2023, arXiv:2306.07280)."), "OFT", "OFTConfig"
    ),
    "boft": MethodRow(
        Boft, N_("orthogonal butterfly rotations (Liu et al. 2024, arXiv:2311.06243)."), "BOFT", "BOFTConfig"
    ),
    "loha": MethodRow(
        LoHa,
        N_("a Hadamard product of two low-rank updates (Hyeon-Woo et al. 2022, arXiv:2108.06098)."),
        "LoHa",
        "LoHaConfig",
    ),
    "lokr": MethodRow(
        LoKr, N_("a Kronecker product as update (Yeh et al. 2024, arXiv:2309.14859)."), "LoKr", "LoKrConfig"
    ),
    "ln_tuning": MethodRow(
        LnTuning,
        N_("only the norm layers are trained (Zhao et al. 2023, arXiv:2312.11420)."),
        "LN Tuning",
        "LNTuningConfig",
    ),
    "fourierft": MethodRow(
        FourierFT,
        N_("a few frequencies of the update are learned (Gao et al. 2024, arXiv:2405.03003)."),
        "FourierFT",
        "FourierFTConfig",
    ),
    "hra": MethodRow(
        Hra, N_("a chain of Householder reflections (Yuan et al. 2024, arXiv:2405.17484)."), "HRA", "HRAConfig"
    ),
    "miss": MethodRow(
        Miss,
        N_("one small matrix shared by the shards of a layer (Kang and Yin 2024, arXiv:2409.15371)."),
        "MiSS",
        "MissConfig",
    ),
    "c3a": MethodRow(
        C3A, N_("circular convolutions as update (Chen et al. 2024, arXiv:2407.19342)."), "C3A", "C3AConfig"
    ),
    "delora": MethodRow(
        Delora,
        N_("a low-rank update whose strength is trained separately (Bini et al. 2025, arXiv:2503.18225)."),
        "DeLoRA",
        "DeloraConfig",
    ),
}
Method = Literal[
    "lora", "adalora", "ia3", "prefix_tuning", "prompt_tuning", "p_tuning",
    "vera", "oft", "boft", "loha", "lokr", "ln_tuning", "fourierft", "hra", "miss", "c3a", "delora",
]  # fmt: skip


def is_full(peft: PeftSection) -> bool:
    """True for full fine-tuning: every linear layer is trained as a whole."""
    return isinstance(peft, LnTuning) and peft.target_modules == ALL_LINEAR


def rank_field(method: str) -> str | None:
    """The field of a method that is its rank; None for a method without one."""
    own = METHODS[method].model.model_fields
    return next((name for name in ("r", "target_r") if name in own), None)
