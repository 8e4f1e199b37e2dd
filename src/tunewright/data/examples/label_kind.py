"""What all labels are: one class, several, or a number, and how they are written. Decided once, from all training rows."""

import math
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tunewright.config.section import AUTO, Auto
from tunewright.config.tasks import ProblemType
from tunewright.data.examples.number_formats import PLAIN, NumberStyle, has_unit, number_of, number_text, style_of
from tunewright.data.examples.row_cells import is_missing, unpacked
from tunewright.errors import Problem

Kind = Literal["text", "number", "boolean", "list", "other"]

_MARKS = (",", ";", "|", "/", "、", "，", "；")
# What pandas writes and reads for no value. The first are never the name of a class; the others may be if many rows have them.
_NO_VALUE = frozenset({"NaN", "nan", "-NaN", "-nan", "<NA>", "#N/A", "#NA", "#N/A N/A", "NaT", "1.#QNAN", "-1.#IND"})
_MAYBE_NO_VALUE = frozenset({"NA", "N/A", "n/a", "NULL", "null", "None", "-"})
RARE = 0.5  # of the rows that other labels have on average; fewer mean no value, more a class
MOST_SWITCHES = 0.9  # of all lists; the others are damage
MOST_NAMES = 100_000  # that are checked for typos and for several labels in a cell
NAMES_SHOWN = 6


@dataclass(frozen=True)
class LabelKind:
    """What all labels are: a kind of problem, and for single labels what most of them are written as.

    `mark` separates the labels of a cell, for several labels; `num_switches` is how many labels a list of 0 and 1 switches
    on or off, 0 where lists hold names. `style` is the number format; `missing` are texts that mean no label.
    `are_numerals` and `are_booleans` say what texts mean. `notes` is what people should know.
    """

    problem_type: ProblemType
    written_as: Kind = "text"
    mark: str = ""
    num_switches: int = 0
    style: NumberStyle = "plain"
    missing: frozenset[str] = frozenset()
    are_numerals: bool = False
    are_booleans: bool = False
    notes: tuple[Problem, ...] = field(default=(), compare=False)


