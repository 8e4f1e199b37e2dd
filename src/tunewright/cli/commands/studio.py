"""`tunewright studio`"""

import os
import webbrowser
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from tunewright.cli import console, plan_summary
from tunewright.i18n import _

if TYPE_CHECKING:
    from tunewright.studio.server import Address


def add_to(app: typer.Typer) -> None:
    app.command(help=_("Everything on a page of this machine, in your browser"))(studio)


def studio(
    port: Annotated[
        int | None,
        typer.Option(
            "--port", min=0, max=65535, help=_("8686, or the next free one, if not given."), show_default=False
        ),
    ] = None,
    no_open: Annotated[bool, typer.Option("--no-open", help=_("Only print the address."))] = False,
) -> None:
    from tunewright.studio import server
    from tunewright.studio.guard import Keys
    from tunewright.studio.secret import secret

    with server.only_one() as place:
        if isinstance(place, int):
            _show(server.Address(place, Keys(secret(), place).new_code()), is_new=False, opens=not no_open)
            return
        opened = server.listener(port)
        keys = Keys(secret(), opened.getsockname()[1])
        place(keys.port)
        _show(server.Address(keys.port, keys.new_code()), is_new=True, opens=not no_open)
        from tunewright.studio import app  # a second of imports, when the browser is on its way

        server.serve(opened, partial(app.build, keys))


def _show(address: "Address", *, is_new: bool, opens: bool) -> None:
    """Where it is, and how another machine's browser gets there."""
    channel = console.out()
    plan_summary.labelled(channel, _("Studio"), address.url)
    if not is_new:
        console.note(_("It was running in this folder already; the address is good once."))
    elif "SSH_CONNECTION" in os.environ:
        plan_summary.labelled(
            channel, _("From your machine"), f"ssh -L {address.port}:127.0.0.1:{address.port} {os.uname().nodename}"
        )
    if is_new:
        console.next_steps(("Ctrl-C", _("ends the page; runs go on")))
    if opens:
        webbrowser.open(address.url)
