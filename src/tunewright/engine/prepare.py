"""The data of a run, gated and encoded once, from the cache where it is there."""

import hashlib
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunewright.data import cache
from tunewright.data.encode import Encoded
from tunewright.data.formats import Example
from tunewright.data.gate import gate, raise_if_stopped
from tunewright.data.loading import Loaded, data_fingerprint, load_examples
from tunewright.data.pieces import seen_rows
from tunewright.data.quarantine import left_out
from tunewright.data.score import majority_scores
from tunewright.data.tokenizer import TextTokenizer
from tunewright.data.vocabulary import Embedding
from tunewright.errors import error
from tunewright.planning.check import positions
from tunewright.planning.plan import Plan
from tunewright.rundir import durable, layout
from tunewright.rundir.checkpoints import sha256
from tunewright.rundir.store import RunDir
from tunewright.trust import home, narrow


@dataclass
class Prepared:
    """What is trained on, what is held out, and the texts of the held-out answers by row."""

    train: list[Encoded]
    held_out: list[Encoded]
    account: dict[str, Any]
    held_out_examples: dict[int, Example]
    baseline: dict[str, Any] | None


def prepare(
    plan: Plan, run: RunDir, tokenizer: TextTokenizer, progress: Callable[[int, int], None] = lambda done, total: None,
    note: Callable[[str], None] = lambda text: None,
) -> Prepared:  # fmt: skip
    """Encode the rows of the plan. A cache that cannot be written is noted, and done without.

    Raises: DataError for what must stop the run, after rows.bad.jsonl is written.
    """
    spec, length = plan.run.data, plan.run.data.max_length
    assert length != "auto"
    now = data_fingerprint(spec)
    if now != plan.facts.data.fingerprint:
        raise error("E502", key="data", old=plan.facts.data.fingerprint[:12], new=now[:12])
    assert plan.run.task != "auto"
    loaded = load_examples(spec, plan.run.train.data_seed, plan.run.task)
    examples = {example.number: example for example in loaded.held_out}
    label_last = plan.facts.model.kind == "decoder"  # what only looks back knows a word at its end
    room = positions(plan.run, plan.facts.model)
    key = cache.key_of(
        {
            "data": plan.facts.data.fingerprint,
            "spec": spec.model_dump(mode="json"),
            "seed": plan.run.train.data_seed,
            "tokenizer": sha256(Path(plan.facts.model.tokenizer_folder) / "tokenizer.json"),
            "task": plan.run.task,
            "label_last": label_last,
            "template": tokenizer.chat_template,
            "day": tokenizer.day.isoformat() if tokenizer.is_dated else None,
            "end_ids": tokenizer.end_ids,
            "room": [room, plan.facts.model.vocab_size],
        }
    )
    started = time.perf_counter()
    cached = _read_cache(key)
    if cached:
        account, bad_rows, train, held_out = cached
        with suppress(OSError):  # the same rows may have been public when they were encoded
            narrow([_paths(key)[0].parent, *_paths(key)], [run.file(layout.RUN_JSON)])
        _write_bad_rows(run, bad_rows)
    else:
        gated = gate(
            loaded,
            spec,
            tokenizer,
            task=plan.run.task,
            max_length=length,
            positions=room,
            embedding=Embedding(plan.facts.model.vocab_size, plan.facts.model.folder),
            label_last=label_last,
            progress=progress,
        )
        bad_rows = left_out(gated.loaded, spec)
        _write_bad_rows(run, bad_rows)
        raise_if_stopped(gated, spec)
        account, train, held_out = gated.account, gated.train, gated.held_out
        try:
            _write_cache(key, account, bad_rows, train, held_out)
        except OSError as fault:
            note(f"the encoded rows are not kept for the next run: {fault.strerror or fault} ({home()})")
    seconds, rows = time.perf_counter() - started, len(train) + len(held_out)
    pace = {"seconds": round(seconds, 3), "rows_per_second": round(rows / seconds)}
    durable.write_json(run.file(layout.PREPARED), {"key": key, "from_cache": bool(cached), **pace, **account})
    seen = seen_rows(train, tokenizer, plan.run.task, loaded.labels, loaded.problem_type)
    durable.write_jsonl(run.file(layout.SEEN_ROWS), seen)
    return Prepared(train, held_out, account, examples, _baseline(loaded, plan))


def _baseline(loaded: Loaded, plan: Plan) -> dict[str, Any] | None:
    """What answering always the same would score on the held-out rows; None for tasks that write."""
    if not loaded.held_out or plan.run.task == "causal_lm" or plan.run.task == "seq2seq":
        return None
    name = "mean" if plan.facts.data.problem_type == "regression" else "majority class"
    return {"name": name, "scores": majority_scores(loaded.train, loaded.held_out, plan.facts.data.problem_type)}


def _paths(key: str) -> tuple[Path, Path, Path]:
    folder = home() / "encoded" / key
    return folder / "account.json", folder / "train.i32", folder / "held_out.i32"


def _read_cache(key: str) -> tuple[dict[str, Any], list[dict[str, Any]], list[Encoded], list[Encoded]] | None:
    """What was kept under this key, if all of it is as it was written."""
    paths = _paths(key)
    try:
        rows, tests = (cache.load(path) for path in paths[1:])
        known = json.loads(paths[0].read_text(encoding="utf-8"))
        is_whole = known["sha256"] == _digest(known["account"], known["left_out"])
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        return None
    return (
        (known["account"], known["left_out"], rows, tests)
        if is_whole and rows is not None and tests is not None
        else None
    )


def _write_cache(
    key: str, account: dict[str, Any], bad_rows: list[dict[str, Any]], train: list[Encoded], held_out: list[Encoded]
) -> None:
    account_path, train_path, held_out_path = _paths(key)
    account_path.parent.mkdir(parents=True, exist_ok=True)
    durable.write_bytes(train_path, cache.dump(train))
    durable.write_bytes(held_out_path, cache.dump(held_out))
    stored = {"account": account, "left_out": bad_rows, "sha256": _digest(account, bad_rows)}
    durable.write_json(account_path, stored)


def _digest(account: dict[str, Any], bad_rows: list[dict[str, Any]]) -> str:
    return hashlib.sha256(json.dumps([account, bad_rows], sort_keys=True).encode()).hexdigest()


def _write_bad_rows(run: RunDir, bad_rows: list[dict[str, Any]]) -> None:
    if bad_rows:
        durable.write_jsonl(run.file(layout.BAD_ROWS), bad_rows)
