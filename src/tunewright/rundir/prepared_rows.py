"""All rows of a plan, encoded, in the cache by content: written once, whole or not at all, and mapped by whoever trains on them.

A folder for each set of rows: files of encoded rows (data/tokenized/mapped_rows.py) and `account.json`, sealed, with the digest
of every file. It is written under another name and renamed.
"""

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from tunewright.data.examples.formats import Example
from tunewright.data.load_examples import ROWS_IN_MEMORY, each_training_example
from tunewright.data.loaded_examples import LoadedExamples
from tunewright.data.rejected_rows import RejectedRow, left_out
from tunewright.data.summary import DataSummary
from tunewright.data.tokenized.encoder_pool import TokenizerSetup, encoder_pool
from tunewright.data.tokenized.mapped_rows import DamagedRows, MappedRows, RowWriter, open_rows
from tunewright.data.tokenized.tokenization import CHUNK, EncodedChunk, EncodingRules, TokenizedExample, encode_chunks
from tunewright.data.tokenized.tokenized_cache import key_of
from tunewright.data.tokenized.tokenized_preview import PreviewRow, preview_rows
from tunewright.data.tokenized.tokenizer import TextTokenizer
from tunewright.data.tokenized.vocabulary_check import EmbeddingRows
from tunewright.data.validation import RowSink, ValidatedData, raise_if_stopped, rules_for, validate_rows
from tunewright.i18n import N_, Phrase
from tunewright.inspection.machine_info import num_cpus
from tunewright.metrics.scoring import majority_scores
from tunewright.planning.check_config import positions
from tunewright.planning.run_plan import Plan
from tunewright.reporting import SILENT, Reporter
from tunewright.rundir import atomic_io
from tunewright.rundir.checkpoints import sha256
from tunewright.rundir.encoded_rows import EncodedRows
from tunewright.rundir.records import BaselineRecord
from tunewright.security import as_private_as, cache_faults, home, narrow, seal_object, unseal_object

ACCOUNT = "account.json"
SIDES = ("train", "held_out")
STAGED = ".staging-"


@dataclass(frozen=True)
class PreparedRows:
    """All rows that are used, the records of those that are not, and what is said of them; `key` is that of the cache."""

    key: str
    summary: DataSummary
    bad_rows: list[RejectedRow]
    train: Sequence[TokenizedExample]
    held_out: Sequence[TokenizedExample]
    seen: list[PreviewRow]
    baseline: BaselineRecord | None
    is_cached: bool = True


