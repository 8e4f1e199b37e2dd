"""`explain WORD`: an error code, a config key, a preset or a term of the field, in a few sentences, offline.

Codes are explained from the catalogue, keys from their fields, terms from `config.terms`; no text of its own.
"""

import re
import string
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from tunewright.config.deprecated_keys import TOP, deprecated_keys
from tunewright.config.json_schema import OptionRow, option_rows
from tunewright.config.methods import METHODS
from tunewright.config.preset_table import PRESETS
from tunewright.config.run_config import RunConfig
from tunewright.config.schema_keys import SECTIONS, old_name, upstream
from tunewright.config.terms import Term, load_terms
from tunewright.errors import NOWHERE, error
from tunewright.errors.catalogue import load_catalogue
from tunewright.i18n import _, translations


@dataclass(frozen=True)
class Explanation:
    """What one word means: title, paragraphs, and lines to paste or do."""

    title: str
    kind: Literal["code", "key", "term"]
    paragraphs: tuple[str, ...]
    fixes: tuple[str, ...] = ()


def explain(word: str) -> Explanation:
    """What a code, a config key, a preset or a term means, in this process's language.

    Raises: ConfigError E111 for a word that is none of these, with the nearest known one.
    """
    query = word.strip()
    explanation = (
        _code(query.upper())
        or _preset(query.lower())
        or _method(query)
        or _key(query)
        or _term(_plain(query))
        or _old_key(query)
    )
    if explanation is None:
        known = {_plain(name): name for name in _words()}
        near = get_close_matches(_plain(query), known, 1, 0.6)
        suggestion = {"suggestion": known[near[0]]} if near else {}
        raise error("E111", NOWHERE, word=query, **suggestion)
    return explanation


def spell_out(template: str) -> str:
    """A sentence of the catalogue with its placeholders as words in capitals: unknown key "KEY" in SECTION."""
    parts = string.Formatter().parse(template)
    return "".join(text + (name.upper() if name else "") for text, name, _spec, _conversion in parts)


def _words() -> Iterator[str]:
    """Every word that can be explained, as one would type it."""
    yield from load_catalogue()
    yield from PRESETS
    yield from METHODS
    yield from (TOP, *SECTIONS)
    for row in option_rows():
        yield row.path
        yield row.path.rpartition(".")[2]
    for section in SECTIONS:
        yield from sorted(upstream(section))
    for term in load_terms():
        yield from _names(term)


def _plain(word: str) -> str:
    return word.strip().lower().replace("_", " ").replace("-", " ")


def _code(word: str) -> Explanation | None:
    entry = load_catalogue().get(word)
    if entry is None:
        return None
    ends = _("Exit code {code}.").format(code=entry.exit_code)
    paragraphs = (_(entry.cause),) if word[0] in "WD" else (_(entry.cause), ends)
    fixes = tuple(spell_out(_(fix)) for fix in entry.fixes if fix != "{fix}")
    return Explanation(f"{word}  {spell_out(_(entry.sentence))}", "code", paragraphs, fixes)


def _preset(word: str) -> Explanation | None:
    preset = next((preset for level, preset in PRESETS.items() if level == word), None)
    if preset is None:
        return None
    roles = _("layers by role: {roles}; r {r}, lora_alpha {alpha}")
    what = roles.format(roles=", ".join(preset.roles), r=preset.r, alpha=preset.lora_alpha)
    return Explanation(f"preset: {word}", "key", (_(preset.meaning), what), (f"--set preset={word}",))


def _method(word: str) -> Explanation | None:
    """A PEFT method by its name, or as people write it: what it learns, its fields, the paper."""
    plain = _plain(word)
    name = next((name for name, row in METHODS.items() if plain in (_plain(name), _plain(row.title))), None)
    if name is None:
        return None
    row = METHODS[name]
    own = [key for key, field in row.model.model_fields.items() if not field.exclude]
    paragraphs = [_(row.about), _("Fields: {names}").format(names=", ".join(own))]
    paragraphs += [_(term.text) for term in load_terms() if _plain(term.name) == _plain(row.title)]
    if row.model.upstream_fields():
        paragraphs.append(
            _("Passed on unchanged: {names}").format(
                names=", ".join(sorted(row.model.upstream_fields().keys() - set(own)))
            )
        )
    return Explanation(f"{name}: {row.title}", "key", tuple(paragraphs), (f"--method {name}",))


