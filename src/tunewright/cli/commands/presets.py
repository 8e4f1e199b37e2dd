"""`tunewright presets` and `tunewright presets show`"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from tunewright.cli import console, live_display, options, paste_commands, plan_summary
from tunewright.cli.console import Channel
from tunewright.cli.parser import Application, Verbs
from tunewright.i18n import _

if TYPE_CHECKING:
    from tunewright.planning.preset_targets import PresetRow

PresetArgument = Annotated[
    str, typer.Argument(metavar="FAMILY/LEVEL", help=_("As in llama/medium."), show_default=False)
]


def add_to(app: typer.Typer) -> None:
    group = Application(
        cls=Verbs,
        help=_("Which layers each preset trains, by family of models"),
        invoke_without_command=True,
        rich_markup_mode=None,
    )
    group.callback()(presets)
    group.command("list", hidden=True)(presets)
    group.command("show", help=_("One preset as a config to paste"))(show_preset)
    app.add_typer(group, name="presets")


def presets(ctx: typer.Context, model: options.ModelFlag = None, as_json: options.JsonFlag = False) -> None:
    if ctx.invoked_subcommand is not None:
        return
    from tunewright import api

    rows = api.preset_rows(model=model, reporter=live_display.ConsoleReporter())
    if as_json:
        console.as_json({"schema": 1, "model": model, "presets": [row.to_json() for row in rows]})
    elif model:
        _print_model(model, rows, console.out())
    else:
        _print_levels(rows, console.out())
        _print_families(rows, console.out())
        console.next_steps(
            (paste_commands.command("presets show", "llama/medium"), _("one of them as a config")),
            (
                paste_commands.command("presets", "--model", "MODEL"),
                _("the names in a model, and how much each level trains"),
            ),
        )


def show_preset(word: PresetArgument, model: options.ModelFlag = None, as_json: options.JsonFlag = False) -> None:
    from tunewright import api
    from tunewright.report import formatting

    (row,) = api.preset_rows(word, model=model, reporter=live_display.ConsoleReporter())
    if as_json:
        console.as_json({"schema": 1, **row.to_json()})
        return
    channel = console.out()
    channel.line(f"# {word}: {_(row.preset.meaning)}")
    channel.line("method: lora")
    channel.line("peft:")
    channel.line(f"  r: {row.preset.r}")
    channel.line(f"  lora_alpha: {row.preset.lora_alpha}")
    channel.line("  target_modules:")
    for name in row.target_modules:
        channel.line(f"    - {name}  # {_played(row, name)}")
    if row.target_parameters:
        channel.line("  target_parameters:")
        for name in row.target_parameters:
            channel.line(f"    - {name}  # {_('all experts of a block')}")
        channel.line(f"  lora_dropout: 0  # {_('experts allow none')}")
    if row.trainable_parameters is not None:
        of_all = formatting.percent(row.trainable_parameters / (row.num_parameters or 1))
        text = _("{count} parameters are trained in {model}, {percent} of all")
        channel.line(f"# {text.format(count=f'{row.trainable_parameters:,}', model=model, percent=of_all)}")
    elif row.has_variants:
        channel.line(
            f"# {paste_commands.named(_('one model may lack some of these names: tunewright presets --model MODEL'))}"
        )


def _played(row: "PresetRow", name: str) -> str:
    from tunewright.config.preset_table import ROLES

    return ", ".join(_(ROLES[role]) for role in row.played_by(name))


def _print_levels(rows: Sequence["PresetRow"], channel: Channel) -> None:
    levels = {row.preset.level: row.preset for row in rows}
    cells = [(preset.level, str(preset.r), str(preset.lora_alpha), _(preset.meaning)) for preset in levels.values()]
    console.table(channel, cells, (_("level"), "r", "alpha", _("for")), right=(1, 2))
    channel.line()


def _print_families(rows: Sequence["PresetRow"], channel: Channel) -> None:
    """Families that share their names are grouped; a level's names come on top of those of the level above."""
    shared: dict[tuple[tuple[str, ...], ...], list[str]] = {}
    levels = list(dict.fromkeys(row.preset.level for row in rows))
    for start in range(0, len(rows), len(levels)):
        of_family = rows[start : start + len(levels)]
        names = tuple((*row.target_modules, *row.target_parameters) for row in of_family)
        shared.setdefault(names, []).append(of_family[0].family)
    for names, families in shared.items():
        channel.paragraph(channel.paint(" ".join(families), "bold"))
        before: tuple[str, ...] = ()
        for level, of_level in zip(levels, names, strict=True):
            added = " ".join(name for name in of_level if name not in before)
            if added:
                channel.paragraph(f"{'+ ' if before else ''}{added}", " " * 13, f"  {console.pad(level, 9)}  ")
            before = of_level


def _print_model(model: str, rows: Sequence["PresetRow"], channel: Channel) -> None:
    from tunewright.report import formatting

    plan_summary.labelled(channel, _("Model"), _("{name}, family {family}").format(name=model, family=rows[0].family))
    cells = [
        (
            row.preset.level,
            str(row.preset.r),
            str(row.preset.lora_alpha),
            f"{row.trainable_parameters:,}",
            formatting.percent((row.trainable_parameters or 0) / (row.num_parameters or 1)),
            " ".join((*row.target_modules, *row.target_parameters)),
        )
        for row in rows
    ]
    console.table(channel, cells, (_("level"), "r", "alpha", _("trained"), "", _("layers")), right=(1, 2, 3, 4))
    training = paste_commands.command("train", paste_commands.operand(model), "DATA", "--preset", rows[1].preset.level)
    console.next_steps((training, _("train on it")))