@dataclass(frozen=True)
class Preparation:
    """How the rows of a plan are encoded: for whom they are private, and who is told of rows that are left out."""

    plan: Plan
    loaded: LoadedExamples
    tokenizer: TextTokenizer
    originals: Sequence[Path]
    reporter: Reporter = SILENT
    when_left_out: Callable[[list[RejectedRow]], None] = field(default=lambda _rows: None)

    def rows(self, *, is_ahead: bool = False) -> PreparedRows:
        """The rows, from the cache or encoded now. If a few rows cannot be kept there, a note says so.

        `is_ahead`, where they are for later runs, computes every digest of what is there. Raises: DataError for what must stop
        the run; TrainingError E517 where the disk refuses very many rows, or any that are for later runs.
        """
        key = key_of_plan(self.plan, self.tokenizer)
        if rows := self._read(key, checks_all=is_ahead):
            return rows
        if self.loaded.num_train + len(self.loaded.held_out) <= ROWS_IN_MEMORY:
            return self._of_memory(key, is_ahead=is_ahead)
        with cache_faults(), _alone(key, self.reporter) as staged:
            return self._read(key) or self._of_files(key, staged)

    def _read(self, key: str, *, checks_all: bool = False) -> PreparedRows | None:
        try:
            rows = read(key, checks_all=checks_all)
        except DamagedRows as fault:
            text = N_("Encoded rows in the cache are damaged ({file}) and are encoded again")
            self.reporter.note(Phrase(text, file=str(fault)))
            return None
        if rows:
            with suppress(OSError):  # the same rows may have been public when they were encoded
                narrow([folder_of(key), *folder_of(key).iterdir()], self.originals)
            self.when_left_out(rows.bad_rows)
        return rows

    def _of_memory(self, key: str, *, is_ahead: bool) -> PreparedRows:
        """The rows encoded now, as lists, and kept for the next one where that is possible, or must be: TrainingError E517."""
        train: list[TokenizedExample] = []
        held_out: list[TokenizedExample] = []
        encode = partial(encode_chunks, rules=self._rules, store=EncodedRows(self.originals))
        account, bad_rows = self._validated(encode, (train, held_out))
        rows = self._prepared(key, account, bad_rows, train, held_out)
        try:
            with as_private_as(self.originals), atomic_io.staging(home() / "encoded") as staged:
                writers = _writers(staged)
                for writer, own in zip(writers, (train, held_out), strict=True):
                    writer.extend(own)
                _publish(staged, rows, writers)
        except OSError as fault:
            if is_ahead:
                with cache_faults():
                    raise
            text = N_("the tokenized rows are not cached for the next run: {reason} ({folder})")
            self.reporter.note(Phrase(text, reason=str(fault.strerror or fault), folder=str(home())))
            return rows
        return self._fresh(key) or rows  # as they lie there they take a tenth of the memory

    def _of_files(self, key: str, staged: Path) -> PreparedRows:
        """The rows encoded now, by all cores, and written as they come. Raises: OSError where the disk refuses.

        Chunks are kept until all are written, so that whoever comes after one that was ended goes on where that was.
        """
        store, passed = EncodedRows(self.originals), list[str]()
        setup: TokenizerSetup = {
            "folder": self.plan.facts.model.tokenizer_folder,
            "template": self.plan.run.model.chat_template,
        }
        with as_private_as(self.originals), encoder_pool(num_cpus(), self._rules, setup) as pool:

            def encode(examples: Iterable[Example]) -> Iterator[EncodedChunk]:
                for number, chunk in enumerate(pool.encode_chunks(examples, store)):
                    if number >= ROWS_IN_MEMORY // CHUNK:  # a plan looks at the others
                        passed.append(chunk.key)
                    yield chunk

            atomic_io.make_folder(staged)
            writers = _writers(staged)
            account, bad_rows = self._validated(encode, writers)
            train, held_out = (writer.rows() for writer in writers)
            _publish(staged, self._prepared(key, account, bad_rows, train, held_out), writers)
        for chunk_key in passed:
            store.drop(chunk_key)
        rows = self._fresh(key)
        assert rows is not None
        return rows

    @property
    def _rules(self) -> EncodingRules:
        config = self.plan.run.data
        return rules_for(
            self.loaded, config, self.tokenizer, task=self.plan.run.task, max_length=config.max_length,
            label_last=_label_last(self.plan),
        )  # fmt: skip

    def _validated(
        self, encode: Callable[..., Iterator[EncodedChunk]], sinks: tuple[RowSink, RowSink]
    ) -> tuple[ValidatedData, list[RejectedRow]]:
        """The account of all rows, which go into the sinks. Raises: DataError for what must stop the run."""
        config, model = self.plan.run.data, self.plan.facts.model
        examples = each_training_example(self.loaded, config, self.plan.run.train.data_seed)
        account = validate_rows(
            self.loaded, (examples, self.loaded.num_train), self._rules, encode, sinks,
            positions=positions(self.plan.run, model), embedding=EmbeddingRows(model.vocab_size, model.folder),
            reporter=self.reporter,
        )  # fmt: skip
        bad_rows = left_out(account.loaded, config)
        self.when_left_out(bad_rows)
        raise_if_stopped(account, config)
        return account, bad_rows

    def _prepared(
        self,
        key: str,
        account: ValidatedData,
        bad_rows: list[RejectedRow],
        train: Sequence[TokenizedExample],
        held_out: Sequence[TokenizedExample],
    ) -> PreparedRows:
        loaded, task = self.loaded, self.plan.run.task
        seen = preview_rows(train, self.tokenizer, task, loaded.labels, loaded.problem_type)
        baseline = self._baseline()
        return PreparedRows(key, account.summary, bad_rows, train, held_out, seen, baseline, is_cached=False)

    def _baseline(self) -> BaselineRecord | None:
        """What a constant answer would score on the held-out rows; None for tasks that generate."""
        loaded, plan = self.loaded, self.plan
        if not loaded.held_out or plan.run.task == "causal_lm" or plan.run.task == "seq2seq":
            return None
        name = "mean" if plan.facts.data.problem_type == "regression" else "majority class"
        examples = each_training_example(loaded, plan.run.data, plan.run.train.data_seed)
        scores = majority_scores(examples, loaded.held_out, plan.facts.data.problem_type)
        return BaselineRecord(name=name, scores=dict(scores))

    @staticmethod
    def _fresh(key: str) -> PreparedRows | None:
        """What was just written, as it lies there."""
        with suppress(DamagedRows, OSError):
            return read(key, is_new=True)
        return None


