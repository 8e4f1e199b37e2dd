"""`tunewright chat`"""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tunewright.cli import console, options, plan_summary
from tunewright.cli.problem_display import printable, show_base_problems
from tunewright.config.tasks import TASKS
from tunewright.i18n import _

if TYPE_CHECKING:
    from tunewright.api.run_handle import Conversation, TrainedRun


def add_to(app: typer.Typer) -> None:
    app.command(help=_("Talk to a run; --with base shows both answers"))(chat)


def chat(
    run: options.RunOrLastArgument = "last",
    base: options.WithBaseFlag = None,
    prompt: Annotated[
        str | None, typer.Option("-p", "--prompt", help=_("Send only this message."), show_default=False)
    ] = None,
    max_new_tokens: Annotated[int, typer.Option("--max-new-tokens", min=1, help=_("Longest answer in tokens."))] = 256,
    as_json: options.JsonFlag = False,
) -> None:
    from tunewright import api

    with_base = options.wants_base(base)
    trained = api.open_run(run)
    show_base_problems(trained)
    try:
        talk = api.Conversation(trained, with_base=with_base, max_new_tokens=max_new_tokens)
        if prompt is not None:
            answers = talk.ask(prompt)
            if as_json:
                console.as_json(
                    {"schema": 1, "run": str(trained.path), "name": trained.name, "prompt": prompt, **answers}
                )
            else:
                _print(answers, one_line=False)
        elif as_json:
            all_answers = [{"prompt": line, **talk.ask(line)} for line in _lines()]
            console.as_json({"schema": 1, "run": str(trained.path), "name": trained.name, "answers": all_answers})
        else:
            _converse(talk)
    finally:
        trained.close()


def _converse(talk: "Conversation") -> None:
    channel = console.err()
    is_terminal = sys.stdin.isatty()
    if is_terminal:
        console.note(f"{plan_summary.one_line(talk.run.name)}: {_hint(talk.run)} {_('Ctrl-D ends.')}")
        console.note(_("The first answer takes a moment: the model is being loaded."))
    for line in _lines():
        _print(talk.ask(line), one_line=not is_terminal)
    if is_terminal:
        channel.line()


def _lines() -> Iterator[str]:
    """What is typed, or the lines of a pipe; empty ones are passed over."""
    if not sys.stdin.isatty():
        yield from (line.strip() for line in sys.stdin if line.strip())
        return
    import readline  # noqa: F401 - gives `input` its line editing

    label = console.pad(_("you"), plan_summary.LABEL)
    while True:
        try:
            line = input(label)
        except EOFError:
            return
        if line.strip():
            yield line.strip()


def _hint(run: "TrainedRun") -> str:
    """What a person should know before they type."""
    if TASKS[run.task].writes:
        return (
            _("Each question is answered on its own, as in the training rows.")
            if run.is_single_turn
            else _("It remembers.")
        )
    if "pair" in run.plan.facts.data.columns:
        return _("Each line is a pair of texts with a tab between them.")
    return _("Each line is a text of its own.")


def _print(answers: dict[str, Any], *, one_line: bool) -> None:
    """Answers with who gave them; without a terminal on one line each, line ends written as \\n."""
    from tunewright.report import formatting

    channel = console.out()
    words = {"base": _("base"), "tuned": _("tuned")}
    is_compared = "base" in answers
    for who in ("base", "tuned"):
        if who not in answers:
            continue
        text = printable(answers[who])
        probability = answers.get(f"{who}_probability")
        if probability is not None:
            text += f"  ({formatting.percent(probability)})"
        if one_line:
            text = text.replace("\n", "\\n")
            channel.line(f"{who}: {text}" if is_compared else text)
        elif is_compared or sys.stdin.isatty():
            plan_summary.labelled(channel, words[who], text)
        else:
            channel.line(text)
