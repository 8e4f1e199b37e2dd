"""`tunewright generate`"""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from tunewright.cli import live, options, show
from tunewright.cli.problems import print_problems, show_base_problems
from tunewright.i18n import _, ngettext


def add_to(app: typer.Typer) -> None:
    app.command(help=_("Answers or labels for the rows of a file, as JSON lines"))(generate)


def generate(
    run: options.Run,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help=_("Rows as in training, without answers; or lines of text."))
    ],
    output: Annotated[
        str | None, typer.Option("-o", "--output", help=_("Write to this file instead of stdout."))
    ] = None,
    base: options.WithBase = None,
    columns: options.Map = None,
    skip_bad: options.SkipBad = False,
    max_new_tokens: Annotated[int, typer.Option("--max-new-tokens", min=1, help=_("Longest answer in tokens."))] = 256,
    force: Annotated[bool, typer.Option("--force", help=_("Write over an existing file."))] = False,
    as_json: options.Json = False,
) -> None:
    from tunewright import api
    from tunewright.errors import exists_already

    with_base = options.wants_base(base)
    found = api.open_run(run)
    if output and Path(output).exists() and not force:
        raise exists_already(Path(output), force="--force")
    mapping = options.mapping(columns)
    prompts, left_out = api.prompts(file, task=found.task, mapping=mapping, skip_bad=skip_bad)
    show_base_problems(found)
    show.note(_("Loading the model of {name}").format(name=found.name))
    try:
        with live.meter(_("Writing answers")) as progress:
            rows = api.answer_prompts(
                found, prompts, with_base=with_base, max_new_tokens=max_new_tokens, progress=progress
            )
    finally:
        found.close()
    if output:
        api.write_rows(output, rows)
    if as_json:
        body: dict[str, Any] = {"output": output} if output else {"rows": rows}
        show.as_json({"schema": 1, "name": found.name, "num_rows": len(rows), "num_left_out": len(left_out), **body})
        return
    if not output:
        for row in rows:
            show.out().data(json.dumps(row, ensure_ascii=False))
    if left_out:
        print_problems(left_out, show.err())
    if output:
        text = ngettext("{count} answer in {path}", "{count} answers in {path}", len(rows))
        show.out().line(text.format(count=len(rows), path=output))
