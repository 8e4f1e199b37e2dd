"""A folder of benchmark tasks before lm-evaluation-harness opens it: YAML and data, and nothing that runs code.

The harness itself imports what `!function` and `class` name, runs metrics that are scripts, and takes any loader of data.
Templates are jinja2's and are rendered in its sandbox (extras/lm_eval/harness_worker.py).
"""

import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from tunewright.errors import Where, error
from tunewright.i18n import N_, Phrase
from tunewright.security.paths import check_link
from tunewright.security.yaml_scan import has_alias

_MAX_BYTES = 2**20
_MAX_DEPTH = 30
# use_prompt reads further files; the last three reach `generate`, which runs what they name.
_REFUSED_KEYS = (
    "class",
    "custom_dataset",
    "unsafe_code",
    "hf_evaluate",
    "use_prompt",
    "custom_generate",
    "trust_remote_code",
    "assistant_model",
)
_LOADERS = ("json", "csv", "parquet", "arrow", "text")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_WORD = re.compile(r"\w+")


def gate_task_folder(folder: Path) -> None:
    """Raises: ExportError E608 for a folder without tasks, or one that names code; ModelError E315 for links out of it."""
    files = sorted(folder.rglob("*.yaml")) if folder.is_dir() else []
    if not files:
        raise error("E608", Where(str(folder)), reason=N_("there is no task (.yaml) in it"))
    seen: set[Path] = set()
    while files:
        file = files.pop()
        if file not in seen:
            seen.add(file)
            check_link(folder, file)
            files += _included(folder, file)


def _included(folder: Path, file: Path) -> list[Path]:
    """The files that a task is made of besides its own, once nothing in it names code."""
    included = []
    for key, node in _values(_root(file), file):
        reason = _fault(key, node)
        if reason:
            mark = node.start_mark
            raise error("E608", Where(str(file), mark.line + 1, mark.column + 1), reason=reason)
        if key == "include" and isinstance(node, yaml.ScalarNode):
            path = file.parent / node.value
            check_link(folder, path)
            if not path.is_file():
                raise error(
                    "E608",
                    Where(str(file), node.start_mark.line + 1),
                    reason=Phrase(N_("{name} is missing"), name=f"include: {node.value}"),
                )
            included.append(path)
    return included


def _root(file: Path) -> yaml.Node | None:
    try:
        if not file.is_file():
            raise error("E608", Where(str(file)), reason=N_("not a file"))
        if file.stat().st_size > _MAX_BYTES:
            raise error("E608", Where(str(file)), reason=Phrase(N_("larger than {count} bytes"), count=_MAX_BYTES))
        text = file.read_text(encoding="utf-8")
        if has_alias(text):
            raise error("E608", Where(str(file)), reason=N_("aliases are not read"))
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as fault:
        raise error("E608", Where(str(file)), reason=str(fault).split("\n", 1)[0]) from fault


def _values(root: yaml.Node | None, file: Path) -> Iterator[tuple[str, yaml.Node]]:
    """Every value with its key, at any depth; items of a list have that of the list."""
    waiting = [("", root, 0)] if root else []
    while waiting:
        key, node, depth = waiting.pop()
        if depth > _MAX_DEPTH:
            raise error("E608", Where(str(file)), reason=Phrase(N_("nested more than {count} deep"), count=_MAX_DEPTH))
        yield key, node
        if isinstance(node, yaml.MappingNode):
            for name, value in node.value:
                yield "", name
                waiting.append((str(name.value), value, depth + 1))
        elif isinstance(node, yaml.SequenceNode):
            waiting.extend((key, item, depth + 1) for item in node.value)


def _fault(key: str, node: yaml.Node) -> str:
    """What of a value names code, in a phrase; empty if nothing does."""
    if not node.tag.startswith("tag:yaml.org,2002:") or "python" in node.tag:
        return Phrase(N_("{name} names code"), name=node.tag)
    if key in _REFUSED_KEYS:
        return Phrase(N_("{name} names code"), name=key)
    text = node.value if isinstance(node, yaml.ScalarNode) else ""
    if key == "metric" and text and not _WORD.fullmatch(text):
        return Phrase(N_("{name} is not a metric of the harness"), name=f"metric: {text}")
    if key == "dataset_path" and text and text not in _LOADERS and not _HUB_ID.fullmatch(text):
        return f"dataset_path: {text} is none of {', '.join(_LOADERS)} and no Hub id"
    return ""
