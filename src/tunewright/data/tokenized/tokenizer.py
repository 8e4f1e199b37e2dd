"""A model folder's tokenizer without transformers: `tokenizer.json`, special tokens, chat template.

Parent and worker read text through this one class, so what `data show` prints is what is trained on.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from tokenizers import Encoding, Tokenizer

from tunewright.data.examples.formats import Message
from tunewright.data.tokenized.chat_template import BUILT_IN, Tools, render, today
from tunewright.data.tokenized.template_sandbox import fault_of
from tunewright.data.tokenized.tokenizer_sandbox import tokenizer_fault
from tunewright.errors import Where, error
from tunewright.i18n import N_, Phrase
from tunewright.security import check_link, read_json

SHOWN = 120  # characters of a text that cannot be encoded
SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
TOOL_TEMPLATE = "additional_chat_templates/tool_use.jinja"
MAX_TEMPLATE_BYTES = 2**20  # the longest of well-known models have some tens of thousands
_HELD: WeakValueDictionary[str, Tokenizer] = WeakValueDictionary()  # by digest of the file; each takes some 25 MB


@dataclass(frozen=True)
class TextTokenizer:
    """Text to ids and back. `end_ids` are the ids that end generation: the first is written after a finished answer.

    `tool_template` writes conversations with tools, where a model has a template of its own for these. `day` is the date
    for templates that write one. `digest` is that of tokenizer.json; "" where it was not made from a file.
    """

    backend: Tokenizer
    special_tokens: dict[str, str]
    chat_template: str | None
    end_ids: tuple[int, ...]
    added_tokens: frozenset[str]
    unk_id: int | None
    tool_template: str | None = None
    day: datetime = field(default_factory=today)
    digest: str = ""

    @property
    def is_dated(self) -> bool:
        """Whether what it writes depends on the day."""
        return "strftime_now" in f"{self.chat_template}{self.tool_template}"

    @property
    def end_tokens(self) -> tuple[str, ...]:
        """The tokens that end generation, as texts."""
        known = range(self.backend.get_vocab_size(with_added_tokens=True))
        return tuple(token for i in self.end_ids if i in known and (token := self.backend.id_to_token(i)))

    @cached_property
    def begins_with_blank(self) -> bool:
        """Whether the tokenizer puts a blank in front of every text, as Llama 2's does."""
        tokens = self.backend.encode("a", add_special_tokens=False).tokens
        return tokens[0][0] in "\u2581\u0120" if tokens else False

    @property
    def pad_id(self) -> int:
        """The id that fills rows up; it is masked everywhere."""
        pad = self.special_tokens.get("pad_token")
        token_id = self.backend.token_to_id(pad) if pad else None
        return self.end_ids[0] if token_id is None else token_id

    def render(self, messages: Iterable[Message], *, tools: Tools = (), add_generation_prompt: bool = False) -> str:
        """The conversation in the model's chat template. Raises jinja2.TemplateError."""
        template = (self.tool_template if tools else None) or self.chat_template
        assert template is not None
        tokens = self.special_tokens
        return render(
            template, messages, tokens, tools=tools, add_generation_prompt=add_generation_prompt, day=self.day
        )

    def encode(self, text: str, *, add_special_tokens: bool = False) -> list[int]:
        """Ids of a text. Raises: ModelError E331 where the tokenizer fails on it."""
        with _failures([text]):
            ids: list[int] = self.backend.encode(text, add_special_tokens=add_special_tokens).ids
        return ids

    def encode_batch(
        self, texts: Sequence[str | tuple[str, str]], *, add_special_tokens: bool = False
    ) -> list[Encoding]:
        """Encodings of texts, or of pairs, with character offsets, in parallel. Raises: as `encode`."""
        with _failures(texts):
            encodings: list[Encoding] = self.backend.encode_batch(list(texts), add_special_tokens=add_special_tokens)
        return encodings

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        text: str = self.backend.decode(list(ids), skip_special_tokens=skip_special_tokens)
        return text


