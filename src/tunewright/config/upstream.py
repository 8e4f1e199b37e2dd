"""Fields and models of the transformers and PEFT that `tools/upstream.py` has seen: `resources/upstream_fields.json`.

The file writes the type of a field as a name of `TYPES`, as an object with one of the keys `choices`, `pattern`, `list`,
`dict` (of texts) or `type`, or as a list of alternatives.
"""

import operator
from collections.abc import Mapping
from functools import cache, reduce
from typing import Annotated, Any, Literal

from pydantic import Field

from tunewright.config.section import Count, Fp32, Loose, NotNegative, Positive, Scale, Seed, Share, Text, Whole
from tunewright.config.tasks import Task
from tunewright.config.upstream_choices import Scheduler, TransformersOptimizer
from tunewright.resources import read_json

TYPES: Mapping[str, object] = {
    "Any": Any,
    "Count": Count,
    "Loose": Loose,
    "None": None,
    "NotNegative": NotNegative,
    "Number": Fp32,
    "Positive": Positive,
    "Scale": Scale,
    "Scheduler": Scheduler,
    "Seed": Seed,
    "Share": Share,
    "Text": Text,
    "TransformersOptimizer": TransformersOptimizer,
    "Whole": Whole,
    "bool": bool,
}


@cache
def training_arguments() -> Mapping[str, object]:
    """Fields of TrainingArguments with their types, as pydantic takes them."""
    return _types(_content()["training_arguments"])


@cache
def peft_fields(method: str) -> Mapping[str, object]:
    """Fields of a method's config in PEFT with their types, as pydantic takes them."""
    return _types(_content()["peft_fields"][method])


@cache
def model_tasks() -> Mapping[str, tuple[Task, ...]]:
    """Tasks by model type: those that transformers has a class for and that the model was pretrained for."""
    return {model_type: tuple(tasks) for model_type, tasks in _content()["model_tasks"].items()}


@cache
def _content() -> Mapping[str, Any]:
    return read_json("upstream_fields.json")


def _types(fields: Mapping[str, object]) -> Mapping[str, object]:
    return {name: _type(form) for name, form in fields.items()}


def _type(form: Any) -> Any:
    """The type for one form of the file."""
    if isinstance(form, str):
        return TYPES[form]
    if isinstance(form, list):
        return reduce(operator.or_, map(_type, form))
    if "choices" in form:
        return Literal[tuple(form["choices"])]
    if "pattern" in form:
        return Annotated[str, Field(pattern=form["pattern"])]
    if "dict" in form:
        return dict.__class_getitem__((Text, _type(form["dict"])))
    if "list" in form:
        items: Any = list.__class_getitem__(_type(form["list"]))
        length = form.get("length")
        return items if length is None else Annotated[items, Field(min_length=length, max_length=length)]
    return Annotated[TYPES[form["type"]], Field(le=form["maximum"])]