def key_of_plan(plan: Plan, tokenizer: TextTokenizer) -> str:
    """Digest of everything that shapes the encoded rows of a plan."""
    return key_of(
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


def _label_last(plan: Plan) -> bool:
    return plan.facts.model.kind == "decoder"  # a causal model knows a word at its last token


def folder_of(key: str) -> Path:
    """Where the rows of a key are."""
    return home() / "encoded" / key


def read(key: str, *, checks_all: bool = False, is_new: bool = False) -> PreparedRows | None:
    """The rows of this key; None if there are none. Raises: DamagedRows with the name of a file that does not hold."""
    folder = folder_of(key)
    stored = unseal_object(folder / ACCOUNT)
    if stored is None:
        if folder.exists():
            raise DamagedRows(ACCOUNT)
        return None
    sides: dict[str, MappedRows] = {}
    for side in SIDES:
        files: dict[str, str] = stored["files"][side]
        sides[side] = open_rows([folder / name for name in files], checks_all=checks_all)
        for (name, digest), digest_now in zip(files.items(), sides[side].digests(), strict=True):
            if digest != digest_now:
                raise DamagedRows(name)
    return PreparedRows(
        key=key,
        summary=DataSummary.model_validate(stored["account"]),
        bad_rows=[RejectedRow(**row) for row in stored["left_out"]],
        train=sides["train"],
        held_out=sides["held_out"],
        seen=[PreviewRow.model_validate(row) for row in stored["seen"]],
        baseline=BaselineRecord.model_validate(stored["baseline"]) if stored["baseline"] else None,
        is_cached=not is_new,
    )


def _writers(folder: Path) -> tuple[RowWriter, RowWriter]:
    train, held_out = (RowWriter(folder, side, atomic_io.write_bytes) for side in SIDES)
    return train, held_out


def _publish(staged: Path, rows: PreparedRows, writers: Sequence[RowWriter]) -> None:
    """Seal what a folder holds and give it its name, unless another process was first. Raises: OSError."""
    with suppress(DamagedRows):
        if read(rows.key):
            return
    target = folder_of(rows.key)
    for writer in writers:
        writer.close()
    stored = {
        "key": rows.key,
        "account": rows.summary.model_dump(mode="json"),
        "left_out": [asdict(row) for row in rows.bad_rows],
        "seen": [row.to_stored() for row in rows.seen],
        "baseline": rows.baseline.to_stored() if rows.baseline else None,
        "files": {side: writer.digests for side, writer in zip(SIDES, writers, strict=True)},
    }
    atomic_io.write_bytes(staged / ACCOUNT, seal_object(target / ACCOUNT, stored))
    atomic_io.publish_folder(staged, target)


@contextmanager
def _alone(key: str, reporter: Reporter) -> Iterator[Path]:
    """A folder to write in, for one process at a time; others wait, and what one that was ended has left is removed.

    Where the file system has no locks nobody waits: each writes what all would.
    """
    parent = home() / "encoded"
    atomic_io.make_folder(parent)
    _sweep(parent)
    lock, staged = parent / f"{key}.lock", parent / f"{STAGED}{key}"
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        if not _locked(descriptor):
            reporter.note(N_("Another process is encoding the same rows; waiting for it"))
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        atomic_io.drop(staged)
        yield staged
    finally:
        atomic_io.drop(staged)
        os.close(descriptor)


def _sweep(parent: Path) -> None:
    """Remove what processes that were ended have left half written."""
    for lock in parent.glob("*.lock"):
        with suppress(OSError):
            descriptor = os.open(lock, os.O_RDWR | os.O_NOFOLLOW)
            try:
                if _locked(descriptor):
                    atomic_io.drop(parent / f"{STAGED}{lock.stem}")
            finally:
                os.close(descriptor)


def _locked(descriptor: int) -> bool:
    """Whether this process has the lock now; also where there are no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True