@contextmanager
def _failures(texts: Sequence[str | tuple[str, str]]) -> Iterator[None]:
    """Raises: ModelError E331 for what the library refuses or panics at, with the beginning of the text if it is one."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as fault:  # as when it is loaded
        text_head = str(texts[0] if len(texts) == 1 else texts)[:SHOWN]
        raise error("E331", reason=str(fault)[:SHOWN], text=text_head) from fault


def load_tokenizer(folder: Path, chat_template: str | None = None, day: datetime | None = None) -> TextTokenizer:
    """The tokenizer of a model folder.

    `chat_template` is None (the folder's own), a built-in name, or the path of a .jinja file; `day` is today, or that of a run.
    Raises: ModelError E304 without tokenizer.json or with a broken one, E309 for a broken config, E314 for a template
    that cannot be used, E315 for one that leads out of the folder, E330 for a tokenizer that takes too much.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise error("E304", folder=str(folder), reason=N_("tokenizer.json is missing"))
    try:
        fault = tokenizer_fault(path)
    except OSError as problem:
        raise error("E304", folder=str(folder), reason=problem.strerror or str(problem)) from problem
    if fault:
        raise error("E330", Where(str(path)), folder=str(folder), reason=fault)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    backend = _backend(path, digest)
    config = _read_json(folder / "tokenizer_config.json")
    special = {name: _content(config[name]) for name in SPECIAL if config.get(name)}
    template = _template(folder, config, chat_template, special)
    if chat_template in BUILT_IN and template and _begins_with_bos(backend, special):
        template = "{{ bos_token }}" + template  # bare users of the model get it from `tokenizer(prompt)`
    added = frozenset(token.content for token in backend.get_added_tokens_decoder().values() if token.special)
    unk = special.get("unk_token")
    return TextTokenizer(
        backend=backend,
        special_tokens=special,
        chat_template=template,
        end_ids=_end_ids(folder, backend, special),
        added_tokens=added,
        unk_id=backend.token_to_id(unk) if unk else None,
        tool_template=_tool_template(folder, config, special) if chat_template is None else None,
        day=day or today(),
        digest=digest,
    )


def _backend(path: Path, digest: str) -> Tokenizer:
    """What a file holds; the one that another look or plan of this process still has, where there is one."""
    backend = _HELD.get(digest)
    if backend is None:
        try:
            backend = Tokenizer.from_file(str(path))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as problem:  # tokenizers raises bare Exception, and its panics are none of them
            raise error("E304", folder=str(path.parent), reason=str(problem)) from problem
        backend.no_truncation()
        backend.no_padding()
        _HELD[digest] = backend
    return backend


def _begins_with_bos(backend: Tokenizer, special: dict[str, str]) -> bool:
    """Whether the tokenizer itself puts the beginning token in front of a text."""
    bos = backend.token_to_id(special["bos_token"]) if "bos_token" in special else None
    return bos is not None and backend.encode("a", add_special_tokens=True).ids[:1] == [bos]


def _content(token: Any) -> str:
    return str(token["content"] if isinstance(token, dict) and "content" in token else token)


def _read_json(path: Path) -> dict[str, object]:
    return read_json(path) if path.is_file() else {}


def _template(folder: Path, config: dict[str, object], requested: str | None, special: dict[str, str]) -> str | None:
    """The template, tried in a process with limits unless it is one of ours."""
    if requested is not None and requested in BUILT_IN:
        return BUILT_IN[requested]
    own = folder / "chat_template.jinja"
    if requested is not None and not Path(requested).is_file():
        raise error(
            "E101", path=requested, reason=Phrase(N_("no such template; built in: {names}"), names=", ".join(BUILT_IN))
        )
    path = Path(requested) if requested is not None else own
    source = _read_text(path) if path.is_file() else stored_template(config, "default")
    if source is not None:
        _try_template(source, path if path.is_file() else folder / "tokenizer_config.json", special)
    return source


def _tool_template(folder: Path, config: dict[str, object], special: dict[str, str]) -> str | None:
    """The template for conversations with tools, in the two places where transformers keeps named templates."""
    path = folder / TOOL_TEMPLATE
    check_link(folder, path)  # the gate of a folder looks at what is directly in it
    source = _read_text(path) if path.is_file() else stored_template(config, "tool_use")
    if source is not None:
        _try_template(source, path if path.is_file() else folder / "tokenizer_config.json", special)
    return source


def _try_template(source: str, path: Path, special: dict[str, str]) -> None:
    """Raises: ModelError E314 for a template that cannot be used."""
    reason, line = fault_of(source, special)
    if reason:
        where = Where(str(path), line if path.suffix == ".jinja" else 0)
        raise error("E314", where, file=where.file, reason=f"line {line}: {reason}" if line else reason)


def _read_text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_TEMPLATE_BYTES:
            reason = Phrase(N_("larger than {count} bytes"), count=MAX_TEMPLATE_BYTES)
            raise error("E314", Where(str(path)), file=str(path), reason=reason)
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        raise error("E314", Where(str(path)), file=str(path), reason=str(fault)) from fault


def stored_template(config: dict[str, object], name: str) -> str | None:
    """The template of a tokenizer's config: a text, which is the one called default, or one of a list."""
    stored = config.get("chat_template")
    if isinstance(stored, list):
        named = [entry for entry in stored if isinstance(entry, dict) and entry.get("name") == name]
        stored = named[0].get("template") if named else None
    elif name != "default":
        stored = None
    return stored if isinstance(stored, str) else None


def _end_ids(folder: Path, backend: Tokenizer, special: dict[str, str]) -> tuple[int, ...]:
    """The tokenizer's end token first, then the other tokens that end generation by the model's own configs."""
    ids = _ids(backend, special, "eos_token")
    for name in ("generation_config.json", "config.json"):
        value = _read_json(folder / name).get("eos_token_id")
        ids += [i for i in (value if isinstance(value, list) else [value]) if isinstance(i, int)]
    # Encoders write nothing and name no end token; what closes their texts is the separator.
    ids = ids or _ids(backend, special, "sep_token")
    if not ids:
        raise error("E304", folder=str(folder), reason=N_("no end token (eos_token) is named in its configs"))
    return tuple(dict.fromkeys(ids))


def _ids(backend: Tokenizer, special: dict[str, str], name: str) -> list[int]:
    """The id of a special token; nothing if the tokenizer names none."""
    token_id = backend.token_to_id(special[name]) if name in special else None
    return [] if token_id is None else [token_id]
