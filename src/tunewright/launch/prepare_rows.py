"""The rows of a config encoded ahead of its runs, by all cores, without torch: plan, train and compare find them by content."""

import time
from dataclasses import dataclass
from pathlib import Path

from tunewright.config.load_config import LoadedConfig
from tunewright.data.load_examples import ROWS_IN_MEMORY, load_examples
from tunewright.data.tokenized.tokenizer import load_tokenizer
from tunewright.errors import system_faults
from tunewright.launch.inspect_inputs import originals_of
from tunewright.launch.start_run import plan_for
from tunewright.reporting import SILENT, Reporter
from tunewright.rundir import prepared_rows
from tunewright.rundir.encoded_rows import EncodedRows


@dataclass(frozen=True)
class Prepared:
    """What lies in the cache now: where, rows and tokens of each kind, and how long it took."""

    folder: Path
    train_rows: int
    held_out_rows: int
    left_out: int
    tokens: int
    files: int
    bytes: int
    seconds: float
    from_cache: bool


@system_faults()
def prepare(loaded: LoadedConfig, *, reporter: Reporter = SILENT) -> Prepared:
    """Encode all rows as a run of this config would, or check every file of those that are there.

    Raises: every error that can be known before a run; DataError for what must stop one; TrainingError E517 where the disk refuses.
    """
    started = time.perf_counter()
    plan = plan_for(loaded, reporter=reporter)
    originals = originals_of(plan.run.data)
    tokenizer = load_tokenizer(Path(plan.facts.model.tokenizer_folder), plan.run.model.chat_template)
    store = EncodedRows(originals)
    examples = load_examples(
        plan.run.data, plan.run.train.data_seed, plan.run.task, keep=ROWS_IN_MEMORY, store=store, reporter=reporter
    )
    rows = prepared_rows.Preparation(plan, examples, tokenizer, originals, reporter).rows(is_ahead=True)
    folder = prepared_rows.folder_of(rows.key)
    files = list(folder.glob("*.rows"))
    return Prepared(
        folder=folder,
        train_rows=rows.summary.used,
        held_out_rows=rows.summary.held_out,
        left_out=rows.summary.dropped,
        tokens=rows.summary.tokens,
        files=len(files),
        bytes=sum(file.stat().st_size for file in files),
        seconds=round(time.perf_counter() - started, 1),
        from_cache=rows.is_cached,
    )
