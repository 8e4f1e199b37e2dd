"""`tunewright merge`"""

from pathlib import Path
from typing import Annotated

import typer

from tunewright.cli import again, brief, live, options, show
from tunewright.i18n import _


def add_to(app: typer.Typer) -> None:
    app.command(help=_("Base and adapter as one model, checked against the adapter's answers"))(merge)


def merge(
    run: options.RunOrLast = "last",
    folder: Annotated[
        str | None, typer.Argument(metavar="DIR", help=_("Where to; merged/ in the run if not given."))
    ] = None,
    as_json: options.Json = False,
) -> None:
    from tunewright import api

    found = api.open_run(run)
    show.note(_("Loading the model of {name}").format(name=brief.one_line(found.name)))
    try:
        with live.meter(_("Merging")) as progress:
            result = found.merge(folder, progress)
    finally:
        found.close()
    if as_json:
        show.as_json({"schema": 1, "run": str(found.path), "name": found.name, **result})
        return
    channel = show.out()
    size = api.words.size(result["bytes"])
    where = f"{brief.shorten(Path(result['path']))} ({size}, {_('bare transformers loads it')})"
    brief.labelled(channel, _("Merged"), where)
    checked = _("{equal} of {total} greedy answers equal, largest logit difference {difference}")
    brief.labelled(channel, _("Checked"), checked.format(
        equal=result["equal"], total=result["prompts"], difference=f"{result['max_logit_difference']:.1g}"
    ))  # fmt: skip
    further = again.command("train", again.operand(again.shorten(Path(result["path"]).absolute())), "my.jsonl")
    show.next_steps((further, _("a model like any other: train on from it")))
