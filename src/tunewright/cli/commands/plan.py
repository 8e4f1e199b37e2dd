"""`tunewright plan`"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from tunewright.cli import console, live_display, options, paste_commands, plan_summary, run_and_follow
from tunewright.cli.console import Channel
from tunewright.cli.problem_display import print_problems, printable
from tunewright.errors.exit_codes import EXIT_DOES_NOT_FIT
from tunewright.i18n import _

if TYPE_CHECKING:
    from tunewright.config.load_config import LoadedConfig
    from tunewright.planning.run_plan import Plan, ScalePlan


def add_to(app: typer.Typer) -> None:
    app.command(help=_("What a run would do: every decision with its reason, memory, disk; starts nothing"))(plan)


def plan(
    context: typer.Context,
    inputs: options.InputsArgument = None,
    model: options.ModelFlag = None,
    data: options.DataFlag = None,
    output: options.OutputFlag = None,
    task: options.TaskFlag = None,
    preset: options.PresetFlag = None,
    method: options.MethodFlag = None,
    rank: options.RankFlag = None,
    epochs: options.EpochsFlag = None,
    lr: options.LearningRateFlag = None,
    seed: options.SeedFlag = None,
    columns: options.MapFlag = None,
    skip_bad: options.SkipBadFlag = False,
    device_index: options.DeviceIndexFlag = None,
    processes: options.ProcessesFlag = None,
    sets: options.SetFlag = None,
    device: options.DeviceFlag = None,
    price: options.PriceFlag = None,
    calibrate: options.CalibrateFlag = False,
    offline: options.OfflineFlag = False,
    as_json: options.JsonFlag = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help=_("Show no progress."))] = False,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help=_("Show every decision with its full reason."))
    ] = False,
) -> None:
    flags = options.training(
        {"model.name": model, "data.train": data, "task": task, "preset": preset, "method": method},
        output=output,
        rank=rank,
        epochs=epochs,
        lr=lr,
        seed=seed,
        map=options.mapping(columns),
        skip_bad=skip_bad,
        device_index=device_index,
        processes=processes,
        offline=offline,
    )
    if calibrate and device:
        raise typer.BadParameter(_("--calibrate measures this machine, --device asks for another"))
    loaded = options.load_config_from_flags(inputs, sets, flags)
    if calibrate:
        _calibrate(loaded, is_quiet=quiet)
    ready = training(context, inputs)
    show_plan(loaded, ready, device=device, price=price, is_json=as_json, is_quiet=quiet, is_verbose=verbose)


def _calibrate(loaded: "LoadedConfig", *, is_quiet: bool) -> None:
    from tunewright import api

    with live_display.meter(_("Inspecting the data"), is_quiet=is_quiet) as reporter:
        factor = api.calibrate(loaded, reporter=reporter)
    if not is_quiet:
        console.note(_("measured: {factor} times the time of the formula").format(factor=f"{factor:.2f}"))


def training(context: typer.Context, inputs: Sequence[str] | None) -> str:
    """The command that trains what this one plans."""
    return paste_commands.command(
        "train", *map(paste_commands.operand, inputs or ()), *paste_commands.typed(context, "train")
    )


def show_plan(
    loaded: "LoadedConfig",
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
    planned = run_and_follow.plan(loaded, device=device, is_quiet=is_quiet)
    cost = price * planned.time.seconds / 3600 if price is not None and planned.time else None
    if is_json:
        console.as_json(planned.to_json() | ({} if cost is None else {"cost": round(cost, 2)}))
    else:
        _print(planned, console.out(), cost, is_whole=is_verbose)
        print_problems(planned.warnings(), console.out())
        if planned.fits and not device:
            console.next_steps((ready, _("run it")))
    if not planned.fits:
        raise typer.Exit(EXIT_DOES_NOT_FIT)


def _print(planned: "Plan", channel: Channel, cost: float | None, *, is_whole: bool) -> None:
    from tunewright.report import formatting

    run = planned.run
    plan_summary.facts(planned, channel)
    share = planned.trainable_parameters / max(1, planned.facts.model.num_parameters)
    method = (
        formatting.method(run)
        + " · "
        + _("{count} of {total} parameters are trained ({share})").format(
            count=formatting.count(planned.trainable_parameters),
            total=formatting.count(planned.facts.model.num_parameters),
            share=formatting.percent(share),
        )
    )
    plan_summary.labelled(channel, _("Method"), method)
    plan_summary.labelled(channel, _("Plan"), plan_summary.plan_line(planned))
    parts = [
        f"{formatting.label(formatting.PARTS, part)} {formatting.size(size)}"
        for part, size in planned.memory.parts.items()
        if size
    ]
    plan_summary.labelled(channel, _("Memory"), " · ".join(parts))
    _print_time(planned, channel, cost)
    if planned.scale:
        _print_scale(planned.scale, channel)
    _print_alternatives(planned, channel)
    plan_summary.decided(planned, channel, is_whole=is_whole)
    chosen = [choice for choice in planned.choices if choice.origin not in ("plan", "default")]
    if chosen:
        plan_summary.labelled(channel, _("Settings"), _("set by you"))
        rows = [
            (
                c.path,
                printable(formatting.plain(c.value)),
                channel.paint(printable(formatting.label(formatting.ORIGINS, c.origin)), "dim"),
            )
            for c in chosen
        ]
        console.table(channel, rows, indent=" " * plan_summary.LABEL)
    if not planned.fits:
        text = _("does not fit: {needed} needed, {free} free. Start it anyway with --force").format(
            needed=formatting.size(planned.memory.peak_bytes), free=formatting.size(planned.room_bytes)
        )
        plan_summary.labelled(channel, _("Memory"), channel.paint(text, "red"))


def _print_time(planned: "Plan", channel: Channel, cost: float | None) -> None:
    from tunewright.report import formatting

    if planned.time is None:
        plan_summary.labelled(channel, _("Time"), _("not known: this device was not measured"))
        return
    estimate = planned.time
    text = _("about {seconds}, from {low} to {high} · {tokens} tokens").format(
        seconds=formatting.duration(estimate.seconds),
        low=formatting.duration(estimate.low_share * estimate.seconds),
        high=formatting.duration(estimate.high_share * estimate.seconds),
        tokens=formatting.count(estimate.tokens),
    )
    if cost is not None:
        text += " · " + _("costs {cost}").format(cost=f"{cost:.2f}")
    plan_summary.labelled(channel, _("Time"), text)


def _print_scale(scale: "ScalePlan", channel: Channel) -> None:
    """Strategies on several devices, with what a device holds and moves, and the time of a step."""
    from tunewright.report import formatting

    plan_summary.labelled(channel, _("Devices"), f"{printable(scale.devices)} · {scale.says()}")
    rows = []
    for row in scale.rows:
        name = f"{row.strategy} {row.quantization}" if row.quantization != "none" else row.strategy
        held = formatting.size(row.device_bytes)
        is_chosen = scale.chosen == f"{row.strategy} {row.quantization}"
        rows.append((
            channel.paint(name, "green", "bold") if is_chosen else name,
            held if row.fits else channel.paint(held, "red"),
            formatting.size(row.moved_bytes),
            formatting.duration(row.step_seconds) if row.step_seconds >= 1 else f"{1000 * row.step_seconds:.0f} ms",
            f"{row.times:.1f}",
        ))  # fmt: skip
    header = ("", _("Each holds"), _("Moves a step"), _("Step"), _("Times as fast"))
    console.table(channel, rows, header, indent=" " * plan_summary.LABEL, right=range(1, 5))
    links = [(_("inside a machine"), scale.inside, "inside")]
    links += [(_("between machines"), scale.between, "between")] if scale.between else []
    speeds = [
        _("{rate} GB/s {where} ({origin})").format(
            rate=f"{speed / 1e9:.3g}", where=where, origin=_("measured here") if kind in scale.measured else _("usual")
        )
        for where, speed, kind in links
    ]
    plan_summary.labelled(channel, _("Links"), " · ".join(speeds))


def _print_alternatives(planned: "Plan", channel: Channel) -> None:
    """Variants of the run, side by side; what does not fit is red. Full fine-tuning comes last."""
    from tunewright.report import formatting

    full = planned.full_fine_tuning
    lines = [
        (other.name(), other.peak_bytes, other.seconds, formatting.count(other.trainable_parameters), other.flags())
        for other in planned.alternatives
    ]
    if full:
        every = formatting.count(planned.facts.model.num_parameters)
        lines.append((_("full fine-tuning, for comparison"), full.memory.peak_bytes, full.seconds, every, ""))
    own = (
        _("this plan"),
        planned.memory.peak_bytes,
        planned.time.seconds if planned.time else None,
        formatting.count(planned.trainable_parameters),
        "",
    )
    rows = [
        (
            name,
            channel.paint(formatting.size(peak), "red") if peak > planned.room_bytes else formatting.size(peak),
            formatting.duration(seconds),
            trained,
        )
        for name, peak, seconds, trained, _flags in (own, *lines)
    ]
    flags = [channel.paint(line[-1], "dim") for line in (own, *lines)]
    plan_summary.labelled(channel, _("Variants"), _("the same run with one thing changed"))
    header = ("", _("Peak memory"), _("Time"), _("Trained"))
    console.table(channel, rows, header, indent=" " * plan_summary.LABEL, right=range(1, 4), below=flags)
