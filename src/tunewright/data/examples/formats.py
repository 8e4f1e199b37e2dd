"""Rows to forms: which column is prompt, answer, conversation, text, label or list of words.

The form is recognised from the column names and from their content; `--map` corrects it. What the rows become is
for `convert.py`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from tunewright.config.tasks import Task
from tunewright.data.examples import column_guesses
from tunewright.data.examples.conversation_forms import has_no_speakers, holds_turns
from tunewright.data.examples.row_cells import cell, unpacked
from tunewright.data.files.column_names import CLASSES, PAIRS, SPELLINGS_OF, VAGUE, normal
from tunewright.data.files.readers import RawRow
from tunewright.data.files.row import Row
from tunewright.errors import DataError, Problem, error
from tunewright.i18n import N_, Phrase, _

Target = str | tuple[str, ...] | float
_OPTIONAL = ("system", "input", "history", "tools", "reasoning")
_CHAT = ("messages", "prompt", "completion", *_OPTIONAL)

ROLES: Mapping[Task, tuple[str, ...]] = {
    "causal_lm": (*_CHAT, "text"),
    "seq2seq": _CHAT,
    "seq_cls": ("text", "pair", "label"),
    "token_cls": ("words", "tags", "sentence"),
}
# The roles that a form cannot do without, the best form first.
_FORMS: Mapping[Task, tuple[tuple[str, ...], ...]] = {
    "causal_lm": (("messages",), ("prompt", "completion"), ("text",)),
    "seq2seq": (("messages",), ("prompt", "completion")),
    "seq_cls": (("text", "pair", "label"), ("text", "label")),
    "token_cls": (("words", "tags"),),
}
_TELLING: Mapping[str, Task] = {"pair": "seq_cls", "label": "seq_cls", "words": "token_cls", "tags": "token_cls"}
_OTHER_NAMES = {"instruction": "prompt", "output": "completion"}

# What a list of labels judges one by one, in TRL's stepwise rows.
_STEPS = frozenset({"completions", "responses", "steps"})
_ALPACA = frozenset({"instruction", "指令"})

_NAMES = {
    "messages": N_("conversations"),
    "conversations": N_("conversations"),
    "prompt_completion": N_("prompt and answer"),
    "alpaca": N_("instruction and answer"),
    "question_answer": N_("question and answer"),
    "text": N_("plain text"),
    "labelled_text": N_("text and label"),
    "labelled_pair": N_("pair of texts and label"),
    "tagged_words": N_("words and tags"),
    "mixed": N_("several formats"),
}
SAMPLE_ROWS = 1000
COLUMNS_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Message:
    """One turn; `role` is system, user, assistant or tool.

    `reasoning` is thinking in a key of its own (None: in none; thinking may also be in `content`, between
    tags). `tool_calls` are calls as transformers' `apply_chat_template` takes them: `{"type", "function": {"name",
    "arguments"}}`. `learn` is False for turns of the assistant that are read but not in the loss.
    """

    role: str
    content: str
    reasoning: str | None = None
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    name: str = ""
    tool_call_id: str = ""
    learn: bool = True


@dataclass(frozen=True, slots=True)
class Example:
    """What is trained on, with the place of its row.

    For tasks that write: a conversation that ends with an answer to learn, and the `tools` that may be called in it, or
    plain text; `cut_turns` came after the last answer, `unused_keys` in turns. For seq_cls: `text`, the second
    text of a `pair`, and as `target` a label's name, the names of several, or a number. For token_cls: `words` and as
    many `tags`.
    """

    number: int
    file: str
    line: int
    messages: tuple[Message, ...] = ()
    text: str = ""
    pair: str = ""
    target: Target | None = None
    words: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    tools: tuple[Mapping[str, object], ...] = ()
    cut_turns: int = 0
    unused_keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class Format:
    """The form of the rows and the column that plays each role.

    `name` is messages, conversations, prompt_completion, alpaca, question_answer, text, labelled_text, labelled_pair,
    tagged_words, or mixed for rows of several forms. `unused` are the columns that play none. A column inside another is
    written `translation.de`.
    """

    name: str
    columns: Mapping[str, str]
    unused: tuple[str, ...] = field(default=(), compare=False)

    def describe(self) -> str:
        """The format for people: "question and answer (question -> prompt, answer -> completion)"."""
        if not self.columns:
            return _(_NAMES[self.name])
        roles = ", ".join(f"{column} -> {role}" for role, column in self.columns.items())
        if not self.unused:
            return f"{_(_NAMES[self.name])} ({roles})"
        return _("{form} ({roles}; not used: {unused})").format(
            form=_(_NAMES[self.name]), roles=roles, unused=column_list(self.unused)
        )


def column_list(columns: Sequence[str]) -> str:
    """Names of columns, no more than can be read."""
    more = len(columns) - COLUMNS_SHOWN
    return ", ".join(columns[:COLUMNS_SHOWN]) + (f", ... (+{more})" if more > 0 else "")


def sniff(rows: Sequence[RawRow], mapping: Mapping[str, str] | None = None, task: Task = "causal_lm") -> Format:
    """The format that fits most of the first rows for this task; `mapping` says which column plays a role.

    Raises: DataError E211, E229 if no form fits, E212 if a mapped column does not exist; ConfigError E103 for a role that
    does not exist, E109 for roles of two forms.
    """
    sample = [row.value for row in rows[:SAMPLE_ROWS]]
    inner = [
        name for name in (mapping or {}).values() if "." in name and any(cell(row, name) is not None for row in sample)
    ]
    union = list(dict.fromkeys([*(column for row in sample for column in _columns_of(row, task)), *inner]))
    mapped = _checked_mapping(mapping or {}, union, task)
    known = [column for column in union if column in mapped.values() or not _is_vague(column, sample)]
    forms = [form for form in _possible_forms(mapped, known, task) if form and "messages" in form.columns]
    forms += [form for form in _possible_forms(mapped, union, task) if form and "messages" not in form.columns]
    if not forms:
        raise _unknown_form(union, sample, rows[0].file if rows else "", task)
    best = max(forms, key=lambda form: (sum(_fits(row, form) for row in sample), not _may_be_a_list(form, sample)))
    return replace(best, unused=_unused(union, best.columns))


def _is_vague(column: str, sample: Sequence[Row]) -> bool:
    """Whether a name of conversations that others use too (`data`, `chat`) holds something else."""
    return normal(column) in VAGUE and not any(holds_turns(row.get(column)) for row in sample)


def _may_be_a_list(form: Format, sample: Sequence[Row]) -> bool:
    """Whether the conversations of this form are texts alone under a vague name, so that any other form goes before."""
    column = form.columns.get("messages", "")
    return normal(column) in VAGUE and any(has_no_speakers(unpacked(row.get(column))) for row in sample)


def looks_like(rows: Sequence[RawRow], mapping: Mapping[str, str] | None = None) -> Task | None:
    """The task that the mapping or the rows leave no doubt about; None if they leave one.

    Lists of words with lists of tags, and words with a tag and a sentence each, are for token_cls. A text beside a column that
    is called label, and has no answer to generate, is for seq_cls.
    """
    for role in mapping or {}:
        if role in _TELLING:
            return _TELLING[role]
    if mapping:
        return None
    sample = [row.value for row in rows[:SAMPLE_ROWS]]
    union = list(dict.fromkeys(column for row in sample for column in row))
    form = _form(("words", "tags"), union, {}, "token_cls")
    if form and 2 * sum(_are_tagged(row, form) for row in sample) > len(sample):
        return "token_cls"
    return "seq_cls" if _are_labelled(union, sample) else None


def _are_labelled(union: Sequence[str], sample: Sequence[Row]) -> bool:
    label = next((column for column in union if normal(column) in CLASSES), None)
    others = [column for column in union if column != label]
    if label is None or _column_for("text", others, "seq_cls") is None:
        return False
    is_generation = any(_column_for(role, others, "causal_lm") for role in ("messages", "completion"))
    is_generation |= any(normal(column) in _STEPS for column in others)
    values = [value for row in sample if (value := row.get(label)) not in (None, "")]
    return not is_generation and column_guesses.are_classes(values)


def _are_tagged(row: Row, form: Format) -> bool:
    words, tags = (unpacked(row.get(form.columns[role])) for role in ("words", "tags"))
    if isinstance(words, str) and isinstance(tags, str):
        is_word = len(words.split()) < 2 and len(tags.split()) < 2
        return is_word and _column_for("sentence", form.unused, "token_cls") is not None
    return (
        isinstance(words, list)
        and isinstance(tags, list)
        and bool(words)
        and all(isinstance(w, str) for w in words)
        and all(isinstance(tag, str | int) for tag in tags)
    )


def _columns_of(row: Row, task: Task) -> Iterator[str]:
    """The row's columns; for seq2seq those inside a `translation` too, one for each language."""
    for column, value in row.items():
        yield column
        if task == "seq2seq" and isinstance(value, dict):
            yield from (f"{column}.{inner}" for inner in value)


def _unknown_form(union: Sequence[str], sample: Sequence[Row], file: str, task: Task) -> Exception:
    """E211 or E229 with the most likely roles of these columns; E240 if their names are those of no columns."""
    suffix = Path(file).suffix.lower()
    if suffix in column_guesses.TABLES and list(union) != ["text"] and column_guesses.looks_like_a_row(union, sample):
        fix = column_guesses.flags_for(*column_guesses.numbered(union, sample), task)
        named = column_guesses.flags_for(union, sample, task)
        return error("E240", file=file, columns=column_list(union), fix=fix, named=named)
    values = {"columns": column_list(union), "fix": column_guesses.flags_for(union, sample, task)}
    if suffix == ".txt" and list(union) == ["text"]:
        values["fix"] = (
            column_guesses.as_conll(file) if task == "token_cls" else N_("a table (.csv) with a column for each role")
        )
    elif suffix in column_guesses.TABLES:
        values["numbered"] = column_guesses.flags_for(*column_guesses.numbered(union, sample), task)
    if task in ("causal_lm", "seq2seq"):
        return DataError([Problem("E211", values=values)])
    return DataError([Problem("E229", values={**values, "task": task, "roles": ", ".join(_FORMS[task][-1])})])


def _checked_mapping(mapping: Mapping[str, str], union: Sequence[str], task: Task) -> dict[str, str]:
    names = {role: role for role in ROLES[task]} | {k: v for k, v in _OTHER_NAMES.items() if v in ROLES[task]}
    mapped: dict[str, str] = {}
    for name, column in mapping.items():
        if name not in names:
            raise error(
                "E103",
                key="data.map",
                reason=Phrase(N_("takes {names} on its left"), names=", ".join(names)),
                value=name,
            )
        if column not in union:
            values = {"column": column, "columns": column_list(union), "roles": ", ".join(ROLES[task])}
            by_lower = {known.lower(): known for known in union}
            for close in get_close_matches(column.lower(), by_lower, n=1):
                values["suggestion"] = by_lower[close]
            raise DataError([Problem("E212", values=values)])
        mapped[names[name]] = column
    return mapped


def _possible_forms(mapped: Mapping[str, str], union: Sequence[str], task: Task) -> Iterator[Format | None]:
    """The forms that the mapping leaves possible, best first."""
    for required in _wanted_forms(mapped, task):
        if "pair" in required:
            yield from (_form(required, union, {**pair, **mapped}, task) for pair in _pairs(union, mapped))
        else:
            yield _form(required, union, mapped, task)
    languages = [column for column in union if column.startswith("translation.") and column not in mapped.values()]
    if languages and "messages" not in mapped:
        yield _form(("prompt", "completion"), union, _in_turn(languages, mapped), task)


def _wanted_forms(mapped: Mapping[str, str], task: Task) -> list[tuple[str, ...]]:
    """The required roles of each form that the mapping leaves possible, best first."""
    named = {role for role in mapped if role not in (*_OPTIONAL, "sentence")}
    possible = [form for form in _FORMS[task] if named <= set(form)]
    if not possible:
        touched = [form for form in _FORMS[task] if named & set(form)]
        first, second = (next(role for role in mapped if role in form) for form in touched[:2])
        reason, fix = N_("they belong to different forms of rows"), f"--map {first}={mapped[first]}"
        raise error("E109", first=f"--map {first}", second=f"--map {second}", reason=reason, fix=fix)
    return possible


def _pairs(union: Sequence[str], mapped: Mapping[str, str]) -> list[dict[str, str]]:
    """The known pairs of columns that agree with the mapping; the mapping alone if it names the second text."""
    known = {normal(column): column for column in reversed(union)}
    pairs = [{"text": known[a], "pair": known[b]} for a, b in PAIRS if a in known and b in known]
    agreeing = [pair for pair in pairs if all(mapped.get(role, column) == column for role, column in pair.items())]
    return agreeing or ([{}] if "pair" in mapped else [])


def _in_turn(languages: Sequence[str], mapped: Mapping[str, str]) -> dict[str, str]:
    """The languages in the order of the first row, as prompt and completion where the mapping names none."""
    free = iter(languages)
    chosen = {role: mapped.get(role) or next(free, "") for role in ("prompt", "completion")}
    return {**mapped, **{role: column for role, column in chosen.items() if column}}


def _form(required: Sequence[str], union: Sequence[str], mapped: Mapping[str, str], task: Task) -> Format | None:
    """The format with these roles, None if a column for one of them cannot be found."""
    used = {name for column in mapped.values() for name in (column, column.partition(".")[0])}
    free = [column for column in union if column not in used]
    optional: tuple[str, ...] = ("sentence",) if "sentence" in mapped else ()
    if "completion" in required or "messages" in required:
        optional = _OPTIONAL if "completion" in required else ("system", "tools")
    columns: dict[str, str] = {}
    for role in (*required, *optional):
        column = mapped.get(role) or _column_for(role, free, task)
        if column:
            columns[role] = column
            free = [name for name in free if name != column]
        elif role in required:
            return None
    return Format(_name_of(columns, mapped), columns, _unused(union, columns))


def _unused(union: Sequence[str], columns: Mapping[str, str]) -> tuple[str, ...]:
    """Columns that play no role, nor hold one that does; those inside another are not named."""
    used = {name for column in columns.values() for name in (column, column.partition(".")[0])}
    known = set(union)
    hidden = used | {name for name in union if "." in name and name.partition(".")[0] in known}
    return tuple(name for name in union if name not in hidden)


def _column_for(role: str, free: Sequence[str], task: Task) -> str | None:
    known = {normal(column): column for column in reversed(free)}
    spellings = SPELLINGS_OF[task].get(role, "")
    return next((known[spelling] for spelling in spellings.split() if spelling in known), None)


def _name_of(columns: Mapping[str, str], mapped: Mapping[str, str]) -> str:
    if "words" in columns:
        return "tagged_words"
    if "label" in columns:
        return "labelled_pair" if "pair" in columns else "labelled_text"
    if "text" in columns:
        return "text"
    if "messages" in columns:
        return "messages" if normal(columns["messages"]) == "messages" else "conversations"
    prompt, completion = normal(columns["prompt"]), normal(columns["completion"])
    if prompt in _ALPACA:
        return "alpaca"
    is_plain = (prompt, completion) == ("prompt", "completion") or "prompt" in mapped or "completion" in mapped
    return "prompt_completion" if is_plain else "question_answer"


_TYPES: Mapping[str, tuple[type, ...]] = {
    "prompt": (str, int, float, list),
    "completion": (str, int, float, list, dict),
    "text": (str, int, float),
    "pair": (str, int, float),
    "label": (str, int, float, list),
    "words": (str, list),
    "tags": (str, int, list),
    "sentence": (str, int),
}


def _fits(row: Row, form: Format) -> bool:
    if "messages" in form.columns:
        return isinstance(unpacked(cell(row, form.columns["messages"])), list | dict)
    required = [(role, column) for role, column in form.columns.items() if role not in _OPTIONAL]
    if normal(form.columns.get("completion", "")) in CLASSES and not isinstance(
        row.get(form.columns["completion"]), str
    ):
        return False  # a number beside a text is a class, and no answer to it
    return all(isinstance(cell(row, column), _TYPES[role]) for role, column in required)
