"""`tunewright prepare`"""

from dataclasses import asdict
from typing import Annotated

import typer

from tunewright.cli import console, live_display, options, paste_commands
from tunewright.i18n import _


def add_to(app: typer.Typer) -> None:
    example = _("Example: tunewright prepare smollm2 my.jsonl")
    app.command(help=_("Encode all rows ahead, on all cores; plan, train and compare find them"), epilog=example)(
        prepare
    )


def prepare(
    context: typer.Context,
    inputs: options.InputsArgument = None,
    model: options.ModelFlag = None,
    data: options.DataFlag = None,
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
    offline: options.OfflineFlag = False,
    as_json: options.JsonFlag = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help=_("Show no progress."))] = False,
) -> None:
    from tunewright import api
    from tunewright.report import formatting

    flags = options.training(
        {"model.name": model, "data.train": data, "task": task, "preset": preset, "method": method},
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
    loaded = options.load_config_from_flags(inputs, sets, flags)
    with live_display.meter(_("Encoding the rows"), is_quiet=quiet) as reporter:
        prepared = api.prepare(loaded, reporter=reporter)
    if as_json:
        console.as_json({**asdict(prepared), "folder": str(prepared.folder)})
        return
    text = _("{train} training rows and {held_out} held-out rows, {tokens} tokens, {size} in {folder}").format(
        train=f"{prepared.train_rows:,}",
        held_out=f"{prepared.held_out_rows:,}",
        tokens=formatting.count(prepared.tokens),
        size=formatting.size(prepared.bytes),
        folder=prepared.folder,
    )
    channel = console.out()
    channel.line(text)
    done = _("they were there already, and every file holds") if prepared.from_cache else _("encoded and written")
    channel.line(f"{done} ({formatting.duration(prepared.seconds)})")
    words = map(paste_commands.operand, inputs or ())
    console.next_steps(
        (paste_commands.command("train", *words, *paste_commands.typed(context, "train")), _("train on them"))
    )
