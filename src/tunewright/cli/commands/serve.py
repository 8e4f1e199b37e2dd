"""`tunewright serve`"""

import json
import shlex
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunewright.cli import console, live_display, options, plan_summary
from tunewright.cli.commands.export_check import print_proof
from tunewright.cli.problem_display import show_base_problems
from tunewright.i18n import _

if TYPE_CHECKING:
    from tunewright.api import Served
    from tunewright.rundir.records import Proof

IDLE_MINUTES = 15.0
SLOTS = 8


def add_to(app: typer.Typer) -> None:
    app.command(help=_("An endpoint for OpenAI's clients: each run a model by its name"))(serve)


def serve(
    runs: Annotated[
        list[str] | None, typer.Argument(metavar="RUN...", help=_("Runs on one base; `last` if none is named."))
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            "--engine", metavar="NAME", show_default=False,
            help=_("llama: llama.cpp; transformers: the run's own session. llama where it can carry the run."),
        ),
    ] = None,
    quant: Annotated[
        str | None,
        typer.Option("--quant", metavar="TYPE", show_default=False, help=_("Type of the weights for llama.cpp.")),
    ] = None,
    host: Annotated[str, typer.Option("--host", help=_("Another than this machine alone needs a key."))] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help=_("0 takes any free one."))] = 8000,
    api_key_file: Annotated[
        Path | None,
        typer.Option("--api-key-file", metavar="FILE", show_default=False, help=_("The key; made if there is none.")),
    ] = None,
    cors: Annotated[
        list[str] | None,
        typer.Option(
            "--cors", metavar="ORIGIN", show_default=False, help=_("A page whose scripts may ask; can be repeated.")
        ),
    ] = None,
    parallel: Annotated[
        int, typer.Option("--parallel", min=1, max=64, help=_("How many requests are answered at once."))
    ] = SLOTS,
    idle_minutes: Annotated[
        float, typer.Option("--idle-minutes", min=0, help=_("When unused, the memory is given back; 0: never."))
    ] = IDLE_MINUTES,
    with_system: Annotated[
        bool, typer.Option("--with-system", help=_("Begin with the system turn that all training rows share."))
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help=_("Compare what it answers with the runs before it is said to be ready."))
    ] = False,
    as_json: options.JsonFlag = False,
) -> None:  # fmt: skip
    from tunewright import api

    if check and with_system:
        raise typer.BadParameter(
            _("--check compares prompts with those of the training, and --with-system changes them")
        )
    trained = [api.open_run(run) for run in runs or ["last"]]
    chosen = api.ServeOptions(
        host, port, api_key_file, tuple(cors or ()), parallel, idle_minutes * 60, with_system=with_system
    )
    for run in trained:
        show_base_problems(run)
    with ExitStack() as until_the_end:
        with live_display.meter(_("Preparing"), is_quiet=as_json) as reporter:
            opened = api.open_server(trained, chosen, engine=engine, quant=quant, reporter=reporter)
            served = until_the_end.enter_context(opened)
        if not check:
            _show_ready(served, (), as_json=as_json)
            served.run()
        else:
            console.note(_("Loading the model of {name}").format(name=", ".join(run.name for run in trained)))
            api.serve_checked(trained, served, partial(_show_ready, served, as_json=as_json))


def _show_ready(served: "Served", proofs: "Sequence[Proof]", *, as_json: bool) -> None:
    """What was proved, and where it is."""
    if as_json:
        proven = {"proven": True} if proofs else {}
        console.as_json({**served.to_json(), **proven})
        return
    for proof in proofs:
        print_proof(proof, console.out())
    _show(served)


def _show(served: "Served") -> None:
    """Where it is, what it serves, and a first request."""
    channel = console.out()
    engine = "llama.cpp" if served.engine == "llama" else _("the run's own session")
    tokens = _("{count} tokens of prompt and answer").format(count=served.context)
    plan_summary.labelled(channel, _("Serving"), f"{served.url}/v1 ({engine}, {tokens})")
    plan_summary.labelled(channel, _("Models"), ", ".join(served.models))
    if served.key_file:
        plan_summary.labelled(channel, _("API key"), _("in {file}").format(file=plan_summary.shorten(served.key_file)))
    if served.problem:
        plan_summary.labelled(channel, _("Note"), served.problem.message())
    console.next_steps((_first_request(served), _("asks it")), ("Ctrl-C", _("ends it")))


def _first_request(served: "Served") -> str:
    """A request to paste."""
    body: dict[str, object] = {"model": served.models[0], "messages": [{"role": "user", "content": "Hello"}]}
    path = "/v1/chat/completions"
    if not served.writes:
        body, path = {"model": served.models[0], "input": "Hello"}, "/v1/classify"
    words = ["curl", f"{served.url}{path}", "-H", "Content-Type: application/json"]
    if served.key_file:
        key = f'"Authorization: Bearer $(cat {shlex.quote(str(served.key_file))})"'
        return f"{shlex.join(words)} -H {key} -d {shlex.quote(json.dumps(body))}"
    return f"{shlex.join(words)} -d {shlex.quote(json.dumps(body))}"
