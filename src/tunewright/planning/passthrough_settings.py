"""Settings that go to PEFT or to a counter as they are, checked against the model: what can be checked without torch."""

import re
from collections.abc import Iterator, Mapping, Sequence

from tunewright.config.methods import ALL_LINEAR, C3A, IA3, Targeted
from tunewright.config.resolved_config import ResolvedConfig
from tunewright.config.run_config import RunConfig, TrainConfig
from tunewright.config.section import AUTO, MOST
from tunewright.errors import Problem
from tunewright.i18n import N_
from tunewright.inspection.model_info import LinearGroup, ModelInfo

# Fields of PEFT whose keys, or whose text, are matched as patterns against the names of layers.
KEYS_ARE_PATTERNS = ("rank_pattern", "alpha_pattern", "lambda_pattern", "n_frequency_pattern", "block_size_pattern")
TEXT_IS_PATTERN = ("exclude_modules", "layers_pattern")
# Declared options whose values need parts that may be missing here, or other settings beside them.
OPEN = ("optim", "lr_scheduler_type", "report_to")
ADAMW = "adamw_torch"  # needs nothing


def unusual(train: TrainConfig) -> dict[str, object]:
    """The declared settings of training whose values may need parts that are missing here."""
    usual = dict(TrainConfig())
    return {name: value for name, value in dict(train).items() if name in OPEN and value not in (usual[name], ADAMW)}


def passed_on(run: RunConfig) -> list[str]:
    """The settings of a run that only upstream can check, by dotted path."""
    targets = ["peft.target_modules"] if target_pattern(run) else []
    named = (f"train.{name}" for name in unusual(run.train))
    return [*named, *(f"{name}.{key}" for name in ("train", "peft") for key in dict(run)[name].extra), *targets]


def target_pattern(run: RunConfig) -> str:
    """The pattern that names the adapted layers, and may match what is not a layer; empty where they are named otherwise."""
    targets = run.peft.target_modules if isinstance(run.peft, Targeted) else ""
    return targets if isinstance(targets, str) and targets.lower() not in (AUTO, ALL_LINEAR) else ""


def patterns(run: RunConfig) -> Mapping[str, list[str]]:
    """Every text of a run that becomes a regular expression, by the option that holds it."""
    extra = run.peft.extra
    texts = {f"peft.{name}": list(extra[name]) for name in KEYS_ARE_PATTERNS if extra.get(name)}
    texts |= {f"peft.{name}": [extra[name]] for name in TEXT_IS_PATTERN if isinstance(extra.get(name), str)}
    if isinstance(run.peft, Targeted) and isinstance(run.peft.target_modules, str):
        texts["peft.target_modules"] = [run.peft.target_modules]
    if isinstance(run.peft, IA3) and isinstance(run.peft.feedforward_modules, str):
        texts["peft.feedforward_modules"] = [run.peft.feedforward_modules]
    return texts


def check_passed_on(run: RunConfig, model: ModelInfo) -> list[Problem]:
    """E143 for texts that are not a pattern, E140 for layers and tokens beyond those of the model."""
    return [*_patterns(run), *_beyond(run, model)]


def check_blocks(run: ResolvedConfig, groups: Sequence[LinearGroup]) -> list[Problem]:
    """E146 for the first size of an adapted layer that C3A's blocks do not divide."""
    if not isinstance(run.peft, C3A):
        return []
    size = run.peft.block_size
    odd = [(group.name, side) for group in groups for side in (group.in_features, group.out_features) if side % size]
    return [
        Problem("E146", values={"key": "peft.block_size", "value": size, "name": name, "size": side})
        for name, side in odd[:1]
    ]


def _patterns(run: RunConfig) -> Iterator[Problem]:
    for key, texts in patterns(run).items():
        for text in texts:
            try:
                re.compile(rf"(.*\.)?({text})$")
            except (re.error, OverflowError, RecursionError) as fault:
                yield Problem("E143", values={"key": key, "reason": f"{text} ({fault})"})


def _beyond(run: RunConfig, model: ModelInfo) -> Iterator[Problem]:
    """Layers count over encoder and decoder, each from 0."""
    extra, layers = run.peft.extra, max(model.num_layers, model.num_decoder_layers)
    chosen = extra.get("layers_to_transform")
    chosen = [chosen] if isinstance(chosen, int) else chosen or []
    for number in (number for number in chosen if number >= layers):
        yield _beyond_problem("layers_to_transform", str(number), layers, N_("layers, counted from 0"))
    for first, end in extra.get("layer_replication") or []:
        if not first < end <= layers:
            yield _beyond_problem("layer_replication", f"[{first}, {end}]", layers, N_("layers, counted from 0"))
    tokens = extra.get("trainable_token_indices") or []
    lists = tokens.values() if isinstance(tokens, Mapping) else [tokens]
    for number in (number for indices in lists for number in indices if number >= model.vocab_size):
        yield _beyond_problem("trainable_token_indices", str(number), model.vocab_size, N_("tokens, counted from 0"))


def _beyond_problem(name: str, value: str, count: int, what: str) -> Problem:
    return Problem("E140", values={"key": f"peft.{name}", "value": value, "count": count, "what": what})


def check_counts(effective_batch: int, num_steps: int) -> list[Problem]:
    """E144 for a run of more rows a step, or more steps, than counters hold."""
    sizes = ((N_("the rows of a step"), effective_batch), (N_("the steps of the run"), num_steps))
    return [
        Problem("E144", values={"what": what, "count": count, "most": MOST}) for what, count in sizes if count > MOST
    ]
