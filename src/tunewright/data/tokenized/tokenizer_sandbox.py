"""A stranger's tokenizer.json is tried before it is used, in a process with limits.

Steps of a tokenizer may double a text forty times, repeat one text a thousand times, or never end on a long word. What
held once is remembered by its digest, so that a sound tokenizer is tried once.
"""

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from tokenizers import Tokenizer

from tunewright.i18n import N_, Phrase
from tunewright.security import home
from tunewright.security.normalizer_growth import MOST_GROWTH, growth, replaced
from tunewright.security.processes import limit_this_process, tried

FORMAT = 1  # one more whenever more is tried
MAX_BYTES = 256 * 2**20
SECONDS, MEGABYTES = 10, 512  # for a small file; reading a large one takes some of both
_BYTES_A_SECOND, _MEMORY_A_BYTE = 4 * 2**20, 24
_ALLOWANCE = 16  # characters that any text may grow by: special tokens around it
_LONG = 20_000
# Ciphers, blanks and signs of all sizes in UTF-8, one long word, one long line of blanks, and prose.
SAMPLES = (
    "",
    "".join(map(chr, range(32, 127))),
    "Ä é ß 数据 데이터 данные 👩‍👩‍👧 \u0130 \ufb01 \u3000\n\n\t" * 3,
    "a" * _LONG,
    " " * _LONG,
    "é" * 2_000,
    'The quick brown fox, aged 12345, said: "Why not?" It\'s 3.14 x 10^2 here.\n' * (_LONG // 75),
)


def tokenizer_fault(file: Path) -> Phrase | None:
    """Why no text can be given to this tokenizer.json, or None. Raises: OSError."""
    size = file.stat().st_size
    if size > MAX_BYTES:
        return too_large()
    mark = _mark(file)
    if mark.is_file():
        return None
    seconds, megabytes = SECONDS + size // _BYTES_A_SECOND, MEGABYTES + _MEMORY_A_BYTE * size // 2**20
    request = {"file": str(file.absolute()), "seconds": seconds, "megabytes": megabytes}
    answer = tried("tunewright.data.tokenized.tokenizer_sandbox", request)
    if answer is None:
        reason = N_("it takes more than {seconds} seconds or {megabytes} MB for short texts")
        return Phrase(reason, seconds=seconds, megabytes=megabytes)
    if answer.get("factor"):
        return Phrase(N_("its replacements make a text {factor} times longer"), factor=answer["factor"])
    if answer.get("after"):
        reason = N_("it makes {after} tokens of a text of {before} characters, or text of those tokens")
        return Phrase(reason, before=answer["before"], after=answer["after"])
    if answer.get("panic"):
        return Phrase(N_("it fails on a short text ({fault})"), fault=answer["panic"])
    _remember(mark)
    return None


def too_large() -> Phrase:
    """What is said of a file of more than MAX_BYTES."""
    return Phrase(N_("it is larger than {megabytes} MB"), megabytes=MAX_BYTES // 2**20)


def _mark(file: Path) -> Path:
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    return home() / "tried" / f"tokenizer-{FORMAT}-{version('tokenizers')}-{digest[:32]}"


def _remember(mark: Path) -> None:
    """An empty file that says so; where none can be written it is tried again the next time."""
    with suppress(OSError):
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()


def _attempt(file: Path) -> Mapping[str, object]:
    """What is wrong, in numbers; nothing for a file that is not a tokenizer, which is reported when loaded."""
    try:
        backend = Tokenizer.from_file(str(file))
    except BaseException:  # tokenizers' panics are not an Exception
        return {}
    state = json.loads(file.read_bytes())
    if (factor := max(growth(state.get(step)) for step in ("normalizer", "decoder"))) > MOST_GROWTH:
        return {"factor": f"{factor:.0e}"}
    backend.no_truncation()
    backend.no_padding()
    for text in (*SAMPLES, *_own_texts(state)):
        most = MOST_GROWTH * (len(text.encode("utf-8", "replace")) + _ALLOWANCE)
        try:
            after = _growth_of(text, backend, most)
        except Exception:  # it has no token for a part of this text, and may have them all for the rows
            continue
        except BaseException as fault:
            return {"panic": str(fault)[:200]}
        if after > most:
            return {"before": len(text), "after": after}
    return {}


def _growth_of(text: str, backend: Tokenizer, most: int) -> int:
    """The tokens, of one text or of two, or the characters that are written of them, whichever are more."""
    ids = backend.encode(text, add_special_tokens=True).ids
    pair = backend.encode(text, text, add_special_tokens=True).ids
    decoded = backend.decode(ids[:most])
    return max(len(ids), len(pair) // 2, len(decoded) // MOST_GROWTH)


def _own_texts(state: Mapping[str, object]) -> Iterator[str]:
    """What the tokenizer's own steps look for, several times over."""
    for step in ("normalizer", "pre_tokenizer", "decoder"):
        for text in replaced(state.get(step)):
            yield text[:200] * 4


if __name__ == "__main__":
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    request = json.load(sys.stdin)
    limit_this_process(request["seconds"], request["megabytes"])
    json.dump(_attempt(Path(request["file"])), sys.stdout)
