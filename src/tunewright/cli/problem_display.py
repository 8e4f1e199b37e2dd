"""Errors and warnings as people and programs read them: code, place, sentence, the line itself, what to do."""

import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.cli import console, paste_commands
from tunewright.cli.console import Channel
from tunewright.i18n import _, ngettext, one_line
from tunewright.i18n import width as columns_of

if TYPE_CHECKING:
    from tunewright.api.run_handle import TrainedRun
    from tunewright.errors import Problem, Where

SHOWN_PER_CODE = 20
LINES_SHOWN = 8
INDENT = " " * 6
SUMMARIES = ("E216",)  # counts the problems listed with it
WRONG_USE = "E119"


def print_problems(
    problems: Sequence["Problem"], channel: Channel, *, full_list: str = "", nothing_started: bool = False
) -> None:
    """All problems, at most 20 lines for each code; a shared fix is printed under the last of them.

    `full_list` names where the others are listed.
    """
    groups = _grouped(problems)
    totals = Counter(problem.code for problem, _lines in groups)
    counts: Counter[str] = Counter()
    listed = []
    for problem, lines in groups:
        counts[problem.code] += 1
        if counts[problem.code] <= SHOWN_PER_CODE:
            listed.append((problem, lines))
    last = {fix: number for number, (problem, _lines) in enumerate(listed) for fix in problem.fixes()}
    printed: Counter[str] = Counter()
    for number, (problem, lines) in enumerate(listed):
        _print_problem(problem, [fix for fix in problem.fixes() if last[fix] == number], channel, lines)
        printed[problem.code] += 1
        if printed[problem.code] == SHOWN_PER_CODE < totals[problem.code]:
            _print_rest(problem.code, totals[problem.code] - SHOWN_PER_CODE, channel, full_list)
    _print_count(problems, channel, nothing_started)


def _grouped(problems: Sequence["Problem"]) -> list[tuple["Problem", list[int]]]:
    """Problems, each with the lines of all equal problems in its file."""
    groups: list[tuple[Problem, list[int]]] = []
    lines_of: dict[tuple[str, str, str], list[int]] = {}
    for problem in problems:
        where = problem.where
        key = problem.code, problem.message(), where.file
        if where.line and not where.source and not where.column and key in lines_of:
            lines_of[key].append(where.line)
        else:
            groups.append((problem, lines_of.setdefault(key, [])))
    return groups


def _print_problem(problem: "Problem", fixes: list[str], channel: Channel, others: Sequence[int]) -> None:
    word, color = _kind(problem)
    place = printable(one_line(_place(problem.where)))
    head = f"{channel.paint(word, color, 'bold')} {channel.paint(problem.code, 'bold')}  "
    head += f"{channel.paint(place, 'cyan')}  " if place else ""
    text = printable(problem.message())
    if others:
        lines = ", ".join(map(str, others[:LINES_SHOWN])) + (", ..." if len(others) > LINES_SHOWN else "")
        also = ngettext("and {count} more row (line {lines})", "and {count} more rows (lines {lines})", len(others))
        text += f"   {also.format(count=len(others), lines=lines)}"
    channel.paragraph(text, INDENT, head)
    if problem.where.line and problem.where.source:
        hint = fixes.pop(0) if fixes and "suggestion" in problem.values else ""
        _print_source(problem.where, printable(hint), channel)
    _print_fixes(fixes, channel)


def _kind(problem: "Problem") -> tuple[str, console.ConsoleStyle]:
    if problem.entry.is_note:
        return _("note"), "cyan"
    if problem.is_warning:
        return _("warning"), "yellow"
    return (_("notice"), "yellow") if problem.code.startswith("D") else (_("error"), "red")


def _place(where: "Where") -> str:
    """File, line and column; for an argument of the command line, that text itself."""
    if where.line or not where.source:
        return str(where)
    return where.source if where.file == "argument" else f"{where.file} {where.source}"


def _print_source(where: "Where", hint: str, channel: Channel) -> None:
    """The line with a caret under the place. Tabs count as one column, as in the place."""
    number = str(where.line)
    source = printable(where.source.replace("\t", " ").rstrip())
    before = source[: max(0, where.column - 1)]
    caret = "^" * max(1, min(where.length, columns_of(source) - columns_of(before)))
    gutter = " " * (5 - len(number))
    channel.line(f"{gutter}{channel.paint(f'{number} |', 'dim')} {source}")
    under = f"{' ' * columns_of(before)}{channel.paint(caret, 'red')} {hint}".rstrip()
    channel.line(f"{' ' * 5}{channel.paint(' |', 'dim')} {under}")


def _print_fixes(fixes: list[str], channel: Channel) -> None:
    for number, fix in enumerate(fixes):
        word = console.pad(_("fix:") if number == 0 else _("or:"), 5)
        channel.paragraph(
            printable(paste_commands.named(fix)), INDENT + " " * 5, f"{INDENT}{channel.paint(word, 'green')}"
        )


def _print_rest(code: str, count: int, channel: Channel, full_list: str) -> None:
    text = ngettext("... and {count} more with {code}", "... and {count} more with {code}", count)
    channel.line(f"{INDENT}{text.format(count=count, code=code)}{f'; {full_list}' if full_list else ''}")


def _print_count(problems: Sequence["Problem"], channel: Channel, nothing_started: bool) -> None:
    """The last line: how many, and what explains them."""
    errors = [problem for problem in problems if problem.code.startswith("E")]
    if not errors:
        return
    listed = [problem for problem in errors if problem.code not in SUMMARIES] or errors
    texts = []
    if len(listed) > 1:
        places = {problem.where.file for problem in listed}
        file = places.pop() if len(places) == 1 else ""
        template = (
            ngettext("{count} error in {file}.", "{count} errors in {file}.", len(listed))
            if file
            else ngettext("{count} error.", "{count} errors.", len(listed))
        )
        texts.append(template.format(count=len(listed), file=printable(one_line(file))))
    if nothing_started and errors[0].code[:2] in ("E1", "E2", "E3", "E4", "E7"):
        texts.append(_("Nothing was started."))
    if listed[0].code != WRONG_USE:  # its fix names the help, which says more
        texts.append(channel.paint(f"  {paste_commands.command('explain', listed[0].code)}", "dim"))
    if texts:
        channel.line(" ".join(texts).strip())


def show_base_problems(run: "TrainedRun") -> None:
    """Warnings of a base that is not the one of the training; Python's own warning is silenced."""
    from tunewright.errors import TunewrightWarning

    if problems := run.base_problems():
        print_problems(problems, console.err())
    warnings.simplefilter("ignore", TunewrightWarning)


def printable(text: str) -> str:
    """Foreign text, safe to print."""
    from tunewright import security

    return security.printable(text)


def print_json(problems: Sequence["Problem"], *, log: Path | None = None) -> None:
    """The error object of --json, on stderr."""
    first = next((problem for problem in problems if not problem.is_warning), problems[0])
    value = {"schema": 1, "error": first.to_json(), "problems": [problem.to_json() for problem in problems]}
    console.as_json({**value, "log": str(log)} if log else value, console.err())
