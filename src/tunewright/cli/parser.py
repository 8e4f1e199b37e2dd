"""The parser's own texts in this process's language: help pages and usage errors.

Typer writes its own words in English. Help passes through a formatter of ours, made by the context of each verb; an error
is recognised by its sentence and reported as one of the catalogue. An unknown sentence stays unchanged.
"""

import math
import re
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from tunewright.cli import console
from tunewright.i18n import N_, Phrase, _
from tunewright.i18n import width as columns_of

LEAST_TEXT = 10  # columns of what is meant
HEADINGS = {"Arguments": N_("Arguments"), "Options": N_("Options"), "Commands": N_("Commands")}
HELP = {"Show this message and exit.": N_("Show this message and exit.")}
EXTRA = re.compile(r"(?:^|(?<=; ))(?:(required)|default: (.*?))(?=; |\]$)")
METAVARS = {"[OPTIONS]": N_("[OPTIONS]"), "COMMAND": N_("COMMAND"), "[ARGS]...": N_("[ARGS]...")}

# As typer and pydantic write them, without the last full stop; `inner` is such a sentence itself.
SENTENCES = (
    N_("No such command '{name}'. Did you mean {near}?"),
    N_("No such command '{name}'"),
    N_("No such option: {name} (Possible options: {near})"),
    N_("No such option: {name}"),
    N_("Missing command"),
    N_("Missing argument '{name}'"),
    N_("Missing option '{name}'"),
    N_("Got unexpected extra argument(s) ({words})"),
    N_("Option '{name}' requires an argument"),
    N_("Option '{name}' requires {count} arguments"),
    N_("Option '{name}' does not take a value"),
    N_("Invalid value for '{name}': {inner}"),
    N_("Invalid value: {inner}"),
    N_("Input should be a valid number, unable to parse string as a number"),
    N_("Input should be a finite number"),
    N_("Input should be a valid integer, unable to parse string as an integer"),
    N_("Input should be greater than or equal to {least}"),
    N_("Input should be less than or equal to {most}"),
    N_("Input should be greater than {least}"),
    N_("Input should be less than {most}"),
)


def sentence(text: str) -> str:
    """A sentence of the parser as a phrase of the catalogue; the text itself if it is none of them."""
    text = text.rstrip(".")
    for known in SENTENCES:
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>.*)", re.escape(known))
        if match := re.fullmatch(pattern, text, re.DOTALL):
            values = match.groupdict()
            if "inner" in values:
                values["inner"] = sentence(values["inner"])
            return Phrase(known, **values)
    return text


class _Formatter(typer.Context.formatter_class):  # type: ignore[misc,valid-type]
    """Headings, usage and marks of the help in this process's language."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        words = " ".join(_(METAVARS[word]) if word in METAVARS else word for word in args.split(" "))
        super().write_usage(prog, words, prefix or _("Usage: "))

    def write_heading(self, heading: str) -> None:
        self.write(
            f"{'':>{self.current_indent}}" + _("{heading}:").format(heading=_(HEADINGS.get(heading, heading))) + "\n"
        )

    def write_dl(self, rows: Sequence[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Names and what they mean, in two columns. The parser's own counts wide characters as one, and breaks Latin words."""
        column = min(max(columns_of(first) for first, _second in rows), col_max) + col_spacing
        indent = " " * (self.current_indent + column)
        for first, second in rows:
            fits = columns_of(first) <= column - col_spacing
            self.write(" " * self.current_indent + (console.pad(first, column) if fits else f"{first}\n{indent}"))
            lines = console.wrap(_extra(_(HELP.get(second, second))), max(self.width - column - 2, LEAST_TEXT))
            self.write(f"\n{indent}".join(lines).rstrip() + "\n")


def _extra(text: str) -> str:
    """A help text with its marks in brackets translated: required, default."""
    head, bracket, tail = text.rpartition("  [")
    return head + bracket + EXTRA.sub(_mark, tail) if bracket else text


def _mark(match: re.Match[str]) -> str:
    return _("required") if match[1] else _("default: {value}").format(value=match[2])


class _Context(typer.Context):
    formatter_class = _Formatter


class Verb(TyperCommand):
    """A verb whose help is in this process's language, and whose numbers are finite."""

    context_class = _Context

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        rest = super().parse_args(ctx, args)
        parameters: list[Any] = self.get_params(ctx)
        for param in parameters:
            value = ctx.params.get(param.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise typer.BadParameter("Input should be a finite number", ctx, param)
        return rest


class Verbs(TyperGroup):
    """A verb that holds others, whose help is in this process's language."""

    context_class = _Context


class Application(typer.Typer):
    """Typer with these verbs."""

    def command(self, name: str | None = None, **options: Any) -> Any:
        return super().command(name, **{"cls": Verb, **options})
