"""`tunewright plan`"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from tunewright.catalogue.entry import EXIT_DOES_NOT_FIT
from tunewright.cli import again, brief, live, options, show, start
from tunewright.cli.problems import print_problems, printable
from tunewright.cli.show import Channel
from tunewright.i18n import _

if TYPE_CHECKING:
    from tunewright.planning.plan import Plan
    from tunewright.spec.load import Loaded


def add_to(app: typer.Typer) -> None:
    app.command(help=_("What a run would do: every decision with its reason, memory, disk; writes no run"))(plan)


def plan(
    context: typer.Context,
    inputs: options.Inputs = None,
    model: options.Model = None,
    data: options.Data = None,
    output: options.Output = None,
    task: options.Task = None,
    preset: options.Preset = None,
    method: options.Method = None,
    rank: options.Rank = None,
    epochs: options.Epochs = None,
    lr: options.LearningRate = None,
    seed: options.Seed = None,
    columns: options.Map = None,
    skip_bad: options.SkipBad = False,
    sets: options.Sets = None,
    device: options.Device = None,
    price: options.Price = None,
    calibrate: options.Calibrate = False,
    offline: options.Offline = False,
    as_json: options.Json = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help=_("Show no progress."))] = False,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help=_("Show every decision with its whole reason."))
    ] = False,
) -> None:
    flags = options.training(
        {"model.name": model, "data.train": data, "task": task, "preset": preset, "method": method},
        output=output, rank=rank, epochs=epochs, lr=lr, seed=seed, map=options.mapping(columns), skip_bad=skip_bad,
        offline=offline,
    )  # fmt: skip
    if calibrate and device:
        raise typer.BadParameter(_("--calibrate measures this machine, --device asks for another"))
    loaded = options.asked(inputs, sets, flags)
    if calibrate:
        _calibrate(loaded, is_quiet=quiet)
    ready = training(context, inputs)
    show_plan(loaded, ready, device=device, price=price, is_json=as_json, is_quiet=quiet, is_verbose=verbose)


def _calibrate(loaded: "Loaded", *, is_quiet: bool) -> None:
    from tunewright import api

    with live.meter(_("Looking at the data"), is_quiet=is_quiet) as progress:
        factor = api.calibrate(loaded, note=show.note, progress=progress)
    if not is_quiet:
        show.note(_("measured: {factor} times the time of the formula").format(factor=f"{factor:.2f}"))


def training(context: typer.Context, inputs: Sequence[str] | None) -> str:
    """The command that trains what this one plans."""
    return again.command("train", *map(again.operand, inputs or ()), *again.typed(context, "train"))


def show_plan(
    loaded: "Loaded",
    ready: str,
    *,
    device: str | None = None,
    price: float | None = None,
    is_json: bool,
    is_quiet: bool,
    is_verbose: bool,
) -> None:
    """Make the plan and print it, with the command `ready` that runs it; nothing is written.

    Raises: typer.Exit 3 if it does not fit the device.
    """
    made = start.plan(loaded, device=device, is_quiet=is_quiet)
    cost = price * made.time.seconds / 3600 if price is not None and made.time else None
    if is_json:
        show.as_json(made.to_json() | ({} if cost is None else {"cost": round(cost, 2)}))
    else:
        _print(made, show.out(), cost, is_whole=is_verbose)
        print_problems(made.warnings(), show.out())
        if made.fits and not device:
            show.next_steps((ready, _("run it")))
    if not made.fits:
        raise typer.Exit(EXIT_DOES_NOT_FIT)


def _print(made: "Plan", channel: Channel, cost: float | None, *, is_whole: bool) -> None:
    from tunewright import api

    words, run = api.words, made.run
    brief.facts(made, channel)
    share = made.trainable_parameters / made.facts.model.num_parameters
    method = (
        words.method(run)
        + " · "
        + _("{count} of {total} parameters are trained ({share})").format(
            count=words.count(made.trainable_parameters),
            total=words.count(made.facts.model.num_parameters),
            share=words.percent(share),
        )
    )
    brief.labelled(channel, _("Method"), method)
    brief.labelled(channel, _("Plan"), brief.plan_line(made))
    parts = [f"{words.label(words.PARTS, part)} {words.size(size)}" for part, size in made.memory.parts.items() if size]
    brief.labelled(channel, _("Memory"), " · ".join(parts))
    _print_time(made, channel, cost)
    _print_alternatives(made, channel)
    brief.decided(made, channel, is_whole=is_whole)
    asked = [choice for choice in made.choices if choice.origin not in ("plan", "default")]
    if asked:
        brief.labelled(channel, _("Asked"), _("taken as they were given"))
        rows = [
            (
                c.path,
                printable(words.plain(c.value)),
                channel.paint(printable(words.label(words.ORIGINS, c.origin)), "dim"),
            )
            for c in asked
        ]
        show.table(channel, rows, indent=" " * brief.LABEL)
    if not made.fits:
        text = _("does not fit: {needed} needed, {free} free. Start it all the same with --force").format(
            needed=words.size(made.memory.peak_bytes), free=words.size(made.facts.room_bytes)
        )
        brief.labelled(channel, _("Memory"), channel.paint(text, "red"))


def _print_time(made: "Plan", channel: Channel, cost: float | None) -> None:
    from tunewright import api

    words = api.words
    if made.time is None:
        brief.labelled(channel, _("Time"), _("not known: this device was not measured"))
        return
    found = made.time
    text = _("about {seconds}, from {low} to {high} · {tokens} tokens").format(
        seconds=words.duration(found.seconds), low=words.duration(found.low_share * found.seconds),
        high=words.duration(found.high_share * found.seconds), tokens=words.count(found.tokens),
    )  # fmt: skip
    if cost is not None:
        text += " · " + _("costs {cost}").format(cost=f"{cost:.2f}")
    brief.labelled(channel, _("Time"), text)


def _print_alternatives(made: "Plan", channel: Channel) -> None:
    """The run otherwise, side by side; what does not fit is red. Full fine-tuning stands last."""
    from tunewright import api

    words, full = api.words, made.full_fine_tuning
    lines = [
        (other.name(), other.peak_bytes, other.seconds, words.count(other.trainable_parameters), other.flags())
        for other in made.alternatives
    ]
    if full:
        every = words.count(made.facts.model.num_parameters)
        lines.append((_("full fine-tuning, for comparison"), full.memory.peak_bytes, full.seconds, every, ""))
    own = (_("this plan"), made.memory.peak_bytes, made.time.seconds if made.time else None,
           words.count(made.trainable_parameters), "")  # fmt: skip
    rows = [
        (name, channel.paint(words.size(peak), "red") if peak > made.facts.room_bytes else words.size(peak),
         words.duration(seconds), trained)
        for name, peak, seconds, trained, _flags in (own, *lines)
    ]  # fmt: skip
    flags = [channel.paint(line[-1], "dim") for line in (own, *lines)]
    brief.labelled(channel, _("Otherwise"), _("the same run with one thing changed"))
    header = ("", _("Peak memory"), _("Time"), _("Trained"))
    show.table(channel, rows, header, indent=" " * brief.LABEL, right=range(1, 4), below=flags)
