"""Flags that several verbs share, and the checked config that they give."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tunewright.cli.parser import Application, Verbs
from tunewright.i18n import _

if TYPE_CHECKING:
    from tunewright.config.load_config import LoadedConfig

JsonFlag = Annotated[bool, typer.Option("--json", help=_("One JSON object on stdout, for programs."))]
QuietFlag = Annotated[bool, typer.Option("-q", "--quiet", help=_("Print only the name of the run."))]
VerboseFlag = Annotated[bool, typer.Option("-v", "--verbose", help=_("Show what the libraries print, too."))]
DetachFlag = Annotated[bool, typer.Option("--detach", help=_("Return at once; the run goes on in the background."))]
ForceFlag = Annotated[bool, typer.Option("--force", help=_("Start even if the plan does not fit this machine."))]
DeviceFlag = Annotated[
    str | None,
    typer.Option(
        "--device", metavar="NAME", help=_('Plan for another device: a100-80, rtx3090, "24GB GPU".'), show_default=False
    ),
]
DeviceIndexFlag = Annotated[
    int | None,
    typer.Option("--device-index", metavar="N", help=_("Number of the GPU that computes, among those visible here.")),
]
ProcessesFlag = Annotated[
    str | None,
    typer.Option(
        "--processes",
        metavar="N",
        help=_("Processes that compute each step together, one for each GPU; `auto`: all that help."),
    ),
]
NodesFlag = Annotated[
    str | None,
    typer.Option(
        "--nodes", metavar="N", help=_("Machines that compute the run together; `auto` asks Slurm and its kin.")
    ),
]
NodeRankFlag = Annotated[
    int | None,
    typer.Option("--node-rank", metavar="K", help=_("Number of this machine, from 0; 0 writes the run's files.")),
]
MainFlag = Annotated[
    str | None,
    typer.Option("--main", metavar="HOST:PORT", help=_("Where the first machine is reached by all: HOST:PORT.")),
]
OnFlag = Annotated[
    str | None,
    typer.Option(
        "--on",
        metavar="LAUNCHER",
        help=_(
            "Write the job for `slurm`, `skypilot`, `k8s` or `ray` that starts this on --nodes machines, and submit it."
        ),
    ),
]
PriceFlag = Annotated[
    float | None,
    typer.Option(
        "--price", metavar="AN_HOUR", min=0, help=_("What an hour costs; the plan then says what the run costs.")
    ),
]
CalibrateFlag = Annotated[
    bool, typer.Option("--calibrate", help=_("Train a few steps first, and measure how fast this machine runs them."))
]
OfflineFlag = Annotated[bool, typer.Option("--offline", help=_("Use no network at all."))]
SetFlag = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="PATH=VALUE", help=_("Set any value of the config; can be repeated."), show_default=False
    ),
]
MapFlag = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="ROLE=COLUMN",
        help=_("Which column plays a role: prompt, completion, messages, ..."),
        show_default=False,
    ),
]
SkipBadFlag = Annotated[bool, typer.Option("--skip-bad", help=_("Leave damaged rows out, counted and listed."))]
RunArgument = Annotated[
    str, typer.Argument(metavar="RUN", help=_("Path, name, beginning of a name, or `last`."), show_default=False)
]
RunOrLastArgument = Annotated[str, typer.Argument(metavar="RUN", help=_("Path, name, beginning of a name, or `last`."))]
PresetFlag = Annotated[
    str | None, typer.Option("--preset", metavar="LEVEL", help=_("How hard the task is: simple, medium or complex."))
]
InputsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="CONFIG.yaml | MODEL DATA...", help=_("A config file, or a model and one or more files of examples.")
    ),
]
ModelFlag = Annotated[
    str | None,
    typer.Option("-m", "--model", metavar="NAME", help=_("A built-in name, a folder, a GGUF file or a Hub id.")),
]
DataFlag = Annotated[str | None, typer.Option("-d", "--data", metavar="FILE", help=_("A file, a folder or a Hub id."))]
OutputFlag = Annotated[
    str | None, typer.Option("-o", "--output", metavar="DIR", help=_("Folder of the run; none makes one under runs/."))
]
TaskFlag = Annotated[
    str | None,
    typer.Option("--task", metavar="NAME", help=_("The task: causal_lm, seq2seq, seq_cls or token_cls.")),
]
MethodFlag = Annotated[str | None, typer.Option("--method", metavar="NAME", help=_("The PEFT method."))]
RankFlag = Annotated[
    int | None, typer.Option("--rank", metavar="R", help=_("Rank of the update (peft.r; peft.target_r of adalora)."))
]
EpochsFlag = Annotated[float | None, typer.Option("--epochs", metavar="N", help=_("Number of epochs."))]
LearningRateFlag = Annotated[float | None, typer.Option("--lr", metavar="RATE", help=_("Learning rate."))]
SeedFlag = Annotated[int | None, typer.Option("--seed", metavar="N", help=_("Seed of initialization and dropout."))]
WithBaseFlag = Annotated[
    str | None,
    typer.Option(
        "--with", metavar="base", help=_("`base` also shows what the base model answers."), show_default=False
    ),
]
YAML = (".yaml", ".yml")
COUNTS = ("processes", "nodes")  # numbers, or `auto`


def load_config_from_flags(
    inputs: Sequence[str] | None, sets: Sequence[str] | None, flags: dict[str, object]
) -> "LoadedConfig":
    """The config of the inputs and named flags (dotted path -> value). Raises: ConfigError."""
    from tunewright import api

    config, named = inputs_of(inputs or (), flags)
    return api.load(config=config, named=named, sets=list(sets or ()))


def inputs_of(inputs: Sequence[str], flags: Mapping[str, object]) -> tuple[Path | None, dict[str, object]]:
    """The config file, if there is one, and the values of inputs and flags by path.

    Raises: typer.BadParameter.
    """
    values = {path: value for path, value in flags.items() if value is not None and value is not False}  # 0 is a value
    if len(inputs) == 1 and Path(inputs[0]).suffix.lower() in YAML:
        return Path(inputs[0]), values
    if any(Path(word).suffix.lower() in YAML for word in inputs):
        raise typer.BadParameter(_("give either one config file, or a model and files of examples"))
    model, data = inputs[:1], inputs[1:]
    named: dict[str, object] = {"model.name": model[0]} if model else {}
    if data:
        named["data.train"] = data[0] if len(data) == 1 else list(data)
    return None, named | values


def training(flags: dict[str, object], **short: Any) -> dict[str, object]:
    """The flags of a training by dotted path; `short` are those with the same short names in Python."""
    from tunewright.config.shortcuts import paths_of

    counts = {name: _count(short[name]) for name in COUNTS if short.get(name)}
    return {**flags, **paths_of(short | counts | {"method": flags["method"]})}


def _count(text: str) -> int | str:
    """The number that was typed, or the word in its place."""
    return int(text) if text.isdecimal() else text


def mapping(texts: Sequence[str] | None) -> dict[str, str] | None:
    """ROLE=COLUMN texts; None if there are none."""
    pairs: dict[str, str] = {}
    for text in texts or ():
        role, equals, column = text.partition("=")
        if not (role and equals and column):
            raise typer.BadParameter(
                _('--map takes ROLE=COLUMN, as in --map prompt=question, not "{text}"').format(text=text)
            )
        refuse_twice("--map", role, pairs)
        pairs[role] = column
    return pairs or None


def refuse_twice(option: str, name: str, known: Collection[str]) -> None:
    """Of two values that an option is given for one name the first would be lost. Raises: typer.BadParameter."""
    if name in known:
        raise typer.BadParameter(_("{option} names {name} twice").format(option=option, name=name))


def wants_base(word: str | None) -> bool:
    """Whether --with names the base."""
    if word not in (None, "base"):
        raise typer.BadParameter(_('--with takes only "base"'))
    return word == "base"


def branch(text: str) -> typer.Typer:
    """A verb that only holds other verbs; alone it shows its help."""
    group = Application(cls=Verbs, help=text, invoke_without_command=True, rich_markup_mode=None)

    @group.callback()
    def show_help(ctx: typer.Context) -> None:
        if ctx.invoked_subcommand is None:
            typer.echo(ctx.get_help())

    return group
