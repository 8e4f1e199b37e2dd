"""One model per PEFT method: this is the method registry. Field names are PEFT's.

A new method is one class here and one row in `engine/adapt.py`; `tests/contract/test_registries.py` holds both together.
"""

from typing import Annotated, Literal

from pydantic import Field

from tunewright.i18n import N_
from tunewright.spec.base import AUTO, Auto, Int, Number, UpstreamSection
from tunewright.spec.renamed import refused
from tunewright.spec.upstream import PEFT_FIELDS


class Lora(UpstreamSection):
    """LoRA: a low-rank update beside frozen linear layers (Hu et al. 2021, arXiv:2106.09685)."""

    method: Literal["lora"] = Field(default="lora", description=N_("The method these fields belong to."), exclude=True)
    r: Annotated[Int, Field(ge=1, le=4096)] | Auto = Field(
        default=AUTO,
        description=N_(
            "Rank of the update; a larger rank learns more, costs memory and overfits sooner (usual: 8 to 32)."
        ),
    )
    lora_alpha: Annotated[Int, Field(ge=1)] | Auto = Field(
        default=AUTO, description=N_("Scale of the update, divided by the rank; usual is twice the rank.")
    )
    lora_dropout: Annotated[Number, Field(ge=0, lt=1)] | Auto = Field(
        default=AUTO,
        description=N_(
            "Share of inputs dropped in training against overfitting (0 to 0.1); 0 is a quarter faster on a CPU."
        ),
    )
    target_modules: list[str] | str = Field(
        default=AUTO,
        description=N_(
            "Names of the layers to adapt, `all-linear`, or a regular expression; `auto` takes the preset's roles."
        ),
    )
    bias: Literal["none", "all", "lora_only"] = Field(
        default="none", description=N_("Which bias vectors are trained besides the update.")
    )

    @classmethod
    def upstream_fields(cls) -> frozenset[str]:
        return PEFT_FIELDS["lora"] - refused("peft")


METHODS: dict[str, type[UpstreamSection]] = {"lora": Lora}
