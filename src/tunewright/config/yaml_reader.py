"""YAML text to plain values, with the place of every key and value. No schema here: what may be written is not checked.

Only plain values are read: text, numbers, true and false, null, lists, mappings. Repeated keys, anchors, aliases and
tags are problems, not surprises. All problems of a text are collected; a syntax error ends the reading.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from tunewright.errors import Problem, Where
from tunewright.i18n import N_, Phrase, _

UNWRITABLE = N_("a text contains NUL or a lone surrogate")
MAX_DEPTH = 20
MAX_NODES = 5_000
Path = tuple[str | int, ...]

_YAML = "tag:yaml.org,2002:"
_VALUE_TAGS = frozenset(_YAML + name for name in ("null", "bool", "int", "float"))
_QUOTES_AND_BRACKETS = ("'", '"', "[", "{")

# beginning of what PyYAML says -> what a person can do with it
_SYNTAX = (
    ("mapping values are not allowed", N_("there is a colon where no key can be; put the value in quotes")),
    ("found character '\\t'", N_("a tab; indent with spaces")),
    ("could not find expected ':'", N_("a colon is missing after the key")),
    ("expected <block end>", N_("the indent does not fit the lines above")),
    ("found unexpected end of stream", N_("a quote is not closed")),
    ("expected ',' or", N_("a bracket or a comma is missing")),
    ("found character", N_("a value that begins with this character needs quotes")),
    ("but found another document", N_("one file holds one config; remove the line ---")),
    ("nested", N_("the lists and mappings are nested too deeply")),
    ("too many values", N_("a config with this many values is refused")),
)


@dataclass(frozen=True)
class Position:
    """Where one value was given: key, value, the origin as `config show` prints it, and the value as it was typed."""

    key: Where
    value: Where
    origin: str
    text: str = ""


@dataclass
class YamlDocument:
    """A text that was read: value, marks by path, problems, and paths whose value could not be read."""

    value: Any = None
    marks: dict[Path, Position] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    broken: set[Path] = field(default_factory=set)


def printable(text: str, limit: int = 60) -> str:
    """Text from a file on one line, harmless to a terminal, cut to `limit` characters."""
    shown = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return shown if len(shown) <= limit else shown[: limit - 3] + "..."


def read(text: str, file: str) -> YamlDocument:
    """Value and marks of a whole YAML text; what is wrong with it is in `problems`."""
    return _YamlReader(text, file).read()


def read_value(text: str, where: Where) -> YamlDocument:
    """Value of one `--set`: a YAML scalar, or a list or mapping in brackets; every problem is placed at `where`."""
    text = text.strip()
    if not text.startswith(_QUOTES_AND_BRACKETS):
        loader: Any = yaml.SafeLoader("")
        return YamlDocument(
            _scalar(loader, yaml.ScalarNode(loader.resolve(yaml.ScalarNode, text, (True, False)), text))
        )
    document = read(text, where.file)
    document.problems = [Problem(problem.code, where, problem.values) for problem in document.problems]
    return document


def _scalar(loader: Any, node: yaml.ScalarNode) -> Any:
    """Null, truth value or number; all else, dates and 1:30 among it, stays text."""
    if node.tag not in _VALUE_TAGS or ":" in node.value:
        return node.value
    try:
        return loader.construct_object(node)
    except ValueError:  # a number of thousands of digits
        return node.value


class _Composer(yaml.SafeLoader):
    """PyYAML's composer, but anchors, aliases and tags are noted and removed, and depth is limited."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.refused: list[yaml.Mark] = []
        self.without_value: set[int] = set()
        self._depth = self._nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        events: Any = self  # the published types leave the parser's methods untyped
        event = events.peek_event()
        if isinstance(event, yaml.AliasEvent):
            event = events.get_event()
            self.refused.append(event.start_mark)
            self.without_value.add(event.start_mark.index)
            return yaml.ScalarNode(_YAML + "null", "", event.start_mark, event.end_mark)
        if event.anchor is not None or event.tag is not None:
            self.refused.append(event.start_mark)
            if event.tag is not None:
                self.without_value.add(event.start_mark.index)
            event.anchor, event.tag = None, None
            if isinstance(event, yaml.ScalarEvent):
                event.implicit = (False, True)
        self._depth += 1
        self._nodes += 1
        if self._depth > MAX_DEPTH or self._nodes > MAX_NODES:
            fault = "nested too deeply" if self._depth > MAX_DEPTH else "too many values"
            raise yaml.composer.ComposerError(None, None, fault, event.start_mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


class _YamlReader:
    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self.lines = text.splitlines()
        self.document = YamlDocument()

    def read(self) -> YamlDocument:
        try:
            self.loader = _Composer(self.text)
            node = self.loader.get_single_node()
        except yaml.reader.ReaderError as error:
            self._say(
                "E105",
                self._at_index(error.position),
                reason=Phrase(N_("the character U+{code:04X} is not allowed"), code=error.character),
            )
            return self.document
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            assert mark is not None
            self._say("E105", self._where(mark, mark), reason=_syntax(error.problem or ""))
            return self.document
        for mark in self.loader.refused:
            where = self._where(mark, mark)
            what = where.source[where.column - 1 :].split(maxsplit=1)[0]
            self._say("E107", replace(where, length=len(what)), what=printable(what))
        if node is not None:
            self.document.value = self._walk(node, ())
        return self.document

    def _walk(self, node: yaml.Node, path: Path) -> Any:
        if node.start_mark.index in self.loader.without_value:
            self.document.broken.add(path)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self._item(item, (*path, i)) for i, item in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)
        self._refuse_unwritable(node)
        return _scalar(self.loader, node)

    def _refuse_unwritable(self, node: yaml.ScalarNode) -> None:
        """E105 for a text that escapes made of what no file can hold."""
        if "\0" in node.value or any("\ud800" <= char <= "\udfff" for char in node.value):
            self._say("E105", self._where(node.start_mark, node.end_mark), reason=UNWRITABLE)

    def _item(self, node: yaml.Node, path: Path) -> Any:
        where = self._where(node.start_mark, node.end_mark)
        self.document.marks[path] = Position(where, where, self._origin(where), self._typed(node))
        return self._walk(node, path)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, object]:
        values: dict[str, object] = {}
        for key_node, value_node in node.value:
            where = self._where(key_node.start_mark, key_node.end_mark)
            if not isinstance(key_node, yaml.ScalarNode):
                self._say("E105", where, reason=N_("a key must be a single word"))
                continue
            if key_node.tag == _YAML + "merge":
                self._say("E107", where, what="<<")
                continue
            self._refuse_unwritable(key_node)
            key = str(key_node.value)
            if key in values:
                first = self.document.marks[(*path, key)].key.line
                self._say("E106", where, key=printable(key), first=first)
                continue
            value_at = self._where(value_node.start_mark, value_node.end_mark)
            self.document.marks[(*path, key)] = Position(where, value_at, self._origin(where), self._typed(value_node))
            values[key] = self._walk(value_node, (*path, key))
        return values

    def _typed(self, node: yaml.Node) -> str:
        return (
            self.text[node.start_mark.index : node.end_mark.index].strip() if isinstance(node, yaml.ScalarNode) else ""
        )

    def _say(self, code: str, where: Where, **values: Any) -> None:
        self.document.problems.append(Problem(code, where, values))

    def _origin(self, where: Where) -> str:
        return f"{self.file}:{where.line}:{where.column}"

    def _where(self, start: yaml.Mark, end: yaml.Mark) -> Where:
        line = self.lines[start.line] if start.line < len(self.lines) else ""
        stop = end.column if end.line == start.line else len(line)
        return Where(self.file, start.line + 1, start.column + 1, line, max(1, stop - start.column))

    def _at_index(self, index: int) -> Where:
        before = self.text[:index].splitlines() or [""]
        if self.text[:index].endswith("\n"):
            before.append("")
        # the line itself holds the character that must not reach a terminal
        return Where(self.file, len(before), len(before[-1]) + 1, printable(self.lines[len(before) - 1], 200), 1)


def _syntax(problem: str) -> str:
    return next((_(message) for begins, message in _SYNTAX if problem.startswith(begins)), problem)


def place(marks: Mapping[Path, Position], path: Path) -> Position | None:
    """Mark of a path; else of something below it, else of what holds it."""
    if path in marks:
        return marks[path]
    below = next((mark for known, mark in marks.items() if known[: len(path)] == path), None)
    if below is not None or not path:
        return below
    return next((marks[path[:n]] for n in range(len(path) - 1, 0, -1) if path[:n] in marks), None)
