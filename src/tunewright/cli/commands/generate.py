"""`tunewright generate`"""

from pathlib import Path
from typing import Annotated

import typer

from tunewright.cli import console, live_display, options, plan_summary
from tunewright.cli.problem_display import print_problems, show_base_problems
from tunewright.i18n import _, ngettext


def add_to(app: typer.Typer) -> None:
    app.command(help=_("Answers or labels for the rows of a file, as JSON lines"))(generate)


def generate(
    run: options.RunArgument,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help=_("Rows as in training, without answers; or lines of text."))
    ],
    output: Annotated[
        str | None, typer.Option("-o", "--output", help=_("Write to this file instead of stdout."))
    ] = None,
    base: options.WithBaseFlag = None,
    columns: options.MapFlag = None,
    skip_bad: options.SkipBadFlag = False,
    max_new_tokens: Annotated[int, typer.Option("--max-new-tokens", min=1, help=_("Longest answer in tokens."))] = 256,
    force: Annotated[bool, typer.Option("--force", help=_("Overwrite an existing file."))] = False,
    as_json: options.JsonFlag = False,
) -> None:
    from tunewright import api
    from tunewright.security import json_text

    with_base = options.wants_base(base)
    trained = api.open_run(run)
    target = api.output_file(output, force=force) if output else None
    prompts, left_out = api.prompts(file, task=trained.task, mapping=options.mapping(columns), skip_bad=skip_bad)
    show_base_problems(trained)
    console.note(_("Loading the model of {name}").format(name=plan_summary.one_line(trained.name)))
    rows: list[dict[str, object]] = []
    try:
        with live_display.meter(_("Generating answers")) as reporter:
            if target:
                api.answer_to_file(
                    trained,
                    prompts,
                    target,
                    source=Path(file),
                    with_base=with_base,
                    max_new_tokens=max_new_tokens,
                    reporter=reporter,
                )
            else:
                answers = api.answer_prompts(
                    trained, prompts, with_base=with_base, max_new_tokens=max_new_tokens, reporter=reporter
                )
                if as_json:
                    rows = list(answers)
                else:
                    for row in answers:
                        live_display.data_line(json_text(row))
    finally:
        trained.close()
    warnings = api.odd_numbers(prompts)
    if as_json:
        body: dict[str, object] = {"output": output} if output else {"rows": rows}
        counts = {"num_rows": len(prompts), "num_left_out": len(left_out)}
        more = {"warnings": [problem.to_json() for problem in warnings]} if warnings else {}
        console.as_json({"schema": 1, "name": trained.name, **counts, **body, **more})
        return
    if problems := [*left_out, *warnings]:
        print_problems(problems, console.err())
    if output:
        text = ngettext("{count} answer in {path}", "{count} answers in {path}", len(prompts))
        console.out().line(text.format(count=len(prompts), path=output))
