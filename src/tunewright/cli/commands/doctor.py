"""`tunewright doctor`"""

from typing import TYPE_CHECKING, Annotated

import typer

from tunewright.cli import again, brief, options, show
from tunewright.cli.problems import print_problems, printable
from tunewright.i18n import _, ngettext

if TYPE_CHECKING:
    from tunewright.facts.health import Health


def add_to(app: typer.Typer) -> None:
    app.command(help=_("This machine: memory, GPU, disk, versions, built-in model; --fetch gets it"))(doctor)


def doctor(
    fetch: Annotated[
        str | None, typer.Option("--fetch", metavar="NAME", help=_("Get a model now, to work offline later."))
    ] = None,
    online: Annotated[bool, typer.Option("--online", help=_("Ask the Hub whether it answers."))] = False,
    as_json: options.Json = False,
) -> None:
    from tunewright import api

    if fetch:
        folder = api.fetch(fetch, note=show.note)
        if as_json:
            show.as_json({"schema": 1, "model": fetch, "path": str(folder)})
        else:
            brief.labelled(show.out(), _("Model"), f"{fetch}: {folder}")
        return
    found = api.doctor(online=online, note=show.note)
    if as_json:
        show.as_json(found.to_json())
    else:
        _print(found)
    if found.problems:
        raise typer.Exit(found.problems[0].entry.exit_code)


def _print(found: "Health") -> None:
    from tunewright import api

    words, machine, channel = api.words, found.machine, show.out()
    brief.labelled(channel, _("System"), machine.system)
    cores = ngettext("{count} CPU core", "{count} CPU cores", machine.num_cpus).format(count=machine.num_cpus)
    brief.labelled(channel, _("Processor"), cores)
    memory = _("{free} free of {total} (limits of a container counted)")
    brief.labelled(
        channel, _("Memory"), memory.format(free=words.size(machine.free_bytes), total=words.size(machine.memory_bytes))
    )
    brief.labelled(channel, _("Disk"), _("{free} free here").format(free=words.size(machine.disk_free_bytes)))
    brief.labelled(channel, _("Device"), _device(found))
    versions = ", ".join(f"{name} {version}" for name, version in found.versions.items())
    brief.labelled(channel, _("Versions"), versions)
    for name, is_here in found.models.items():
        state = (
            _("here")
            if is_here
            else _("not here yet; it comes with its first use, or now:  tunewright doctor --fetch {name}")
        )
        brief.labelled(
            channel, _("Model"), _("{name}: {state}").format(name=name, state=again.named(state.format(name=name)))
        )
    rows = [
        (
            words.label(words.TOPICS, one.topic),
            channel.paint(printable(one.text()), *(("yellow",) if one.is_warning else ())),
        )
        for one in found.meanings
    ]
    brief.labelled(channel, _("Meaning"), _("for training on this machine"))
    show.table(channel, rows, indent=" " * brief.LABEL)
    print_problems(found.problems, channel)
    if not found.problems:
        show.next_steps((again.command("quickstart"), _("see it work")))


def _device(found: "Health") -> str:
    probe = found.machine.probe
    if probe is None:
        return _("not measured yet")
    rates = ", ".join(f"{name} {rate / 1e9:,.0f} GFLOP/s" for name, rate in probe.flops.items())
    kind = _("no GPU") if probe.device == "cpu" else probe.device_name
    return _("{kind}; measured: {rates}").format(kind=kind, rates=rates)
