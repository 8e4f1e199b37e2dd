"""The data of a run, validated and tokenized once, or read from the cache."""

import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial

from tunewright.data.examples.formats import Example
from tunewright.data.load_examples import ROWS_IN_MEMORY, data_fingerprint, load_examples
from tunewright.data.rejected_rows import RejectedRow
from tunewright.data.summary import DataSummary
from tunewright.data.tokenized.tokenization import TokenizedExample
from tunewright.data.tokenized.tokenizer import TextTokenizer
from tunewright.errors import error
from tunewright.planning.run_plan import Plan
from tunewright.reporting import SILENT, Reporter
from tunewright.rundir import atomic_io, file_names
from tunewright.rundir.encoded_rows import EncodedRows
from tunewright.rundir.prepared_rows import Preparation
from tunewright.rundir.records import BaselineRecord
from tunewright.rundir.run_dir import RunDir

logger = logging.getLogger(__name__)


@dataclass
class TokenizedDataset:
    """The training rows, the held-out rows, and the examples of the held-out rows by number; `key` is that of the cache."""

    train: Sequence[TokenizedExample]
    held_out: Sequence[TokenizedExample]
    summary: DataSummary
    held_out_examples: dict[int, Example]
    baseline: BaselineRecord | None
    key: str = ""


def prepare(
    plan: Plan, run: RunDir, tokenizer: TextTokenizer, reporter: Reporter = SILENT, *, writes_files: bool = True
) -> TokenizedDataset:
    """Validate and tokenize the rows of the plan. If the cache cannot be written, a note says so.

    With `writes_files` the summary of the data is written into the run's folder.
    Raises: DataError for what must stop the run, after rows.bad.jsonl is written; TrainingError E517 where very many rows
    cannot be kept on the disk.
    """
    config = plan.run.data
    now = data_fingerprint(config)
    if now != plan.facts.data.fingerprint:
        raise error("E502", key="data", old=plan.facts.data.fingerprint[:12], new=now[:12])
    originals = [run.file(file_names.RUN_JSON)]
    store, seed = EncodedRows(originals), plan.run.train.data_seed
    loaded = load_examples(config, seed, plan.run.task, keep=ROWS_IN_MEMORY, store=store, reporter=reporter)
    started = time.perf_counter()
    when_left_out = partial(_write_bad_rows, run) if writes_files else lambda _rows: None
    rows = Preparation(plan, loaded, tokenizer, originals, reporter, when_left_out).rows()
    seconds = time.perf_counter() - started
    num_train, num_held_out, source = (
        len(rows.train),
        len(rows.held_out),
        "from the cache" if rows.is_cached else "tokenized",
    )
    logger.info("%d training rows and %d held-out rows, %s in %.1f s", num_train, num_held_out, source, seconds)
    if writes_files:
        speed = {"seconds": round(seconds, 3), "rows_per_second": round((num_train + num_held_out) / seconds)}
        record = {"key": rows.key, "from_cache": rows.is_cached, **speed, **rows.summary.model_dump(mode="json")}
        atomic_io.write_json(run.file(file_names.PREPARED), record)
        atomic_io.write_jsonl(run.file(file_names.SEEN_ROWS), [row.to_stored() for row in rows.seen])
    examples = {example.number: example for example in loaded.held_out}
    return TokenizedDataset(rows.train, rows.held_out, rows.summary, examples, rows.baseline, rows.key)


def _write_bad_rows(run: RunDir, bad_rows: Sequence[RejectedRow]) -> None:
    if bad_rows:
        atomic_io.write_jsonl(run.file(file_names.BAD_ROWS), [asdict(row) for row in bad_rows])
