"""What a run's base is made of, by content: so that other weights, another config, tokenizer or template are noticed.

Weights are read once: a digest is kept in the cache by place, size, inode and time of change. Files of the Hub's cache are
named by their sha256, and not read at all.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunewright.data.tokenized.chat_template import BUILT_IN
from tunewright.data.tokenized.tokenizer import MAX_TEMPLATE_BYTES, SPECIAL, TOOL_TEMPLATE, stored_template
from tunewright.errors import Problem, errors_of
from tunewright.i18n import N_, Phrase
from tunewright.inspection.builtin_models import BUNDLED
from tunewright.inspection.model_info import Contents, ModelInfo
from tunewright.inspection.weight_shards import weight_files
from tunewright.planning.run_plan import Plan
from tunewright.reporting import SILENT, Reporter
from tunewright.rundir import atomic_io
from tunewright.rundir.checkpoints import sha256
from tunewright.security import home, read_json, seal_object, unseal_object

LONG_BYTES = 2 * 10**9  # more than a few seconds of reading
BLOB = re.compile(r"[0-9a-f]{64}")
PARTS: Mapping[str, str] = {  # the fields of `Contents`, as people call them
    "weights": N_("set of base weights"),
    "tokenizer": N_("tokenizer"),
    "template": N_("chat template"),
    "tool_template": N_("chat template for tools"),
    "config": "config.json",
}
OF_NO_EFFECT = ("_name_or_path", "transformers_version")  # in a config: who wrote it, and where


@dataclass(frozen=True)
class BaseChange:
    """One part of a base that is not what a run began with; digests, of which the start is enough to tell them apart."""

    what: str
    old: str
    new: str


def read_contents(plan: Plan, *, reporter: Reporter = SILENT, use_cache: bool = True) -> Contents:
    """Digests of the current base. Without `use_cache` weights are read even where their digest is known.

    Raises: ModelError E309, E315, E320; OSError where a file cannot be read.
    """
    model = plan.facts.model
    return Contents(
        weights=_weights(model, reporter, use_cache=use_cache),
        tokenizer=_tokenizer(model),
        template=_template(model, plan.run.model.chat_template),
        tool_template=_tool_template(model, plan.run.model.chat_template),
        config=_model_config(model),
    )


def changes(plan: Plan, *, use_cache: bool = True) -> list[BaseChange]:
    """What is not as it was when the run was made; nothing of what was not written down when it was made.

    Raises: as `read_contents`.
    """
    then = plan.facts.model.contents
    if not then.weights:
        return []
    before, after = then.model_dump(), read_contents(plan, use_cache=use_cache).model_dump()
    pairs = [(what, before[part], after[part]) for part, what in PARTS.items()]
    return [BaseChange(what, old[:12], new[:12]) for what, old, new in pairs if old and old != new]


def refuse_without_base(plan: Plan) -> None:
    """Raises: ModelError E324 where the folder of the base is no longer there."""
    folder, name = Path(plan.facts.model.folder), plan.facts.model.name
    if not folder.is_dir():
        can_be_fetched = name in BUNDLED or "snapshots" in folder.parts
        raise errors_of([Problem("E324", values={"folder": str(folder)} | ({"name": name} if can_be_fetched else {}))])


def refuse_changed_base(plan: Plan, name: str) -> None:
    """For what would be wrong with another base; `name` is the run's. Raises: ModelError E324; TrainingError E515."""
    refuse_without_base(plan)
    if changed := changes(plan):
        raise errors_of(as_problems("E515", changed, name=name))


def as_problems(code: str, base_changes: list[BaseChange], **values: Any) -> list[Problem]:
    """A problem for each change."""
    return [
        Problem(code, values={"key": change.what, "old": change.old, "new": change.new, **values})
        for change in base_changes
    ]


def _weights(model: ModelInfo, reporter: Reporter, *, use_cache: bool) -> str:
    files = weight_files(Path(model.folder))
    size = sum(file.stat().st_size for file in files)
    if size > LONG_BYTES and any(_known(file) is None for file in files):
        reporter.note(
            Phrase(
                N_("Reading the weights once, to recognise them later ({gigabytes} GB)"), gigabytes=round(size / 1e9)
            )
        )
    digests = sorted(digest(file) if use_cache else sha256(file) for file in files)
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def digest(file: Path) -> str:
    """sha256 of a file, which is read only if it is another one than when it was last read."""
    known = _known(file)
    if known is None:
        known = sha256(file)
        with suppress(OSError):  # it is read again the next time
            place = _place(file)
            atomic_io.write_cached(place, seal_object(place, {**_stamp(file), "content": known}))
    return known


def _known(file: Path) -> str | None:
    """The digest without reading the file; None if it is not known, or was that of another file."""
    target = file.resolve()
    if target.parent.name == "blobs" and BLOB.fullmatch(target.name):
        return target.name
    stored = unseal_object(_place(file)) or {}
    is_same = {key: stored.get(key) for key in _stamp(file)} == _stamp(file)
    return str(stored["content"]) if is_same else None


def _place(file: Path) -> Path:
    name = hashlib.sha256(str(file.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:32]
    return home() / "digests" / f"{name}.json"


def _stamp(file: Path) -> dict[str, int]:
    """What changes when a file is written or replaced; the time of the inode cannot be set back."""
    stat = file.stat()
    return {"inode": stat.st_ino, "bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns, "ctime_ns": stat.st_ctime_ns}


def _tokenizer(model: ModelInfo) -> str:
    """tokenizer.json with the special tokens and end ids that the configs beside it name."""
    folder = Path(model.tokenizer_folder)
    config = _config(folder / "tokenizer_config.json")
    special = {name: config.get(name) for name in SPECIAL}
    ends = [_config(folder / name).get("eos_token_id") for name in ("generation_config.json", "config.json")]
    return _of([sha256(folder / "tokenizer.json"), special, ends])


def _template(model: ModelInfo, chat_template: str | None) -> str:
    """The source of the template in use: built in, of a file, or the folder's own."""
    folder = Path(model.tokenizer_folder)
    if chat_template is not None and chat_template in BUILT_IN:
        return _of(BUILT_IN[chat_template])
    path = Path(chat_template) if chat_template else folder / "chat_template.jinja"
    if path.is_file():
        return _of(_text(path))
    return _of(_config(folder / "tokenizer_config.json").get("chat_template"))


def _tool_template(model: ModelInfo, chat_template: str | None) -> str:
    """The source of the template for conversations with tools, which is used beside the folder's own template alone."""
    if chat_template is not None:
        return _of(None)
    folder = Path(model.tokenizer_folder)
    path = folder / TOOL_TEMPLATE
    if path.is_file():
        return _of(_text(path))
    return _of(stored_template(_config(folder / "tokenizer_config.json"), "tool_use"))


def _model_config(model: ModelInfo) -> str:
    """config.json, from which the architecture is built: the same weights compute other numbers with another one."""
    config = _config(Path(model.folder) / "config.json")
    return _of({name: value for name, value in config.items() if name not in OF_NO_EFFECT})


def _config(path: Path) -> dict[str, object]:
    return read_json(path) if path.is_file() else {}


def _text(path: Path) -> str:
    """The text of a template; one that is too long to be a template stands for itself by its beginning."""
    with path.open("rb") as file:
        return file.read(MAX_TEMPLATE_BYTES + 1).decode("utf-8", "surrogateescape")


def _of(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
