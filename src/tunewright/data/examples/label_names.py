"""Labels and tags of rows: what they say, in what order they are numbered, and how often each appears.

A label is a name (text, a whole number, true or false), a list of names, or a number to be estimated. Which of these is
decided once, by looking at all rows (`label_kind.py`); a row that does not follow the others is damage.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tunewright.data.examples.formats import Example, Target
from tunewright.data.examples.label_kind import Kind, LabelKind, as_number, kind_of_label, similar_names, switch_of
from tunewright.data.examples.row_cells import RowReport, is_missing, unpacked
from tunewright.data.files.json_scanner import kind_of
from tunewright.errors import Problem
from tunewright.i18n import N_, Phrase

_WANTED: Mapping[Kind, str] = {
    "text": N_("text"),
    "number": N_("a number"),
    "boolean": N_("true or false"),
    "list": N_("a list of labels"),
    "other": N_("text"),
}
LONGEST_NAME = 300  # of a label or tag; it appears in the model's config, in tables and in reports
EXACT = 2**53  # from here on not every whole number is a float
_WHOLE = re.compile(r"[+-]?[0-9]{1,300}")
_WHOLE_AS_DECIMAL = re.compile(r"([+-]?[0-9]+)\.0*")
_TAG_WITHOUT_TYPE = re.compile(r"[BIMLUES]-")
_ENTITY = re.compile(r"[BIMLUES]-.+")
_BRACKETS = re.compile(r"\s*(?:\[.*\]|\{.*\})\s*", re.DOTALL)
_BRACKETS_THAT_ARE_NONE = N_("brackets that are not JSON")
_MASKED_TAG = "-100"  # what transformers leaves out of the loss, in data that were tokenized already


def read_target(report: RowReport, kind: LabelKind) -> Target | None:
    """The row's label; None with a problem (E203, E205, E206, E207, E224) if it has none that goes with the others."""
    name, value = report.columns["label"], unpacked(report.cell("label"))
    if is_missing(value):
        report.add("E207", field=name)
        return None
    if isinstance(value, str) and not value.strip():
        report.add("E203", field=name)
        return None
    if isinstance(value, str) and value.strip() in kind.missing:
        report.add("E207", field=f'{name} ("{value.strip()}")')
        return None
    if kind.problem_type == "regression":
        return _read_number(value, name, report, kind)
    if kind.problem_type == "multi_label_classification":
        return _read_names(value, name, report, kind)
    if isinstance(value, str) and _BRACKETS.fullmatch(value):
        report.add("E206", field=name, wanted=_WANTED["list"], got=_BRACKETS_THAT_ARE_NONE, better='["a", "b"]')
        return None
    if not _follows(value, kind):
        report.add("E206", field=name, wanted=_WANTED[kind.written_as], got=kind_of(value))
        return None
    return _read_name(value, name, report)


def _follows(value: Any, kind: LabelKind) -> bool:
    """Whether a label is written as the others are, or as another file or program writes the same."""
    own = kind_of_label(value)
    if own == kind.written_as:
        return True
    if kind.written_as == "number":
        return own == "text" and as_number(value) is not None
    return (own == "number" and kind.are_numerals) or (own == "boolean" and kind.are_booleans)


def _read_number(value: Any, name: str, report: RowReport, kind: LabelKind) -> float | None:
    number = as_number(value, kind.style)
    if number is None or not math.isfinite(number):
        report.add("E206", field=name, wanted=_WANTED["number"], got=kind_of(value))
        return None
    return number


def _read_names(value: Any, name: str, report: RowReport, kind: LabelKind) -> tuple[str, ...] | None:
    """The names in a list, or in text at its marks; there may be none, as a text need not have any of the labels."""
    if isinstance(value, str) and _BRACKETS.fullmatch(value):
        report.add("E206", field=name, wanted=_WANTED["list"], got=_BRACKETS_THAT_ARE_NONE, better='["a", "b"]')
        return None
    if kind.mark and not isinstance(value, list | dict):
        items = value.split(kind.mark) if isinstance(value, str) else [value]
        value = [item for item in items if not isinstance(item, str) or item.strip()]
    if not isinstance(value, list):
        report.add("E206", field=name, wanted=_WANTED["list"], got=kind_of(value))
        return None
    if kind.num_switches:
        if len(value) != kind.num_switches or None in map(switch_of, value):
            wanted = Phrase(N_("{count} times 0 or 1, one for each label"), count=kind.num_switches)
            report.add("E206", field=name, wanted=wanted, got=N_("another list"))
            return None
        value = [place for place, item in enumerate(value) if switch_of(item)]
    share = next(
        (item for item in value if isinstance(item, float) and not item.is_integer() and not is_missing(item)), None
    )
    if share is not None:
        report.add("E206", field=name, wanted=_WANTED["list"], got=kind_of(share))
        return None
    names = [_read_name(item, f"{name}[{index}]", report) for index, item in enumerate(value)]
    twice = [label for label, count in Counter(names).items() if label and count > 1]
    if twice:
        report.add("E224", field=name, label=twice[0])
    return tuple(sorted(label for label in names if label))


