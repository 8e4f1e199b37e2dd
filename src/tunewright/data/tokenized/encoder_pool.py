"""Examples encoded by several processes: each is given chunks and answers with blocks, which one process would have made alike.

What a process does not answer, this one encodes. Rendering a chat template in Python takes most of the time, which threads
would have to share; the tokenizer's own threads are off in each process.
"""

import json
from base64 import b64decode
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from subprocess import PIPE, Popen
from typing import TypedDict

from tunewright.data.examples.formats import Example
from tunewright.data.stored_examples import as_json
from tunewright.data.tokenized.tokenization import (
    EncodedChunk,
    EncodingRules,
    chunks_of,
    cut_block,
    encode_chunk,
    key_of_chunk,
)
from tunewright.data.tokenized.tokenized_cache import Store
from tunewright.security import command, spawn

MODULE = "tunewright.data.tokenized.encoder_worker"
CHUNKS_AHEAD = 3  # for each process: one that it encodes, one that it may begin, one that waits to be read
ENVIRONMENT = {"TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1"}


class EncoderPool:
    """Processes that encode chunks; one that ends is done without."""

    def __init__(self, workers: Sequence["Popen[str]"], threads: ThreadPoolExecutor, rules: EncodingRules) -> None:
        self._num_workers, self._threads, self._rules = len(workers), threads, rules
        self._idle: SimpleQueue[Popen[str] | None] = SimpleQueue()
        for worker in workers:
            self._idle.put(worker)

    def encode_chunks(self, examples: Iterable[Example], store: Store) -> Iterator[EncodedChunk]:
        """As `tokenization.encode_chunks`, in the same order."""
        ahead: deque[tuple[list[Example], Future[tuple[str, bytes | None]]]] = deque()
        for chunk in chunks_of(examples):
            ahead.append((chunk, self._threads.submit(self._block, chunk, store)))
            if len(ahead) > CHUNKS_AHEAD * self._num_workers:
                yield self._taken(*ahead.popleft(), store)
        while ahead:
            yield self._taken(*ahead.popleft(), store)

    def _block(self, chunk: Sequence[Example], store: Store) -> tuple[str, bytes | None]:
        """The key of a chunk, and its block by one of the processes; none where the store has it, or none of them is left."""
        key = key_of_chunk(chunk, self._rules)
        if store.read(key) is not None:
            return key, None
        content, worker = None, self._idle.get()
        try:
            content = _answer(worker, key, chunk) if worker else None
        finally:
            self._idle.put(None if content is None else worker)
        return key, content

    def _taken(self, chunk: Sequence[Example], block: "Future[tuple[str, bytes | None]]", store: Store) -> EncodedChunk:
        """The rows of a chunk. The store is written by this thread alone, as what makes files private is one for all of them."""
        key, content = block.result()
        known = cut_block(chunk, content, key, self._rules) if content else None
        if known and content:
            store.write(key, content)
        return known or encode_chunk(chunk, self._rules, store)


def _answer(worker: "Popen[str]", key: str, chunk: Sequence[Example]) -> bytes | None:
    """The block that a process makes of a chunk, nothing where it read another one; None if it has ended."""
    assert worker.stdin and worker.stdout
    try:
        worker.stdin.write(json.dumps({"key": key, "examples": [as_json(example) for example in chunk]}) + "\n")
        worker.stdin.flush()
        answer = worker.stdout.readline()
        return b64decode(answer) if answer else None
    except (OSError, ValueError):  # it ended in the middle of a line
        return None


class TokenizerSetup(TypedDict):
    """What a process makes the tokenizer of its rules from."""

    folder: str
    template: str | None


@contextmanager
def encoder_pool(num_workers: int, rules: EncodingRules, setup: TokenizerSetup) -> Iterator[EncoderPool]:
    """So many processes with these rules."""
    tokenizer = rules.tokenizer
    first_line = json.dumps({
        **setup,
        "day": tokenizer.day.isoformat(),
        "rules": [rules.max_length, rules.train_on, rules.thinking, rules.turns, dict(rules.classes), rules.label_last, rules.task],
    })  # fmt: skip
    workers = [spawn(command(MODULE), stdin=PIPE, stdout=PIPE, environment=ENVIRONMENT) for _ in range(num_workers)]
    threads = ThreadPoolExecutor(num_workers)
    try:
        for worker in workers:
            with suppress(OSError):
                assert worker.stdin
                worker.stdin.write(first_line + "\n")
                worker.stdin.flush()
        yield EncoderPool(workers, threads, rules)
    finally:
        for worker in workers:
            worker.kill()
        threads.shutdown(cancel_futures=True)
        for worker in workers:
            worker.communicate()
