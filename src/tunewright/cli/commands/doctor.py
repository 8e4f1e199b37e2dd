"""`tunewright doctor`"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from tunewright.cli import console, live_display, options, paste_commands, plan_summary
from tunewright.cli.problem_display import print_problems, printable
from tunewright.i18n import _, ngettext

if TYPE_CHECKING:
    from tunewright.inspection.machine_info import LinkSpeed
    from tunewright.inspection.requirements import Requirement


def add_to(app: typer.Typer) -> None:
    app.command(help=_("This machine: memory, GPU, disk, versions, built-in model; --fetch gets it"))(doctor)


def doctor(
    fetch: Annotated[
        str | None, typer.Option("--fetch", metavar="NAME", help=_("Get a model now, to work offline later."))
    ] = None,
    online: Annotated[bool, typer.Option("--online", help=_("Check whether the Hub answers."))] = False,
    link: Annotated[
        bool,
        typer.Option("--link", help=_("Measure how fast two processes, or machines, reach each other; plans use it.")),
    ] = False,
    nodes: Annotated[
        int,
        typer.Option("--nodes", metavar="N", min=1, help=_("Machines to measure between; the same command on each.")),
    ] = 1,
    node_rank: Annotated[
        int, typer.Option("--node-rank", metavar="K", min=0, help=_("Number of this machine, from 0."))
    ] = 0,
    main: options.MainFlag = None,
    as_json: options.JsonFlag = False,
) -> None:
    from tunewright import api
    from tunewright.config.run_config import ADDRESS_PATTERN

    if fetch:
        folder = api.fetch(fetch, reporter=live_display.ConsoleReporter())
        if as_json:
            console.as_json({"schema": 1, "model": fetch, "path": str(folder)})
        else:
            plan_summary.labelled(console.out(), _("Model"), f"{fetch}: {folder}")
        return
    if link:
        if nodes > 1 and not re.fullmatch(ADDRESS_PATTERN, main or ""):
            text = _("several machines meet at the first one: --main HOST:PORT, with a port from 1 to 65535")
            raise typer.BadParameter(text)
        if node_rank >= nodes:
            raise typer.BadParameter(_("machines are counted from 0"))
        measured = api.link(nodes, node_rank, main or "", reporter=live_display.ConsoleReporter())
        if as_json:
            console.as_json({"schema": 1, "link": measured.model_dump(mode="json")})
        else:
            _print_links([measured])
        return
    report = api.doctor(online=online, reporter=live_display.ConsoleReporter())
    if as_json:
        console.as_json(report.to_json())
    else:
        _print(report)
    if report.problems:
        raise typer.Exit(report.problems[0].entry.exit_code)


def _print(report: "Requirement") -> None:

    from tunewright.report import formatting

    machine = report.machine
    channel = console.out()
    plan_summary.labelled(channel, _("System"), machine.system)
    cores = ngettext("{count} CPU core", "{count} CPU cores", machine.num_cpus).format(count=machine.num_cpus)
    plan_summary.labelled(channel, _("Processor"), cores)
    memory = _("{free} free of {total} (limits of a container counted)")
    plan_summary.labelled(
        channel,
        _("Memory"),
        memory.format(free=formatting.size(machine.free_bytes), total=formatting.size(machine.memory_bytes)),
    )
    plan_summary.labelled(
        channel, _("Disk"), _("{free} free here").format(free=formatting.size(machine.disk_free_bytes))
    )
    plan_summary.labelled(channel, _("Device"), _device(report))
    if machine.links:
        _print_links(machine.links)
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    plan_summary.labelled(channel, _("Versions"), versions)
    for name, is_here in report.models.items():
        state = (
            _("here")
            if is_here
            else _("not here yet; it comes with its first use, or now:  tunewright doctor --fetch {name}")
        )
        plan_summary.labelled(
            channel,
            _("Model"),
            _("{name}: {state}").format(name=name, state=paste_commands.named(state.format(name=name))),
        )
    rows = [
        (
            formatting.label(formatting.TOPICS, finding.topic),
            channel.paint(printable(finding.text()), *(("yellow",) if finding.is_warning else ())),
        )
        for finding in report.meanings
    ]
    plan_summary.labelled(channel, _("Meaning"), _("for training on this machine"))
    console.table(channel, rows, indent=" " * plan_summary.LABEL)
    print_problems(report.problems, channel)
    if not report.problems:
        console.next_steps((paste_commands.command("quickstart"), _("see it work")))


def _print_links(links: "Sequence[LinkSpeed]") -> None:
    rows = [
        (
            _("between machines") if link.is_between_machines else _("between two processes here"),
            f"{link.bytes_per_second / 1e9:.2f} GB/s",
            f"{1e6 * link.latency_seconds:.0f} us",
            printable(f"{link.backend}, {link.device_name}"),
        )
        for link in links
    ]
    channel = console.out()
    plan_summary.labelled(channel, _("Link"), _("measured by sums of 16 MiB, and of one number"))
    header = ("", _("moves"), _("a message"), _("by"))
    console.table(channel, rows, header, indent=" " * plan_summary.LABEL, right=(1, 2))


def _device(report: "Requirement") -> str:
    probe = report.machine.probe
    if probe is None:
        return _("not measured yet")
    rates = ", ".join(f"{name} {rate / 1e9:,.0f} GFLOP/s" for name, rate in probe.flops.items())
    kind = _("no GPU") if probe.device == "cpu" else probe.device_name
    return _("{kind}; measured: {rates}").format(kind=kind, rates=rates)