def _read_name(value: Any, name: str, report: RowReport) -> str | None:
    """The name of a label or tag: text without blanks around it, 3, 3.0 and "3.0" as "3", true and "True" as "true"."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float) and not is_missing(value):
        is_exact = isinstance(value, float) and value.is_integer() and abs(value) < EXACT
        return _name(str(int(value)) if is_exact else str(value), name, report)
    if isinstance(value, dict):
        report.add("E206", field=name, wanted=_WANTED["text"], got=kind_of(value))
        return None
    text = report.text(value, name).strip()
    if text.casefold() in ("true", "false"):
        return text.casefold()
    whole = _WHOLE_AS_DECIMAL.fullmatch(text)
    return _name(whole[1] if whole else text, name, report)


def _name(text: str, name: str, report: RowReport) -> str | None:
    """The text, if it is short enough to be a name and not a whole text."""
    if len(text) > LONGEST_NAME:
        report.add("E260", field=name, count=len(text), most=LONGEST_NAME)
        return None
    return text or None


def read_words(report: RowReport) -> tuple[str, ...]:
    """The row's words, from a list or from text split at blanks; a word that is none is a problem of the row."""
    name = report.columns["words"]
    return _each(_listed("words", report), name, report, report.text)


def read_tags(report: RowReport) -> tuple[str, ...]:
    """The row's tags, from a list or from text split at blanks; problems as for words, and E223 for I- without a type."""
    name = report.columns["tags"]
    tags = _each(_listed("tags", report), name, report, lambda tag, place: _read_tag(tag, place, report))
    broken = next((tag for tag in tags if _TAG_WITHOUT_TYPE.fullmatch(tag)), None)
    if broken:
        report.add("E223", tag=broken, field=name)
    return tags


def _read_tag(tag: Any, place: str, report: RowReport) -> str | None:
    if str(tag).strip() == _MASKED_TAG:
        report.add("E206", field=place, wanted=N_("the tag of a word"), got=N_("-100, which stands for none"))
        return None
    return _read_name(tag, place, report)


def _listed(role: str, report: RowReport) -> list[Any]:
    """The items of a list, of the JSON text of one, or of text at its blanks; a problem if there are none."""
    name, value = report.columns[role], unpacked(report.cell(role))
    if value is None:
        report.add("E207", field=name)
    elif isinstance(value, str) and re.fullmatch(r"\s*\[.*\]\s*", value, re.DOTALL):
        # What pandas writes for a list, ['a', 'b'], would fall apart into words with brackets and quotes.
        report.add("E206", field=name, wanted=N_("a list of texts"), got=_BRACKETS_THAT_ARE_NONE, better='["a", "b"]')
    elif not isinstance(value, str | list):
        report.add("E206", field=name, wanted=N_("a list of texts"), got=kind_of(value))
    elif not (items := value.split() if isinstance(value, str) else value):
        report.add("E203", field=name)
    else:
        return items
    return []


def _each(
    items: Sequence[Any], name: str, report: RowReport, read: Callable[[Any, str], str | None]
) -> tuple[str, ...]:
    """What is read from each item; nothing, and one problem, if one of them is damaged."""
    texts = []
    before = len(report.problems)
    for index, item in enumerate(items):
        text = read(item, f"{name}[{index}]")
        if text is None or len(report.problems) > before:
            return ()
        texts.append(text)
    return tuple(texts)


def names_in(example: Example) -> tuple[str, ...]:
    """The labels of a row: its one, its several, or the tag of each word; none for a number."""
    if isinstance(example.target, str):
        return (example.target,)
    return example.target if isinstance(example.target, tuple) else example.tags


def label_names(names: Iterable[str]) -> tuple[str, ...]:
    """All labels in the order of their numbers in the model: by name, whole numbers by their value."""
    distinct = set(names)
    are_numbers = all(_WHOLE.fullmatch(name) for name in distinct)
    return tuple(sorted(distinct, key=lambda name: (int(name), name) if are_numbers else (0, name)))


def notes_of_tags(names: Sequence[str]) -> list[Problem]:
    """W235 for tags that are nearly the same, W250 where some are numbers and others begin and continue entities."""
    numbers = [name for name in names if _WHOLE.fullmatch(name)]
    entities = [name for name in names if _ENTITY.fullmatch(name)]
    if not numbers or not entities:
        return similar_names(names)
    return [*similar_names(names), Problem("W250", values={"tags": ", ".join([*numbers[:3], *entities[:3]])})]


def count_labels(names: Sequence[str], counted: Mapping[str, int], without: Iterable[Example]) -> dict[str, int]:
    """How many rows (for tags: words) have each of these labels, `without` some of the rows that were counted."""
    less = Counter(name for example in without for name in names_in(example))
    return {name: counted[name] - less[name] for name in names}
