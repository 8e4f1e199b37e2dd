"""`tunewright chat`"""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tunewright.cli import console, options, plan_summary
from tunewright.cli.growing_text import GrowingText
from tunewright.cli.problem_display import show_base_problems
from tunewright.config.tasks import TASKS
from tunewright.i18n import _

if TYPE_CHECKING:
    from tunewright.api.run_handle import Conversation, Speaker, TrainedRun


def add_to(app: typer.Typer) -> None:
    app.command(help=_("Talk to a run; --with base shows both answers"))(chat)


def chat(
    run: options.RunOrLastArgument = "last",
    base: options.WithBaseFlag = None,
    prompt: Annotated[
        str | None, typer.Option("-p", "--prompt", help=_("Send only this message."), show_default=False)
    ] = None,
    system: Annotated[
        str | None,
        typer.Option(
            "--system", metavar="TEXT", show_default=False, help=_("The system turn, instead of the training rows' own.")
        ),
    ] = None,
    max_new_tokens: Annotated[int, typer.Option("--max-new-tokens", min=1, help=_("Longest answer in tokens."))] = 256,
    temperature: Annotated[
        float, typer.Option("--temperature", min=0, max=2, help=_("0 takes the likeliest token, as evaluations do."))
    ] = 0.0,
    top_p: Annotated[
        float | None,
        typer.Option(
            "--top-p", min=0, max=1, show_default=False, help=_("Only the likeliest tokens of this probability together.")
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, max=2**32 - 1, show_default=False, help=_("The same seed, the same answer.")),
    ] = None,
    stop: Annotated[
        list[str] | None,
        typer.Option(
            "--stop", metavar="TEXT", show_default=False, help=_("End an answer before this text; can be repeated.")
        ),
    ] = None,
    as_json: options.JsonFlag = False,
) -> None:  # fmt: skip
    from tunewright import api

    with_base = options.wants_base(base)
    _refuse_useless({"--top-p": top_p, "--seed": seed} if not temperature else {})
    trained = api.open_run(run)
    if not TASKS[trained.task].writes:
        named = {"--temperature": temperature or None, "--top-p": top_p, "--seed": seed, "--system": system}
        _refuse_for_labels({**named, "--stop": stop or None})
    show_base_problems(trained)
    sampling: api.Sampling = {
        "temperature": temperature, "top_p": 1.0 if top_p is None else top_p, "seed": seed, "stop": stop or [],
    }  # fmt: skip
    try:
        talk = api.Conversation(trained, with_base, max_new_tokens, sampling, system)
        if prompt is not None:
            if as_json:
                answers = talk.ask(prompt)
                console.as_json(
                    {"schema": 1, "run": str(trained.path), "name": trained.name, "prompt": prompt, **answers}
                )
            else:
                _answer(talk, prompt, one_line=False)
        elif as_json:
            all_answers = [{"prompt": line, **talk.ask(line)} for line in _lines()]
            console.as_json({"schema": 1, "run": str(trained.path), "name": trained.name, "answers": all_answers})
        else:
            _converse(talk)
    finally:
        trained.close()


def _refuse_useless(named: dict[str, object]) -> None:
    """Raises: typer.BadParameter for what only chooses among several tokens."""
    for name, value in named.items():
        if value is not None:
            message = _("{name} without --temperature changes nothing: the likeliest token is taken each time")
            raise typer.BadParameter(message.format(name=name))


def _refuse_for_labels(named: dict[str, object]) -> None:
    """Raises: typer.BadParameter for what is about written answers."""
    for name, value in named.items():
        if value is not None:
            raise typer.BadParameter(_("{name} is for runs that write; this one gives labels").format(name=name))


def _converse(talk: "Conversation") -> None:
    channel = console.err()
    is_terminal = sys.stdin.isatty()
    if is_terminal:
        keys = _("Ctrl-C ends an answer, Ctrl-D the chat.") if TASKS[talk.run.task].writes else _("Ctrl-D ends.")
        console.note(f"{plan_summary.one_line(talk.run.name)}: {_hint(talk.run)} {keys}")
        console.note(_("The first answer takes a moment: the model is being loaded."))
    for line in _lines():
        _answer(talk, line, one_line=not is_terminal)
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
        except KeyboardInterrupt:  # meant for an answer that had just ended, or for what was typed
            console.err().line()
            continue
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


def _answer(talk: "Conversation", question: str, *, one_line: bool) -> None:
    """Answers with who gave them, as they come; without a terminal on one line each, line ends written as \\n."""
    shown = _ShownAnswers(is_compared=talk.with_base, one_line=one_line)
    if not TASKS[talk.run.task].writes:
        shown.labels(talk.ask(question), are_numbers=talk.run.plan.facts.data.problem_type == "regression")
    elif one_line or not sys.stdin.isatty():
        talk.ask(question, shown.add)
        shown.end()
    else:
        with _ctrl_c_stops(talk) as await_ctrl_c:

            def add(who: "Speaker", piece: str) -> None:
                if not piece:
                    await_ctrl_c()
                shown.add(who, piece)

            talk.ask(question, add)
            shown.end()
            if talk.is_stopped:
                console.note(_("stopped"))


@contextmanager
def _ctrl_c_stops(talk: "Conversation") -> Iterator[Callable[[], object]]:
    """From a call of what it gives on, a first Ctrl-C ends what is being answered; a second one ends the chat."""
    before = signal.getsignal(signal.SIGINT)

    def interrupt(_number: int, _frame: object) -> None:
        signal.signal(signal.SIGINT, before)
        talk.stop()

    try:
        yield partial(signal.signal, signal.SIGINT, interrupt)
    finally:
        signal.signal(signal.SIGINT, before)


@dataclass
class _ShownAnswers:
    """The answers to one question on standard output, with who gave them where that is asked."""

    is_compared: bool
    one_line: bool
    _current: GrowingText | None = field(default=None, init=False)

    def add(self, who: "Speaker", piece: str) -> None:
        """The next piece of this one's answer; an empty one as it begins."""
        if piece:
            assert self._current
            self._current.add(piece)
            return
        self.end()
        self._current = self._new(who)
        self._current.begin()

    def end(self) -> None:
        """End the line of the answer that has come last."""
        if self._current:
            self._current.end()
            self._current = None

    def labels(self, answers: dict[str, Any], *, are_numbers: bool) -> None:
        """Labels with their probabilities, or numbers: with all their digits where programs read them."""
        from tunewright.report import formatting

        speakers: tuple[Speaker, ...] = ("base", "tuned")
        for who in speakers:
            if who not in answers:
                continue
            probability = answers.get(f"{who}_probability")
            self.add(who, "")
            is_short = are_numbers and not self.one_line and sys.stdin.isatty()
            text = formatting.numeral(answers[who]) if is_short else answers[who]
            self.add(who, text + (f"  ({formatting.percent(probability)})" if probability is not None else ""))
        self.end()

    def _new(self, who: "Speaker") -> GrowingText:
        channel = console.out()
        if self.one_line:
            return GrowingText(channel, f"{who}: " if self.is_compared else "", line_end="\\n")
        if not self.is_compared and not sys.stdin.isatty():
            return GrowingText(channel)
        words = {"base": _("base"), "tuned": _("tuned")}
        head = channel.paint(console.pad(words[who], plan_summary.LABEL), "bold")
        return GrowingText(channel, head, channel.width)
