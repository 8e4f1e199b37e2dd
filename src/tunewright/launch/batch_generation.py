"""Answers to many prompts, written as they are generated.

Rows are answered in fixed batches. Each is appended to a file beside the target, named by a digest of the request; the same
request continues after the last whole batch, and gives the same file. Who writes that file holds its lock.
"""

import errno
import fcntl
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunewright.data.prompts import Prompt
from tunewright.data.tokenized.chat_template import as_turn
from tunewright.errors import error
from tunewright.i18n import N_, ngettext
from tunewright.reporting import PartReporter, Reporter
from tunewright.rundir import atomic_io
from tunewright.rundir.checkpoints import MANIFEST, sha256
from tunewright.rundir.run_dir import RunDir
from tunewright.rundir.session_protocol import PromptInput

PromptRows = list[dict[str, object]]
FIRST_ROWS = 8
LONGEST_NAME = 255  # bytes, on the usual file systems
MOST_ROWS = 128  # a batch costs little more than a row; a kill loses one batch at most


def batches(count: int) -> Iterator[range]:
    """All row indices in order: small batches first, so that there is soon something to see, then twice as many each time."""
    start, size = 0, FIRST_ROWS
    while start < count:
        yield range(start, min(count, start + size))
        start, size = start + size, min(MOST_ROWS, 2 * size)


def identity(run: RunDir, ask: Sequence[Any]) -> str:
    """A short digest of a request to a run, its adapter included."""
    manifest = run.adapter_dir / MANIFEST
    adapter = sha256(manifest) if manifest.is_file() else ""
    text = json.dumps([run.info().id, adapter, ask], sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def part_of(target: Path, name: str) -> Path:
    """The file of the answers to a request of this name until they are complete; it is called as much like it as fits."""
    ending = f".{name}.part"
    head = target.name.encode("utf-8", "surrogateescape")[: LONGEST_NAME - len(ending)]
    return target.with_name(head.decode("utf-8", "ignore") + ending)


@contextmanager
def sole_writer(part: Path, target: Path) -> Iterator[None]:
    """Hold the lock of a partial file; one that nothing was written to is removed again.

    Raises: TrainingError E524 while another process writes the same answers.
    """
    descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as fault:  # a file system without locks writes all the same
            if fault.errno in (errno.EAGAIN, errno.EACCES):
                reason = N_("another process is writing the same answers to it")
                raise error("E524", path=str(target), reason=reason) from fault
        try:
            yield
        finally:
            with suppress(FileNotFoundError):  # it has become the target
                if part.stat().st_size == 0:
                    atomic_io.drop(part)
    finally:
        os.close(descriptor)


def num_answered(part: Path, count: int) -> int:
    """How many rows an earlier attempt answered, in whole batches; an incomplete batch is cut off."""
    lines = part.read_bytes().split(b"\n")[:-1]
    done = max((rows.stop for rows in batches(count) if rows.stop <= len(lines)), default=0)
    atomic_io.cut(part, sum(len(line) + 1 for line in lines[:done]))
    return done


@dataclass(frozen=True)
class GenerationRequest:
    """Prompts and settings; `answer` generates the answers, as `TrainedRun.answers`, `opening` is the usual first turn."""

    prompts: Sequence[Prompt]
    answer: Callable[..., PromptRows]
    opening: Sequence[Mapping[str, str]]
    with_base: bool
    max_new_tokens: int

    def settings(self) -> list[Any]:
        """All that the answers depend on, besides the model."""
        rows = [[prompt.row, self._as_request(prompt)] for prompt in self.prompts]
        return [self.with_base, self.max_new_tokens, rows]

    def each(self, reporter: Reporter) -> Iterator[dict[str, object]]:
        """Every row with its answer, in order."""
        for numbers in batches(len(self.prompts)):
            yield from self._answered(numbers, reporter)

    def write(self, target: Path, name: str, reporter: Reporter) -> None:
        """Answer the remaining rows, and rename the file when it is complete.

        Raises: OSError, where the partial file stays; TrainingError E524 while another process writes the same answers.
        """
        part = part_of(target, name)
        with sole_writer(part, target):
            self._write(part, reporter)
            atomic_io.move_file(part, target)

    def _write(self, part: Path, reporter: Reporter) -> None:
        done = num_answered(part, len(self.prompts))
        if done:
            text = ngettext(
                "Continuing after the {count} answer in {path}", "Continuing after the {count} answers in {path}", done
            )
            reporter.note(text.format(count=done, path=part.name))
        for numbers in batches(len(self.prompts)):
            if numbers.start >= done:
                atomic_io.append_line(part, "\n".join(map(as_line, self._answered(numbers, reporter))))
                atomic_io.fsync(part)

    def _answered(self, numbers: range, reporter: Reporter) -> PromptRows:
        """The rows at these indices with their answers, as JSON."""
        batch = [self.prompts[number] for number in numbers]
        options: dict[str, object] = {
            "with_base": self.with_base,
            "max_new_tokens": self.max_new_tokens,
            "reporter": PartReporter(reporter, numbers.start, len(numbers), len(self.prompts)),
        }
        answers = self.answer([self._as_request(prompt) for prompt in batch], **options)
        key = "tuned_answer" if any("answer" in prompt.row for prompt in self.prompts) else "answer"
        names = {"tuned": key, "base": "base_answer", "tuned_probability": "probability"}
        return [
            _finite({**prompt.row, **{names.get(who, who): text for who, text in answer.items() if text is not None}})
            for prompt, answer in zip(batch, answers, strict=True)
        ]

    def _as_request(self, prompt: Prompt) -> PromptInput:
        """The prompt as a session takes it."""
        if prompt.words:
            return {"words": list(prompt.words)}
        if not prompt.turns:
            return {"text": prompt.text, "pair": prompt.pair}
        own = [as_turn(turn) for turn in prompt.turns]
        turns = own if own[0]["role"] == "system" else [*self.opening, *own]
        return {"turns": turns, "tools": list(prompt.tools)} if prompt.tools else turns


def _finite(value: Any) -> Any:
    """Numbers that JSON can hold; NaN and infinities become None, wherever they are."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def as_line(row: Mapping[str, object]) -> str:
    return json.dumps(row, ensure_ascii=False, allow_nan=False)


def not_finite(rows: Sequence[Any]) -> int:
    """How many numbers in these values JSON cannot represent."""
    return sum(map(_not_finite, rows))


def _not_finite(value: Any) -> int:
    if isinstance(value, float):
        return not -float("inf") < value < float("inf")
    if isinstance(value, Mapping):
        return not_finite(list(value.values()))
    return not_finite(value) if isinstance(value, list | tuple) else 0