def kind_of_label(value: Any) -> Kind:
    """What a label is written as."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else "list" if isinstance(value, list) else "other"


def as_number(value: Any, style: NumberStyle = "plain") -> float | None:
    """The number that a value is, or that its text writes; a number too large to hold is infinite."""
    if isinstance(value, str):
        return number_of(value, style)
    if kind_of_label(value) != "number":
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf


def label_kind(values: Iterable[Any], requested: ProblemType | Auto = AUTO) -> LabelKind:
    """What most labels are: lists are several labels, numbers that are not all whole are a number, all else one label."""
    present = [value for value in map(unpacked, values) if not is_missing(value) and value != ""]
    texts = Counter(value.strip() for value in present if isinstance(value, str))
    missing, class_note = _missing(texts)
    present = [value for value in present if not (isinstance(value, str) and value.strip() in missing)]
    names = [text for text in texts.elements() if text not in missing]
    kinds = Counter(map(kind_of_label, present))
    written_as: Kind = kinds.most_common(1)[0][0] if kinds else "text"
    style, is_foreign = _style(names, requested)
    numbers = [number for value in present if (number := as_number(value, style)) is not None]
    problem_type = requested if requested != AUTO else "regression" if is_foreign else _problem_type(kinds, numbers)
    mark, several_note = _several(texts, written_as, problem_type, requested)
    if problem_type == "regression":  # where numbers are expected, no text is a class
        missing, class_note = missing | (_MAYBE_NO_VALUE & texts.keys()), []
    lists = [value.split(mark) for value in present if isinstance(value, str)] if mark else present
    num_switches = _num_switches(lists) if problem_type == "multi_label_classification" else 0
    notes: list[Problem] = [Problem("W248", values={"count": num_switches})] if num_switches else []
    if problem_type == "regression" and is_foreign:
        read = ((text, number_of(text, style)) for text in names if not PLAIN.fullmatch(text))
        value, number = next((text, number) for text, number in read if number is not None)
        notes.append(Problem("W234", values={"value": value, "number": number_text(number)}))
    elif problem_type == "regression" and requested == AUTO:
        notes += _flipped(numbers)
    return LabelKind(
        problem_type,
        written_as,
        mark,
        num_switches,
        style if problem_type == "regression" else "plain",
        missing,
        are_numerals=2 * sum(as_number(text) is not None for text in names) > len(names),
        are_booleans=2 * sum(text.casefold() in ("true", "false") for text in names) > len(names),
        notes=(*notes, *class_note, *several_note, *_similar_classes(texts, problem_type)),
    )


def _problem_type(kinds: Counter[Kind], numbers: Sequence[float]) -> ProblemType:
    if kinds["list"] and 2 * kinds["list"] >= kinds.total():
        return "multi_label_classification"
    if 2 * len(numbers) > kinds.total() and not all(number.is_integer() for number in numbers):
        return "regression"
    return "single_label_classification"


def switch_of(value: Any) -> bool | None:
    """Whether a 0 or 1, false or true, also as text, switches a label on; None for anything else."""
    text = str(value).strip().casefold() if isinstance(value, str | int | float) else ""
    return True if text in ("1", "1.0", "true") else False if text in ("0", "0.0", "false") else None


def _num_switches(values: Sequence[Any]) -> int:
    """The length of lists that hold a 0 or 1 for each label, as `datasets` has them for several labels; 0 if they do not."""
    lists = [value for value in values if isinstance(value, list)]
    size = Counter(map(len, lists)).most_common(1)[0][0] if lists else 0
    are_switches = sum(len(value) == size and None not in map(switch_of, value) for value in lists)
    return size if size > 1 and are_switches >= MOST_SWITCHES * len(lists) else 0


def _style(names: Sequence[str], requested: ProblemType | Auto) -> tuple[NumberStyle, bool]:
    """How texts write numbers, and whether it is not the plain format; several commas in one cell separate labels."""
    style = style_of(names) if requested in (AUTO, "regression") and names else None
    if style == "plain":
        return style, 2 * sum(map(has_unit, names)) > len(names)
    if style is None or (style == "comma" and any(text.count(",") > 1 for text in names)):
        return "plain", False
    return style, True


def _flipped(numbers: Sequence[float]) -> list[Problem]:
    """W232 where one number in ten or fewer is not whole."""
    broken = [number for number in numbers if not number.is_integer()]
    if not 10 * len(broken) <= len(numbers):
        return []
    return [Problem("W232", values={"value": number_text(broken[0]), "count": len(numbers), "few": len(broken)})]


def _missing(texts: Counter[str]) -> tuple[frozenset[str], list[Problem]]:
    """The texts that mean no label, and W236 for those that could but are more likely a class."""
    doubtful = [text for text in _MAYBE_NO_VALUE if text in texts and not (text == "-" and "+" in texts)]
    others = [count for text, count in texts.items() if text not in _NO_VALUE | _MAYBE_NO_VALUE]
    usual = sum(others) / len(others) if others else 0.0
    classes = [text for text in doubtful if texts[text] > RARE * usual]
    missing = frozenset(text for text in texts if text in _NO_VALUE) | frozenset(doubtful) - frozenset(classes)
    return missing, [Problem("W236", values={"count": texts[text], "label": text}) for text in sorted(classes)]


def _several(
    texts: Mapping[str, int], written_as: Kind, problem_type: ProblemType, requested: ProblemType | Auto
) -> tuple[str, list[Problem]]:
    """The mark that parts labels in a cell where several were asked for; else W233 if cells look as if they held several."""
    if written_as != "text" or len(texts) > MOST_NAMES:
        return "", []
    if requested == "multi_label_classification":
        return max(_MARKS, key=lambda mark: sum(mark in text for text in texts)), []
    if problem_type != "single_label_classification" or requested != AUTO:
        return "", []
    for mark in _MARKS:
        if combined := _combined(texts, mark):
            name_list = ", ".join(combined[:NAMES_SHOWN]) + (", ..." if len(combined) > NAMES_SHOWN else "")
            return "", [Problem("W233", values={"count": len(combined), "mark": mark, "labels": name_list})]
    return "", []


def _combined(texts: Iterable[str], mark: str) -> list[str]:
    """The labels that consist of parts of which at least one is a label of its own or a part of another one."""
    parts_of = {text: {part.strip() for part in text.split(mark) if part.strip()} for text in texts}
    with_part = Counter(part for parts in parts_of.values() for part in parts)
    return [text for text, parts in parts_of.items() if len(parts) > 1 and any(with_part[part] > 1 for part in parts)]


def _similar_classes(texts: Iterable[str], problem_type: ProblemType) -> list[Problem]:
    return similar_names(texts) if problem_type == "single_label_classification" else []


def similar_names(texts: Iterable[str]) -> list[Problem]:
    """W235 for labels or tags that are the same but for case, width of characters, white space inside and what cannot be seen."""
    names: dict[str, list[str]] = {}
    for text in texts:
        folded = "".join(c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) != "Cf")
        key = " ".join(folded.casefold().split())
        names.setdefault(key, []).append(text)
    groups = [group for key, group in names.items() if len(group) > 1 and key not in ("true", "false")]
    if not groups:
        return []
    name_list = "; ".join(" / ".join(sorted(group)) for group in groups[:NAMES_SHOWN])
    return [Problem("W235", values={"count": sum(map(len, groups)), "labels": name_list})]
