"""The data of a run, validated and tokenized once, or read from the cache."""

import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from tunewright.data.examples.formats import Example
from tunewright.data.load_examples import data_fingerprint, load_examples
from tunewright.data.loaded_examples import LoadedExamples
from tunewright.data.rejected_rows import RejectedRow, left_out
from tunewright.data.summary import DataSummary
from tunewright.data.tokenized import tokenized_cache
from tunewright.data.tokenized.tokenization import TokenizedExample
from tunewright.data.tokenized.tokenized_preview import preview_rows
from tunewright.data.tokenized.tokenizer import TextTokenizer
from tunewright.data.tokenized.vocabulary_check import EmbeddingRows
from tunewright.data.validation import raise_if_stopped, validate_data
from tunewright.errors import error
from tunewright.metrics.scoring import majority_scores
from tunewright.planning.check_config import positions
from tunewright.planning.run_plan import Plan
from tunewright.reporting import SILENT, Reporter
from tunewright.rundir import atomic_io, file_names
from tunewright.rundir.checkpoints import sha256
from tunewright.rundir.encoded_rows import EncodedRows
from tunewright.rundir.records import BaselineRecord
from tunewright.rundir.run_dir import RunDir
from tunewright.security import home, narrow, seal_object, unseal_object

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


@dataclass(frozen=True)
class _TokenizedRows:
    """What the cache holds: all rows that are used, and the records of those that are not."""

    summary: DataSummary
    bad_rows: list[RejectedRow]
    train: Sequence[TokenizedExample]
    held_out: Sequence[TokenizedExample]


def prepare(
    plan: Plan, run: RunDir, tokenizer: TextTokenizer, reporter: Reporter = SILENT, *, writes_files: bool = True
) -> TokenizedDataset:
    """Validate and tokenize the rows of the plan. If the cache cannot be written, a note says so.

    With `writes_files` the summary of the data is written into the run's folder.
    Raises: DataError for what must stop the run, after rows.bad.jsonl is written.
    """
    config = plan.run.data
    now = data_fingerprint(config)
    if now != plan.facts.data.fingerprint:
        raise error("E502", key="data", old=plan.facts.data.fingerprint[:12], new=now[:12])
    loaded = load_examples(config, plan.run.train.data_seed, plan.run.task)
    examples = {example.number: example for example in loaded.held_out}
    key = _cache_key(plan, tokenizer)
    started = time.perf_counter()
    rows = _read_cache(key)
    is_cached = rows is not None
    if rows:
        with suppress(OSError):  # the same rows may have been public when they were tokenized
            narrow([_paths(key)[0].parent, *_paths(key)], [run.file(file_names.RUN_JSON)])
        if writes_files:
            _write_bad_rows(run, rows.bad_rows)
    else:
        rows = _validated_rows(plan, loaded, tokenizer, reporter, run, writes_files=writes_files)
        try:
            _write_cache(key, rows)
            rows = _read_cache(key) or rows  # as they lie there they take a tenth of the memory
        except OSError as fault:
            reporter.note(f"the tokenized rows are not cached for the next run: {fault.strerror or fault} ({home()})")
    seconds = time.perf_counter() - started
    num_train, num_held_out, source = (
        len(rows.train),
        len(rows.held_out),
        "from the cache" if is_cached else "tokenized",
    )
    logger.info("%d training rows and %d held-out rows, %s in %.1f s", num_train, num_held_out, source, seconds)
    if writes_files:
        speed = {"seconds": round(seconds, 3), "rows_per_second": round((num_train + num_held_out) / seconds)}
        record = {"key": key, "from_cache": is_cached, **speed, **rows.summary.model_dump(mode="json")}
        atomic_io.write_json(run.file(file_names.PREPARED), record)
        preview = preview_rows(rows.train, tokenizer, plan.run.task, loaded.labels, loaded.problem_type)
        atomic_io.write_jsonl(run.file(file_names.SEEN_ROWS), [row.to_stored() for row in preview])
    return TokenizedDataset(rows.train, rows.held_out, rows.summary, examples, _baseline(loaded, plan), key)


def _label_last(plan: Plan) -> bool:
    return plan.facts.model.kind == "decoder"  # a causal model knows a word at its last token


