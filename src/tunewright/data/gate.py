"""The data gate: every row accounted for before the first step. Used by `data check`, the plan and the worker alike."""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tunewright.data import lint
from tunewright.data.encode import Encoded, encode
from tunewright.data.formats import Example, Format, sniff, to_examples
from tunewright.data.read import fingerprint, read_rows
from tunewright.data.tokenizer import TextTokenizer
from tunewright.errors import DataError, Problem, error, errors_of
from tunewright.spec.run import DataSpec

KIND_OF_CODE: Mapping[str, str] = {
    "E203": "empty",
    "E207": "missing_field",
    "E208": "role_order",
    "E209": "masked_out",
    "E214": "without_end_token",
    "E219": "refused_by_template",
}
KINDS = (
    "damaged", "empty", "missing_field", "role_order", "refused_by_template", "masked_out", "without_end_token",
    "truncated", "duplicate", "conflict", "leaked", "control_tokens",
)  # fmt: skip
SHOWN_NUMBERS = 1000


@dataclass
class Loaded:
    """The data as examples: what was read, how it was understood, what was wrong."""

    format: Format
    train: list[Example]
    held_out: list[Example]
    problems: list[Problem]
    rows_in: int
    leaked: list[Example] = field(default_factory=list)

    @property
    def bad_rows(self) -> int:
        return len({(p.where.file, p.values.get("row")) for p in self.problems})


@dataclass
class Gated:
    """The data as the model sees them, with the account of every row."""

    loaded: Loaded
    train: list[Encoded]
    held_out: list[Encoded]
    account: dict[str, Any]
    warnings: list[Problem]


def load_examples(spec: DataSpec, seed: int) -> Loaded:
    """Read, recognise and split the rows; held-out rows that also stand in training are left out of held-out.

    Raises: DataError E201, E202, E210, E211, E212, E217, E220.
    """
    raw = read_rows(spec.train, hub_split=spec.split)
    if not raw.rows and raw.problems:
        raise errors_of(raw.problems)
    if not raw.rows:
        raise error("E210", path=spec.train)
    fmt = sniff(raw.rows, spec.map)
    examples, problems = to_examples(raw.rows, fmt, spec.system)
    rows_in = len(raw.rows) + len(raw.problems)
    problems = raw.problems + problems
    if isinstance(spec.holdout, str):
        second = read_rows(spec.holdout, hub_split="test")
        held_examples, held_problems = to_examples(second.rows, sniff(second.rows, spec.map), spec.system)
        rows_in += len(second.rows) + len(second.problems)
        problems += second.problems + held_problems
        leaked_numbers = set(lint.leaks(examples, held_examples).numbers)
        leaked = [e for e in held_examples if e.number in leaked_numbers]
        held_out = [e for e in held_examples if e.number not in leaked_numbers]
        return Loaded(fmt, examples, held_out, problems, rows_in, leaked)
    train, held_out = lint.split(examples, spec.holdout, seed) if spec.holdout else (examples, [])
    return Loaded(fmt, train, held_out, problems, rows_in)


def data_fingerprint(spec: DataSpec) -> str:
    """sha256 of all data of a run: of the training rows, and of the held-out rows where they have a file of their own."""
    parts = [fingerprint(spec.train, hub_split=spec.split)]
    if isinstance(spec.holdout, str):
        parts.append(fingerprint(spec.holdout, hub_split="test"))
    return parts[0] if len(parts) == 1 else hashlib.sha256("".join(parts).encode()).hexdigest()


