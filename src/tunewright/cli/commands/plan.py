"""`tunewright plan`"""

import shlex
import sys
from typing import TYPE_CHECKING

import typer

from tunewright.catalogue import EXIT_DOES_NOT_FIT
from tunewright.cli import brief, options, show, start
from tunewright.cli.problems import printable
from tunewright.cli.show import Channel
from tunewright.i18n import _

if TYPE_CHECKING:
    from tunewright.plan.plan import Plan
    from tunewright.spec.load import Loaded


def add_to(app: typer.Typer) -> None:
    app.command(help=_("What a run would do: every decision with its reason, memory, disk; writes no run"))(plan)


def plan(
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
    offline: options.Offline = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    flags = {
        "model.name": model, "data.train": data, "run.output_dir": output, "task": task, "preset": preset,
        "method": method, options.rank_of(method): rank,
        "train.num_train_epochs": epochs, "train.learning_rate": lr, "train.seed": seed, "data.map": options.mapping(columns),
        "data.skip_bad": skip_bad, "run.offline": offline,
    }  # fmt: skip
    show_plan(options.asked(inputs, sets, flags), is_json=as_json, is_quiet=quiet)


def show_plan(loaded: "Loaded", *, is_json: bool, is_quiet: bool) -> None:
    """Make the plan and print it; nothing is written. Raises: typer.Exit 3 if it does not fit this machine."""
    made = start.plan(loaded, is_quiet=is_quiet)
    if is_json:
        show.as_json(made.to_json())
    else:
        _print(made, show.out())
        if made.fits:
            show.next_steps((_command(), _("run it")))
    if not made.fits:
        raise typer.Exit(EXIT_DOES_NOT_FIT)


def _command() -> str:
    """This very command as the one that trains."""
    words = ["train" if word == "plan" and i == 0 else word for i, word in enumerate(sys.argv[1:])]
    return shlex.join(["tunewright", *(word for word in words if word not in ("--dry-run", "-q", "--quiet"))])


def _print(made: "Plan", channel: Channel) -> None:
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
    brief.decided(made, channel)
    asked = [choice for choice in made.choices if choice.origin not in ("plan", "default")]
    if asked:
        brief.labelled(channel, _("Asked"), _("taken as they were given"))
        rows = [(c.path, printable(words.plain(c.value)), channel.paint(printable(c.origin), "dim")) for c in asked]
        show.table(channel, rows, indent=" " * brief.LABEL)
    if not made.fits:
        text = _("does not fit: {needed} needed, {free} free. Start it all the same with --force").format(
            needed=words.size(made.memory.peak_bytes), free=words.size(made.facts.machine.free_bytes)
        )
        brief.labelled(channel, _("Memory"), channel.paint(text, "red"))