def _cache_key(plan: Plan, tokenizer: TextTokenizer) -> str:
    return tokenized_cache.key_of(
        {
            "data": plan.facts.data.fingerprint,
            "config": plan.run.data.model_dump(mode="json"),
            "seed": plan.run.train.data_seed,
            "tokenizer": sha256(Path(plan.facts.model.tokenizer_folder) / "tokenizer.json"),
            "task": plan.run.task,
            "label_last": _label_last(plan),
            "template": tokenizer.chat_template,
            "tool_template": tokenizer.tool_template,
            "special_tokens": tokenizer.special_tokens,  # templates write them by name
            "day": tokenizer.day.isoformat() if tokenizer.is_dated else None,
            "end_ids": tokenizer.end_ids,
            "room": [positions(plan.run, plan.facts.model), plan.facts.model.vocab_size],
        }
    )


def _validated_rows(
    plan: Plan,
    loaded: LoadedExamples,
    tokenizer: TextTokenizer,
    reporter: Reporter,
    run: RunDir,
    *,
    writes_files: bool,
) -> _TokenizedRows:
    """The rows tokenized, as the plan has left them in the cache or anew. Those that are left out are written first.

    Raises: DataError for what must stop the run.
    """
    config, model = plan.run.data, plan.facts.model
    validated = validate_data(
        loaded,
        config,
        tokenizer,
        task=plan.run.task,
        max_length=config.max_length,
        positions=positions(plan.run, model),
        embedding=EmbeddingRows(model.vocab_size, model.folder),
        label_last=_label_last(plan),
        reporter=reporter,
        store=EncodedRows([run.file(file_names.RUN_JSON)]),
    )
    bad_rows = left_out(validated.loaded, config)
    if writes_files:
        _write_bad_rows(run, bad_rows)
    raise_if_stopped(validated, config)
    return _TokenizedRows(validated.summary, bad_rows, validated.train, validated.held_out)


def _baseline(loaded: LoadedExamples, plan: Plan) -> BaselineRecord | None:
    """What a constant answer would score on the held-out rows; None for tasks that generate."""
    if not loaded.held_out or plan.run.task == "causal_lm" or plan.run.task == "seq2seq":
        return None
    name = "mean" if plan.facts.data.problem_type == "regression" else "majority class"
    scores = majority_scores(loaded.train, loaded.held_out, plan.facts.data.problem_type)
    return BaselineRecord(name=name, scores=dict(scores))


def _paths(key: str) -> tuple[Path, Path, Path]:
    folder = home() / "encoded" / key
    return folder / "account.json", folder / "train.i32", folder / "held_out.i32"


def _read_cache(key: str) -> _TokenizedRows | None:
    """The cached rows of this key, if all files are intact and were written together."""
    account_path, *row_paths = _paths(key)
    stored = unseal_object(account_path)
    if stored is None or stored["key"] != key or stored["files"] != [_digest(path) for path in row_paths]:
        return None
    train, held_out = (tokenized_cache.load(path) for path in row_paths)
    if train is None or held_out is None:
        return None
    bad_rows = [RejectedRow(**row) for row in stored["left_out"]]
    return _TokenizedRows(DataSummary.model_validate(stored["account"]), bad_rows, train, held_out)


def _digest(path: Path) -> str:
    return sha256(path) if path.is_file() else ""


def _write_cache(key: str, rows: _TokenizedRows) -> None:
    account_path, *row_paths = _paths(key)
    for path, tokenized in zip(row_paths, (rows.train, rows.held_out), strict=True):
        atomic_io.write_cached(path, tokenized_cache.dump(tokenized))
    files = [_digest(path) for path in row_paths]
    summary, bad_rows = rows.summary.model_dump(mode="json"), [asdict(row) for row in rows.bad_rows]
    stored = {"key": key, "account": summary, "left_out": bad_rows, "files": files}
    atomic_io.write_cached(account_path, seal_object(account_path, stored))


def _write_bad_rows(run: RunDir, bad_rows: Sequence[RejectedRow]) -> None:
    if bad_rows:
        atomic_io.write_jsonl(run.file(file_names.BAD_ROWS), [asdict(row) for row in bad_rows])
