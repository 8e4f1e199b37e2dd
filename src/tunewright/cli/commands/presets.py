"""`tunewright presets` and `tunewright presets show`"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from tunewright.cli import again, brief, options, show
from tunewright.cli.parser import Application, Verbs
from tunewright.cli.show import Channel
from tunewright.i18n import _

if TYPE_CHECKING:
    from tunewright.planning.presets import Row

Word = Annotated[str, typer.Argument(metavar="FAMILY/LEVEL", help=_("As in llama/medium."), show_default=False)]


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


def presets(ctx: typer.Context, model: options.Model = None, as_json: options.Json = False) -> None:
    if ctx.invoked_subcommand is not None:
        return
    from tunewright import api

    rows = api.preset_rows(model=model, note=show.note)
    if as_json:
        show.as_json({"schema": 1, "model": model, "presets": [row.to_json() for row in rows]})
    elif model:
        _print_model(model, rows, show.out())
    else:
        _print_levels(rows, show.out())
        _print_families(rows, show.out())
        show.next_steps(
            (again.command("presets show", "llama/medium"), _("one of them as a config")),
            (again.command("presets", "--model", "MODEL"), _("the names in a model, and how much each level trains")),
        )


def show_preset(word: Word, model: options.Model = None, as_json: options.Json = False) -> None:
    from tunewright import api

    (row,) = api.preset_rows(word, model=model, note=show.note)
    if as_json:
        show.as_json({"schema": 1, **row.to_json()})
        return
    channel = show.out()
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
        of_all = api.words.percent(row.trainable_parameters / (row.num_parameters or 1))
        text = _("{count} numbers are trained in {model}, {percent} of all")
        channel.line(f"# {text.format(count=f'{row.trainable_parameters:,}', model=model, percent=of_all)}")
    elif row.has_variants:
        channel.line(f"# {again.named(_('one model may lack some of these names: tunewright presets --model MODEL'))}")


def _played(row: "Row", name: str) -> str:
    from tunewright.spec.presets import ROLES

    return ", ".join(_(ROLES[role]) for role in row.played_by(name))


def _print_levels(rows: Sequence["Row"], channel: Channel) -> None:
    levels = {row.preset.level: row.preset for row in rows}
    cells = [(preset.level, str(preset.r), str(preset.lora_alpha), _(preset.meaning)) for preset in levels.values()]
    show.table(channel, cells, (_("level"), "r", "alpha", _("for")), right=(1, 2))
    channel.line()


def _print_families(rows: Sequence["Row"], channel: Channel) -> None:
    """Families that share their names stand together; a level's names come on top of those of the level above."""
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
                channel.paragraph(f"{'+ ' if before else ''}{added}", " " * 13, f"  {show.pad(level, 9)}  ")
            before = of_level


def _print_model(model: str, rows: Sequence["Row"], channel: Channel) -> None:
    from tunewright import api

    words = api.words
    brief.labelled(channel, _("Model"), _("{name}, family {family}").format(name=model, family=rows[0].family))
    cells = [
        (
            row.preset.level,
            str(row.preset.r),
            str(row.preset.lora_alpha),
            f"{row.trainable_parameters:,}",
            words.percent((row.trainable_parameters or 0) / (row.num_parameters or 1)),
            " ".join((*row.target_modules, *row.target_parameters)),
        )
        for row in rows
    ]
    show.table(channel, cells, (_("level"), "r", "alpha", _("trained"), "", _("layers")), right=(1, 2, 3, 4))
    training = again.command("train", again.operand(model), "DATA", "--preset", rows[1].preset.level)
    show.next_steps((training, _("train on it")))
