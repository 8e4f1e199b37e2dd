"""`tunewright explain`"""

from typing import Annotated

import typer

from tunewright.cli import console, options
from tunewright.i18n import _


def add_to(app: typer.Typer) -> None:
    app.command(help=_("What an error code, a config key or a word of the field means"))(explain)


def explain(
    word: Annotated[
        list[str], typer.Argument(metavar="WORD", help=_("As in: E203, peft.r, overfitting."), show_default=False)
    ],
    as_json: options.JsonFlag = False,
) -> None:
    from tunewright import api

    explanation = api.explain(" ".join(word))
    if as_json:
        console.as_json(
            {
                "schema": 1,
                "title": explanation.title,
                "kind": explanation.kind,
                "paragraphs": list(explanation.paragraphs),
                "fixes": list(explanation.fixes),
            }
        )
        return
    channel = console.out()
    channel.paragraph(channel.paint(explanation.title, "bold"))
    for paragraph in explanation.paragraphs:
        channel.paragraph(paragraph, "  ")
    for fix in explanation.fixes:
        channel.paragraph(channel.paint(fix, "green"), "    ")
