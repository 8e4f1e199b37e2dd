"""Every `auto` of a PEFT method becomes a value with a reason. The order is that of `PEFT_RESOLVERS`."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from tunewright.config.methods import ALL_LINEAR, C3A, IA3, METHODS, VIRTUAL_TOKENS, AdaLora, LnTuning, is_full
from tunewright.config.preset_table import PRESETS
from tunewright.config.run_config import RunConfig
from tunewright.config.section import AUTO, Auto
from tunewright.i18n import N_
from tunewright.inspection.architectures import expert_parameters, ia3_modules, names_of, norm_modules, roles_of
from tunewright.inspection.builtin_models import BUNDLED
from tunewright.planning.check_config import matching_groups
from tunewright.planning.run_plan import InspectedFacts, PlannedChoice

GIB = 2**30
ENCODER_WIDTH = 512
T = TypeVar("T")


def choice(path: str, value: Any, reason: str, **values: Any) -> PlannedChoice:
    return PlannedChoice(path=path, value=value, origin="plan", reason=reason, values=values)


def resolved(value: T | Auto) -> T:
    """A value that an earlier resolver has set, as their order guarantees."""
    assert value != AUTO
    return value


@dataclass(frozen=True)
class LearningRateRule:
    """The usual learning rate of a method on a large and on a small model."""

    large: float
    small: float


# LoRA's from measurements here and the field's practice; the others from their papers' and PEFT's own examples: what
# trains few parameters needs larger steps. Small: below half a billion parameters.
RATES: Mapping[str, LearningRateRule] = {
    "lora": LearningRateRule(2e-4, 5e-4),
    "adalora": LearningRateRule(1e-3, 1e-2),
    "ia3": LearningRateRule(3e-3, 1e-2),
    "prefix_tuning": LearningRateRule(1e-2, 5e-2),
    "prompt_tuning": LearningRateRule(3e-2, 5e-2),
    "p_tuning": LearningRateRule(2e-3, 5e-3),
    "vera": LearningRateRule(4e-3, 1e-2),
    "oft": LearningRateRule(5e-4, 1e-3),
    "boft": LearningRateRule(5e-4, 1e-3),
    "loha": LearningRateRule(5e-4, 1e-3),
    "lokr": LearningRateRule(1e-3, 3e-3),
    "ln_tuning": LearningRateRule(1e-3, 3e-3),
    "fourierft": LearningRateRule(1e-2, 3e-2),
    "hra": LearningRateRule(5e-4, 1e-3),
    "miss": LearningRateRule(2e-4, 5e-4),
    "c3a": LearningRateRule(1e-2, 3e-2),
    "delora": LearningRateRule(1e-3, 3e-3),
}


# Of whole layers: the update is as large as the model, and large steps destroy what it knew.
FULL_RATE = LearningRateRule(2e-5, 1e-4)

# Measured on bert2bert (benchmarks/matrix): with 1e-2 and more its cross-attention learns little or nothing.
WHOLE_LAYERS_RATE = 2e-3
_FULL = N_("full fine-tuning")


def learning_rate(run: RunConfig, facts: InspectedFacts) -> PlannedChoice:
    billions, rate, title = facts.model.num_parameters / 1e9, RATES[run.method], METHODS[run.method].title
    if is_full(run.peft):
        rate, title = FULL_RATE, _FULL
    value = rate.small if billions < 0.5 else rate.large
    if run.method == "lora":
        value = 1e-3 if billions < 0.1 else 3e-4 if 0.5 <= billions < 2 else value
    if facts.model.name in BUNDLED and BUNDLED[facts.model.name].untrained and value > WHOLE_LAYERS_RATE:
        return choice(
            "train.learning_rate", WHOLE_LAYERS_RATE, N_("randomly initialized layers are trained in full beside it")
        )
    reason = N_(
        "{method} on {millions} million parameters; small models, and methods with few parameters, take larger steps"
    )
    return choice("train.learning_rate", value, reason, method=title, millions=round(1000 * billions))


def _rank(path: str) -> Callable[[RunConfig, InspectedFacts], PlannedChoice]:
    def resolve(run: RunConfig, facts: InspectedFacts) -> PlannedChoice:
        preset = PRESETS[run.preset]
        probe = facts.machine.probe
        memory = probe.memory_bytes if not facts.is_on_cpu and probe else facts.machine.memory_bytes
        most = 8 if memory < 12 * GIB else 16 if memory < 24 * 10**9 else 32
        if most >= preset.r:
            return choice(path, preset.r, N_("preset {preset}"), preset=run.preset)
        reason = N_("preset {preset} asks for {asked}; with {memory} GiB of memory at most {most}")
        return choice(path, most, reason, preset=run.preset, asked=preset.r, memory=round(memory / GIB), most=most)

    return resolve


def _init_rank(run: RunConfig, facts: InspectedFacts) -> PlannedChoice:
    assert isinstance(run.peft, AdaLora)
    return choice(
        "peft.init_r",
        math.ceil(1.5 * resolved(run.peft.target_r)),
        N_("half as much again as target_r, to choose from"),
    )


def _alpha(run: RunConfig, facts: InspectedFacts) -> PlannedChoice:
    rank = run.peft.target_r if isinstance(run.peft, AdaLora) else dict(run.peft)["r"]
    return choice("peft.lora_alpha", 2 * rank, N_("twice the rank"))


def _dropout(run: RunConfig, facts: InspectedFacts) -> PlannedChoice:
    if run.peft.extra.get("target_parameters"):
        return choice("peft.lora_dropout", 0.0, N_("PEFT has no dropout beside experts"))
    if facts.is_on_cpu:
        reason = N_("on a CPU dropout costs a quarter of the speed; the held-out loss watches for overfitting")
        return choice("peft.lora_dropout", 0.0, reason)
    return choice("peft.lora_dropout", 0.05, N_("against overfitting; costs little on a GPU"))


def _targets(run: RunConfig, facts: InspectedFacts) -> PlannedChoice:
    family = facts.model.model_type
    if isinstance(run.peft, IA3):
        targets, _feedforward = ia3_modules(facts.model)
        return choice("peft.target_modules", targets, N_("keys, values and feed-forward layers, as in the paper"))
    if isinstance(run.peft, LnTuning):
        return choice(
            "peft.target_modules", norm_modules(facts.model), N_("the norm layers of {family}"), family=family
        )
    preset = PRESETS[run.preset]
    roles, is_known = roles_of(facts.model)
    names = names_of(roles, preset.roles)
    if not names:
        return choice("peft.target_modules", ALL_LINEAR, N_("no layer names of {family} are known"), family=family)
    reason = (
        N_("preset {preset}: {roles} of {family}, found in the model's tensors")
        if is_known
        else N_("preset {preset}: {roles}; {family} is not in the table, the names were found in the model's tensors")
    )
    values = {"preset": run.preset, "roles": ", ".join(preset.roles), "family": family}
    return choice("peft.target_modules", names, reason, **values)


def _feedforward(run: RunConfig, facts: InspectedFacts) -> PlannedChoice:
    _targets, feedforward = ia3_modules(facts.model)
    return choice("peft.feedforward_modules", feedforward, N_("their input is scaled, as in the paper"))


def num_virtual_tokens(run: RunConfig, facts: InspectedFacts) -> PlannedChoice:
    return choice(
        "peft.num_virtual_tokens", VIRTUAL_TOKENS, N_("usual: 10 to 100; each costs as much as a token of a row")
    )


def _encoder_hidden_size(run: RunConfig, facts: InspectedFacts) -> PlannedChoice:
    value = min(facts.model.hidden_size, ENCODER_WIDTH)
    return choice("peft.encoder_hidden_size", value, N_("as wide as the model, at most {most}"), most=ENCODER_WIDTH)


def _block_size(run: RunConfig, facts: InspectedFacts) -> PlannedChoice:
    assert isinstance(run.peft, C3A)
    groups = matching_groups(facts.model, run.peft.target_modules)
    common = math.gcd(*(size for group in groups for size in (group.in_features, group.out_features)))
    return choice("peft.block_size", common, N_("the largest block that divides all sizes of the layers"))


PEFT_RESOLVERS: tuple[tuple[str, Callable[[RunConfig, InspectedFacts], PlannedChoice]], ...] = (
    ("peft.r", _rank("peft.r")),
    ("peft.target_r", _rank("peft.target_r")),
    ("peft.init_r", _init_rank),
    ("peft.lora_alpha", _alpha),
    ("peft.lora_dropout", _dropout),
    ("peft.target_modules", _targets),
    ("peft.feedforward_modules", _feedforward),
    ("peft.encoder_hidden_size", _encoder_hidden_size),
    ("peft.block_size", _block_size),
)


def _takes_experts(run: RunConfig, facts: InspectedFacts) -> bool:
    return run.preset == "complex" and bool(expert_parameters(facts.model))


def additions(run: RunConfig, facts: InspectedFacts) -> list[PlannedChoice]:
    """Fields of PEFT's config that the model asks for and nobody set: experts, transposed weights, randomly initialized layers."""
    has, choices = run.peft.upstream_fields().keys() - run.peft.extra.keys(), []
    if run.method == "lora" and "target_parameters" in has and _takes_experts(run, facts):
        experts = expert_parameters(facts.model)
        reason = N_("the experts of all blocks are one parameter, which is not a layer")
        choices.append(choice("peft.target_parameters", experts, reason))
    if "fan_in_fan_out" in has and facts.model.is_conv1d:
        reason = N_("this family keeps its weights transposed")
        choices.append(choice("peft.fan_in_fan_out", True, reason))
    if run.method == "prefix_tuning" and "init_weights" in has:
        reason = N_(
            "the prefix is initialized to have no effect, so training starts at the base; a random one "
            "starts far from it"
        )
        choices.append(choice("peft.init_weights", "zero", reason))
    if run.method == "prompt_tuning" and "prompt_tuning_init" in has:
        reason = N_("vectors of words that the model knows; random ones are outside of what it has seen")
        choices.append(choice("peft.prompt_tuning_init", "SAMPLE_VOCAB", reason))
    untrained = [*(BUNDLED[facts.model.name].untrained if facts.model.name in BUNDLED else ())]
    untrained += facts.model.fresh_heads.get(run.task, ()) if run.task != AUTO else ()
    if untrained and "modules_to_save" in has:
        reason = N_("they are randomly initialized in this model, so they are trained in full")
        choices.append(choice("peft.modules_to_save", untrained, reason))
    return choices
