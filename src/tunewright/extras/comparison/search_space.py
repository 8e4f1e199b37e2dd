"""The search space of a sweep: for each path of the config its values, or a range of numbers."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tunewright.config.dotted_paths import leaves
from tunewright.config.load_config import DEFAULT, parse_set
from tunewright.config.methods import METHODS, PromptLearning, Scaled, rank_field
from tunewright.config.resolved_config import ResolvedConfig
from tunewright.config.section import number_if_written
from tunewright.planning.run_plan import Plan

BETWEEN_VALUES = re.compile(r",(?![^\[]*\])")
WHOLE = re.compile(r"[+-]?\d+")
WIDE = 10.0  # from this ratio of its ends on, a range is searched on a log scale
RATE_FACTOR = 5.0  # the usual learning rate of a method, times and divided by
ALPHA_TIMES = (1, 2, 4)
DROPOUTS = ("0.0", "0.05", "0.1")
LONGEST_WARMUP = 0.1
HIGHEST_RATE = 0.9


@dataclass(frozen=True)
class SearchAxis:
    """One of `choices`, as `--set` takes them, or a number from `low` to `high`.

    `times` is another searched path, whose value the number is multiplied with.
    """

    path: str
    choices: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    is_whole: bool = False
    times: str | None = None

    @property
    def name(self) -> str:
        return f"{self.path} / {self.times}" if self.times else self.path

    @property
    def is_log(self) -> bool:
        return self.low > 0 and self.high >= WIDE * self.low

    @property
    def ends(self) -> tuple[str, ...]:
        """Values that are good if all of the axis are."""
        return self.choices or tuple(as_text(round(end) if self.is_whole else end) for end in (self.low, self.high))

    def to_json(self) -> dict[str, object]:
        return asdict(self)

    @staticmethod
    def from_json(stored: Mapping[str, Any]) -> "SearchAxis":
        return SearchAxis(**{**stored, "choices": tuple(stored["choices"])})


def split_values(text: str) -> list[str]:
    """V,V as its values; commas in brackets belong to a value."""
    return [value.strip() for value in BETWEEN_VALUES.split(text)]


def parse_axis(text: str) -> SearchAxis | None:
    """PATH=V,V or PATH=LOW..HIGH as an axis; None if it is neither."""
    path, _equals, values = text.partition("=")
    texts = [end.strip() for end in values.split("..")]
    ends = [end for end in map(number_if_written, texts) if isinstance(end, float)]
    if len(texts) == len(ends) == 2:
        low, high = ends
        is_whole = all(WHOLE.fullmatch(end) for end in texts)
        return SearchAxis(path, low=low, high=high, is_whole=is_whole) if path and low < high else None
    choices = tuple(split_values(values))
    return SearchAxis(path, choices) if path and all(choices) else None


def axes_for(axes_of_user: Sequence[SearchAxis], plan: Plan, origins: Mapping[str, str]) -> list[SearchAxis]:
    """The axes of the user, and the usual ranges of settings at their defaults; the method first, as the others depend on it."""
    by_path = {axis.path: axis for axis in axes_of_user}
    usual = [] if "method" in by_path else _of_method(plan.run)
    usual.append(SearchAxis("train.warmup_steps", low=0.0, high=LONGEST_WARMUP))
    chosen = {axis.path: axis for axis in usual if origins.get(axis.path) == DEFAULT} | by_path
    axes = [_on_its_own(axis, plan.run) if axis.times not in chosen else axis for axis in chosen.values()]
    return sorted(axes, key=lambda axis: axis.path != "method")


def _of_method(run: ResolvedConfig) -> list[SearchAxis]:
    """Ranges around what the plan would take, for fields that the method has."""
    peft = run.peft
    field = rank_field(run.method)
    rate = run.train.learning_rate
    axes = [SearchAxis("train.learning_rate", low=rate / RATE_FACTOR, high=min(HIGHEST_RATE, rate * RATE_FACTOR))]
    if field:
        axes.append(_around(f"peft.{field}", dict(peft)[field]))
    if isinstance(peft, PromptLearning):
        axes.append(_around("peft.num_virtual_tokens", peft.num_virtual_tokens))
    if isinstance(peft, Scaled):
        axes.append(SearchAxis("peft.lora_alpha", tuple(map(str, ALPHA_TIMES)), times=f"peft.{field}"))
        if not peft.extra.get("target_parameters"):  # PEFT has no dropout beside experts
            axes.append(SearchAxis("peft.lora_dropout", DROPOUTS))
    return axes


def _on_its_own(axis: SearchAxis, run: ResolvedConfig) -> SearchAxis:
    """An axis whose other factor is not searched, as products with the plan's value of that."""
    if not axis.times:
        return axis
    factor = dict(leaves(run))[axis.times]
    return SearchAxis(axis.path, tuple(str(round(float(choice) * factor)) for choice in axis.choices))


def _around(path: str, value: int) -> SearchAxis:
    """Half of it, itself, twice as much."""
    return SearchAxis(path, tuple(dict.fromkeys(str(each) for each in (max(1, value // 2), value, 2 * value))))


def belongs(path: str, method: str) -> bool:
    """Whether a method has the field that a path names."""
    section, _dot, key = path.partition(".")
    model = METHODS[method].model
    return section != "peft" or key in model.model_fields or key in model.upstream_fields()


def settings(axes: Sequence[SearchAxis], picked: Mapping[str, object]) -> dict[str, str]:
    """What a trial picked, by name of the axis, as texts by path for `--set`."""
    texts = {axis.path: as_text(picked[axis.name]) for axis in axes if axis.name in picked}
    for axis in axes:
        if axis.times and axis.path in texts:
            texts[axis.path] = str(round(float(texts[axis.path]) * float(texts[axis.times])))
    return texts


def as_text(value: Any) -> str:
    """A value as `--set` takes it; YAML reads 1e-05 as a string, and 1.0e-05 as a number."""
    text = value if isinstance(value, str) else repr(value)
    return text.replace("e", ".0e", 1) if isinstance(value, float) and "." not in text else text


def parameters(axes: Sequence[SearchAxis], picked: Mapping[str, object]) -> dict[str, object]:
    """The same as values, for programs and tables."""
    return {path: number_if_written(read(path, text)) for path, text in settings(axes, picked).items()}


def read(path: str, text: str) -> Any:
    """A value as the config would hold it."""
    return parse_set(f"{path}={text}")[1]


def at_plan(axes: Sequence[SearchAxis], run: ResolvedConfig) -> dict[str, object]:
    """The plan's own value on each axis, by name; axes that do not contain it are left out."""
    flat = dict(leaves(run))
    values: dict[str, object] = {}
    for axis in axes:
        value = flat.get(axis.path)
        if axis.times and value is not None and flat.get(axis.times):
            value = value / flat[axis.times]
        same = [choice for choice in axis.choices if number_if_written(read(axis.path, choice)) == value]
        if same:
            values[axis.name] = same[0]
        elif not axis.choices and isinstance(value, int | float) and axis.low <= value <= axis.high:
            values[axis.name] = round(value) if axis.is_whole else value
    return values
