"""Commands to paste: with the name this program was called by and all options, quoted for a shell."""

import re
import shlex
import shutil
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from tunewright.api.run_handle import TrainedRun

NAME = "tunewright"
# Options of the output, not of the work: they are left out of suggested commands.
FORM = ("--json", "--quiet", "--verbose", "--dry-run")
_TYPED = "COMMANDLINE"
_COMMAND = re.compile(rf"(?<![A-Za-z0-9_./\"'-]){NAME}(?= [a-z])")


def program() -> str:
    """How this program is called from here: its name where the shell finds it by that, else the words that called it."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py" and called.parent.name == NAME:
        return f"{_from_here(sys.orig_argv[0])} -m {NAME}"
    return _from_here(sys.argv[0]) if called.stem == NAME and called.is_file() else NAME


def _from_here(path: str) -> str:
    """A program by its name where the shell finds this very file by it, else by its path, as seen from here."""
    by_name = shutil.which(Path(path).name)
    if by_name and Path(by_name).absolute() == Path(path).absolute():
        return Path(path).name
    return quoted(path if Path(path).name == path else shorten(Path(path)))


def command(verb: str, *words: str) -> str:
    """A command of this program: `verb` may be two words, `runs resume`."""
    return " ".join([program(), verb, *map(quoted, words)])


def named(text: str) -> str:
    """A text with commands in it, these with the name by which this program was called."""
    return _COMMAND.sub(lambda _match: program(), text)


def quoted(word: str) -> str:
    """A word as a shell reads it back; one with control characters in the form $'...', which shows them."""
    from tunewright.security import is_control

    if not any(map(is_control, word)):
        return shlex.quote(word)
    return "$'" + "".join(map(_escaped, word)) + "'"


def _escaped(char: str) -> str:
    """A character inside $'...': by its bytes where it does not show."""
    if char in "\\'":
        return f"\\{char}"
    from tunewright.security import is_control

    if not is_control(char):
        return char
    return "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", "surrogateescape"))


def typed(context: typer.Context, verb: str, *, without: Collection[str] = ()) -> list[str]:
    """The options that were typed, in the order of the help, as far as `verb` has them too; `without` names others."""
    target: Any = context.find_root().command
    for word in verb.split():
        target = target.commands[word]
    accepted = {flag for parameter in target.params for flag in parameter.opts}
    words: list[str] = []
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        flag = parameter.opts[-1]
        if source is None or source.name != _TYPED or not flag.startswith("-"):
            continue
        if flag in accepted and flag not in (*FORM, *without):
            words += _words(flag, context.params[parameter.name or ""])
    return words


def _words(flag: str, value: Any) -> Iterator[str]:
    """An option with its value; a switch alone; a list once for each."""
    for single in value if isinstance(value, (list, tuple)) else [value]:
        if single is True:
            yield flag
        elif single is not False:
            yield from (flag, str(single))


def handle(run: "TrainedRun") -> str:
    """How a command names a run from this folder: by its name where that is enough, else by its path."""
    is_here = run.path.parent == Path.cwd() / "runs" and not run.name.startswith("-")
    return run.name if is_here else shorten(run.path)


def shorten(path: Path) -> str:
    """A path as seen from here, if it lies below."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def operand(word: str) -> str:
    """A word that is not an option, even if it begins with a dash."""
    return f"./{word}" if word.startswith("-") else word