def gate(
    loaded: Loaded,
    spec: DataSpec,
    tokenizer: TextTokenizer,
    *,
    max_length: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Gated:
    """Encode all rows and account for each of them. Nothing is judged here; `judge` does that."""
    total = len(loaded.train) + len(loaded.held_out)
    train, bad = encode(
        loaded.train, tokenizer, max_length=max_length, train_on=spec.train_on, progress=lambda d, _: progress(d, total)
    )
    held_out, bad_held_out = encode(
        loaded.held_out,
        tokenizer,
        max_length=max_length,
        train_on=spec.train_on,
        progress=lambda d, _: progress(len(loaded.train) + d, total),
    )
    problems = sorted(
        [*loaded.problems, *bad, *bad_held_out], key=lambda p: (p.where.file, p.where.line, p.where.column)
    )
    loaded = Loaded(loaded.format, loaded.train, loaded.held_out, problems, loaded.rows_in, loaded.leaked)
    kinds = _kinds(loaded, train, tokenizer)
    lengths = sorted(row.full_length for row in (*train, *held_out))
    longest_prompt = max((row.prompt_length for row in (*train, *held_out)), default=0)
    account = {
        "format": loaded.format.name,
        "columns": dict(loaded.format.columns),
        "rows": loaded.rows_in,
        "used": len(train),
        "held_out": len(held_out),
        "dropped": loaded.bad_rows + len(loaded.leaked),
        "counts": {kind: len(kinds[kind]) for kind in KINDS},
        "numbers": {kind: kinds[kind][:SHOWN_NUMBERS] for kind in KINDS if kinds[kind]},
        "max_length": max_length,
        "lengths": {name: quantile(lengths, share) for name, share in QUANTILES.items()},
        "longest_prompt": longest_prompt,
        "tokens": sum(len(row.ids) for row in train),
        "label_tokens": sum(row.num_label_tokens for row in train),
    }
    return Gated(loaded, train, held_out, account, _warnings(account, lengths, tokenizer, train))


QUANTILES: Mapping[str, float] = {"median": 0.5, "p95": 0.95, "p99": 0.99, "longest": 1.0}


def quantile(ordered: Sequence[int], share: float) -> int:
    """The smallest value that at least this share of the ordered values does not exceed; 0 for no values."""
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)] if ordered else 0


def _kinds(loaded: Loaded, train: Sequence[Encoded], tokenizer: TextTokenizer) -> dict[str, list[int]]:
    kinds: dict[str, list[int]] = {kind: [] for kind in KINDS}
    for problem in loaded.problems:
        kinds[KIND_OF_CODE.get(problem.code, "damaged")].append(int(problem.values.get("row", problem.where.line)))
    kinds["truncated"] = [row.number for row in train if row.is_truncated]
    everything = [*loaded.train, *loaded.held_out]
    kinds["duplicate"] = list(lint.duplicates(everything).numbers)
    kinds["conflict"] = list(lint.conflicts(everything).numbers)
    kinds["leaked"] = [example.number for example in loaded.leaked]
    kinds["control_tokens"] = [e.number for e in everything if _has_control_token(e, tokenizer)]
    return {kind: sorted(set(numbers)) for kind, numbers in kinds.items()}


def _has_control_token(example: Example, tokenizer: TextTokenizer) -> bool:
    return any(token in message.content for message in example.messages for token in tokenizer.added_tokens)


def _warnings(
    account: Mapping[str, Any], lengths: Sequence[int], tokenizer: TextTokenizer, train: Sequence[Encoded]
) -> list[Problem]:
    counts = account["counts"]
    found = []
    if counts["truncated"]:
        values = {"count": counts["truncated"], "max_length": account["max_length"], "needed": lengths[-1]}
        found.append(Problem("W201", values=values))
    for code, kind in (("W211", "duplicate"), ("W212", "conflict"), ("W213", "leaked"), ("W215", "control_tokens")):
        if counts[kind]:
            found.append(Problem(code, values={"count": counts[kind]}))
    unknown = sum(row.ids.count(tokenizer.unk_id) for row in train) if tokenizer.unk_id is not None else 0
    if unknown > 0.01 * max(1, account["tokens"]):
        values = {"count": unknown, "percent": f"{unknown / account['tokens']:.1%}"}
        found.append(Problem("W214", values=values))
    return found


def judge(gated: Gated, spec: DataSpec) -> list[Problem]:
    """What must stop the run: damaged rows that were not knowingly left out, and thresholds that are passed."""
    loaded, counts = gated.loaded, gated.account["counts"]
    found: list[Problem] = []
    if loaded.problems and not spec.skip_bad:
        found += loaded.problems
        found.append(Problem("E216", values={"count": loaded.bad_rows, "rows": loaded.rows_in}))
    if not gated.train:
        found.append(Problem("E210", values={"path": spec.train}))
    limits = (
        (
            "truncated",
            spec.max_truncated,
            len(gated.train),
            "--set data.max_length=" + str(gated.account["lengths"]["longest"]),
        ),
        ("duplicate", spec.max_duplicates, loaded.rows_in, "--set data.max_duplicates=1"),
    )
    for kind, limit, rows, fix in limits:
        if rows and counts[kind] / rows > limit:
            values = {
                "count": counts[kind], "rows": rows, "percent": f"{counts[kind] / rows:.0%}",
                "what": kind, "limit": f"{limit:.0%}", "fix": fix,
            }  # fmt: skip
            found.append(Problem("E215", values=values))
    return found


def raise_if_stopped(gated: Gated, spec: DataSpec) -> None:
    """Raises: DataError with everything that must stop the run."""
    found = judge(gated, spec)
    if found:
        raise DataError(found)
