"""Rows nested in the objects of known files: the questions of SQuAD, the choices of Label Studio, what servers put around rows."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeGuard

from tunewright.data.files.json_scanner import ParsedRow, ScanItem

# A key beside the row, and the key of the row: the Hub's viewer, and Elasticsearch.
_AROUND_ROWS = (("row_idx", "row"), ("_id", "_source"))


def unnested(item: ScanItem) -> Iterator[ScanItem]:
    """The rows inside an object of such a file, each with the line of the object; any other row is itself."""
    rows = _rows_in(item.value) if isinstance(item, ParsedRow) else None
    if rows is None:
        yield item
    else:
        yield from (ParsedRow(item.line, row) for row in rows)


def _rows_in(value: Mapping[str, object]) -> list[dict[str, object]] | None:
    for around, inner in _AROUND_ROWS:
        if around in value and isinstance(row := value.get(inner), dict):
            return [row]
    paragraphs, data, annotations = value.get("paragraphs"), value.get("data"), value.get("annotations")
    if _are_objects(paragraphs):
        return _questions(paragraphs)
    if isinstance(data, dict):
        if annotations == []:
            return _choices(data, [])
        if _are_objects(annotations):
            return _choices(data, annotations)
    return None


def _are_objects(value: object) -> TypeGuard[list[dict[str, Any]]]:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _questions(paragraphs: Sequence[Mapping[str, Any]]) -> list[dict[str, object]] | None:
    """The questions of an article as SQuAD writes it, each with its context; None if there are none."""
    if not all("context" in paragraph and _are_objects(paragraph.get("qas")) for paragraph in paragraphs):
        return None
    return [{"context": paragraph["context"], **question} for paragraph in paragraphs for question in paragraph["qas"]]


def _choices(data: Mapping[str, object], annotations: Sequence[Mapping[str, Any]]) -> list[dict[str, object]] | None:
    """A text of Label Studio with its class, once for each class that people gave it, with none if nobody did.

    None for other kinds of labels.
    """
    texts = [value for value in data.values() if isinstance(value, str)]
    text = data.get("text", texts[0] if len(texts) == 1 else None)
    results = [
        result
        for annotation in annotations
        if not annotation.get("was_cancelled")
        for result in annotation.get("result") or ()
    ]
    if not isinstance(text, str):
        return None
    if not results:
        return [{"text": text, "label": None}]
    values = [result.get("value") for result in results if isinstance(result, dict)]
    labels = [value.get("choices") for value in values if isinstance(value, dict)]
    if len(labels) < len(results) or not all(isinstance(label, list) and label for label in labels):
        return None
    if len({result.get("from_name") for result in results}) > 1:
        return None
    classes = list(dict.fromkeys(tuple(map(str, label)) for label in labels if label))
    return [{"text": text, "label": names[0] if len(names) == 1 else list(names)} for names in classes]