def _key(word: str) -> Explanation | None:
    """A whole path, its last part, a section, or a field of upstream; what is inside a value is left out."""
    path = word.partition("[")[0]
    rows = option_rows()
    matching = [row for row in rows if path == row.path or path.startswith(row.path + ".")]
    matching = matching or [row for row in rows if path == row.path.rpartition(".")[2]]
    if path in SECTIONS and not any(row.path == path for row in matching):
        return _section(path, rows)
    if path == TOP:
        return _section(TOP, rows)
    if matching:
        return _options(matching)
    section, dot, rest = path.partition(".")
    name = rest.partition(".")[0] if dot else section
    owner = next((s for s in SECTIONS if (s == section or not dot) and name in upstream(s)), None)
    if owner is None:
        return None
    text = _(
        "A field of transformers or peft that Tunewright neither chooses nor checks: its value is passed on unchanged."
    )
    same = [_(term.text) for term in load_terms() if _plain(name) in map(_plain, _names(term))]
    return Explanation(f"{owner}.{name}", "key", (text, *same), (f"--set {owner}.{name}=VALUE",))


def _options(rows: list[OptionRow]) -> Explanation:
    paragraphs: list[str] = []
    for row in rows:
        line = _("{path}: {type}; default: {default}")
        paragraphs += [row.description, line.format(path=row.path, type=row.type, default=row.default)]
    paragraphs += [_(term.text) for term in load_terms() if rows[0].path.rpartition(".")[2] in term.keys]
    paragraphs += [
        _(term.text) for term in load_terms() if _plain(term.name) == _plain(rows[0].path.rpartition(".")[2])
    ]
    fixes = tuple(f"--set {row.path}=VALUE" for row in rows)
    return Explanation(", ".join(row.path for row in rows), "key", tuple(dict.fromkeys(paragraphs)), fixes)


def _section(name: str, rows: list[OptionRow]) -> Explanation:
    """A section's meaning and its keys, each with the first words of its own meaning."""
    if name == TOP:
        about = _("What Tunewright is asked to do.")
        keys = [(key, _(field.description or "")) for key, field in RunConfig.model_fields.items()]
    else:
        about = _(RunConfig.model_fields[name].description or "")
        keys = [(row.path, row.description) for row in rows if row.path.startswith(name + ".")]
    paragraphs = [about, "\n".join(f"{key}: {meaning}" for key, meaning in keys)]
    if upstream(name):
        paragraphs.append(_("Passed on unchanged: {names}").format(names=", ".join(sorted(upstream(name)))))
    same = [_(term.text) for term in load_terms() if _plain(term.name) == name]
    return Explanation(name, "key", (*paragraphs, *same))


def _names(term: Term) -> Iterator[str]:
    """What a term is called in English and in Chinese, independent of the language, and its other names."""
    yield from (term.name, *term.keys)
    yield from re.split("[（）]", translations("zh").gettext(term.name).rstrip("）"))


def _term(word: str) -> Explanation | None:
    for term in load_terms():
        if word in map(_plain, _names(term)):
            related = [
                f"tunewright explain {row.path}" for row in option_rows() if row.path.rpartition(".")[2] in term.keys
            ]
            return Explanation(_(term.name), "term", (_(term.text),), tuple(related))
    return None


def _old_key(word: str) -> Explanation | None:
    """A name that a config no longer has, or never had: where it is today."""
    section, _dot, key = word.rpartition(".")
    known = old_name(section if section in SECTIONS else TOP, key) if not section or section in SECTIONS else None
    if known is None:
        return None
    table, code = known
    if code == "E104":
        new = deprecated_keys().renamed[table][key]
        return Explanation(key, "key", (_('"{old}" is called "{new}" here').format(old=key, new=new),))
    reasons = deprecated_keys().removed if code == "E112" else deprecated_keys().owned
    return Explanation(key, "key", (_(reasons[table][key]),))
