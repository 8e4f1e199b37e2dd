"""Rows of parquet and arrow files and of the Hugging Face Hub: the one door to `datasets` and pyarrow.

The imports are inside the functions, because most data are text files and need neither.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from decimal import Decimal
from pathlib import Path
from typing import Any

from tunewright.data.files.row import Row
from tunewright.errors import error
from tunewright.i18n import N_
from tunewright.security import redact

_BATCH_ROWS = 1000
# A table of real rows has less than a thousand times its file's bytes in memory, and never more rows than bytes.
MAX_GROWTH, FREE_BYTES = 1000, 64 * 2**20
LabelNames = Mapping[str, tuple[str, ...]]
_IS_OFFLINE = ContextVar("is_offline", default=False)


def table_rows(path: Path) -> Iterator[dict[str, object]]:
    """Rows of a .parquet or .arrow file (the arrow file or stream format).

    Raises: DataError E220 if it is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if path.suffix.lower() == ".parquet":
            with pq.ParquetFile(path) as table:
                names = _label_names(table.schema_arrow)
                if table.metadata.num_rows > path.stat().st_size:
                    raise _InflatedError
                yield from _rows_of(table.iter_batches(batch_size=_BATCH_ROWS), names, path.stat().st_size)
        else:
            with pa.memory_map(str(path)) as source:
                yield from _arrow_rows(source, path.stat().st_size)
    except (pa.ArrowException, OSError, ValueError, TypeError, LookupError, AttributeError) as fault:
        raise error("E220", path=str(path), reason=_first_line(fault)) from fault


def _arrow_rows(source: Any, size: int) -> Iterator[dict[str, object]]:
    import pyarrow as pa

    try:
        reader = pa.ipc.open_file(source)
    except pa.ArrowInvalid:
        source.seek(0)
        stream = pa.ipc.open_stream(source)
        yield from _rows_of(stream, _label_names(stream.schema), size)
        return
    batches = (reader.get_batch(index) for index in range(reader.num_record_batches))
    yield from _rows_of(batches, _label_names(reader.schema), size)


def _rows_of(batches: Iterable[Any], names: LabelNames, size: int) -> Iterator[dict[str, object]]:
    """Rows of batches whose offsets hold, from a file of `size` bytes."""
    unpacked = 0
    for batch in batches:
        batch.validate(full=True)  # reading values at places that a file made up would end the process
        unpacked += batch.nbytes
        if unpacked > max(FREE_BYTES, MAX_GROWTH * size):
            raise _InflatedError
        yield from (with_names(_with_floats(row), names) for row in batch.to_pylist())


def _with_floats(row: dict[str, object]) -> dict[str, object]:
    """A row whose Decimal values are ordinary numbers, as in other tables."""
    return {column: float(value) if isinstance(value, Decimal) else value for column, value in row.items()}


class _InflatedError(ValueError):
    """A small file that becomes a large table."""

    def __str__(self) -> str:
        return "it unpacks to far more than a table of rows of its size"


def _label_names(schema: Any) -> LabelNames:
    """The class names for the numbers of a table that `datasets` has written; none for tables of others."""
    if b"huggingface" not in (schema.metadata or {}):
        return {}
    import datasets

    return names_of_labels(datasets.Features.from_arrow_schema(schema))


def names_of_labels(features: Row) -> LabelNames:
    """Columns that hold numbers of named classes, alone or in lists."""
    import datasets

    lists = (datasets.List, datasets.LargeList)
    inner = {column: f.feature if isinstance(f, lists) else f for column, f in features.items()}
    return {column: tuple(kind.names) for column, kind in inner.items() if isinstance(kind, datasets.ClassLabel)}


def with_names(row: dict[str, object], names: LabelNames) -> dict[str, object]:
    """A row with the names of its classes instead of their numbers; a class that is not known (-1) becomes nothing."""
    return {**row, **{column: _named(row[column], known) for column, known in names.items() if column in row}}


def _named(value: Any, names: tuple[str, ...]) -> Any:
    if isinstance(value, list):
        return [_named(item, names) for item in value]
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else None


@contextmanager
def offline(is_offline: bool) -> Iterator[None]:
    """Inside, data of the Hub come from this machine's cache alone, if that is asked for."""
    token = _IS_OFFLINE.set(is_offline)
    try:
        yield
    finally:
        _IS_OFFLINE.reset(token)


def hub_rows(name: str, split: str) -> Iterator[dict[str, object]]:
    """Rows of one split of a data set on the Hub, from the local cache where it is there.

    `name` is an id, with the name of a configuration after a colon where the data set has several.

    Raises: HubError E701 if it is not here and the network is not to be used, E702 if the Hub does not answer,
    DataError E220 if it does and the data cannot be loaded.
    """
    import datasets
    from datasets.exceptions import DatasetsError
    from huggingface_hub.utils import HfHubHTTPError, httpx

    with _switched_off(datasets.config):
        is_offline = datasets.config.HF_HUB_OFFLINE
        try:
            dataset, _colon, configuration = name.partition(":")
            rows = datasets.load_dataset(dataset, configuration or None, split=split)
        except (DatasetsError, HfHubHTTPError) as fault:
            raise error("E220", path=name, reason=_first_line(fault)) from fault
        except (ConnectionError, TimeoutError, httpx.TransportError) as fault:
            if is_offline:
                why = N_("--offline is set") if _IS_OFFLINE.get() else "HF_HUB_OFFLINE"
                raise error("E701", name=name, data=name, why=why) from fault
            raise error("E702", name=name, reason=_first_line(fault)) from fault
        except (ValueError, OSError) as fault:
            raise error("E220", path=name, reason=_first_line(fault)) from fault
    names = names_of_labels(rows.features or {})
    yield from (with_names(row, names) for row in rows)


@contextmanager
def _switched_off(config: Any) -> Iterator[None]:
    """`datasets` without network where that was asked for: it reads its setting of that name whenever it would connect."""
    before = config.HF_HUB_OFFLINE
    config.HF_HUB_OFFLINE = before or _IS_OFFLINE.get()
    try:
        yield
    finally:
        config.HF_HUB_OFFLINE = before


def _first_line(fault: BaseException) -> str:
    text = redact(str(fault).strip())
    return text.splitlines()[0] if text else type(fault).__name__
