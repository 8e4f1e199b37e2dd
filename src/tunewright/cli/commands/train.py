"""`tunewright train`"""

from typing import Annotated

import typer

from tunewright.cli import options, start
from tunewright.cli.commands import plan as planning
from tunewright.i18n import _


def add_to(app: typer.Typer) -> None:
    example = _("Example: tunewright train smollm2 my.jsonl --preset medium --set train.learning_rate=2e-4")
    app.command(help=_("Train an adapter: plan, start in the background, show it live"), epilog=example)(train)


def train(
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
    offline: options.Offline = False,
    force: options.Force = False,
    detach: options.Detach = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help=_("Only show the plan; the same as `tunewright plan`."))
    ] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    flags = options.training(
        {"model.name": model, "data.train": data, "task": task, "preset": preset, "method": method},
        output=output, rank=rank, epochs=epochs, lr=lr, seed=seed, map=options.mapping(columns), skip_bad=skip_bad,
        offline=offline,
    )  # fmt: skip
    loaded = options.asked(inputs, sets, flags)
    if dry_run:
        ready = planning.training(context, inputs)
        planning.show_plan(loaded, ready, is_json=as_json, is_quiet=quiet, is_verbose=verbose)
        return
    start.run(loaded, force=force, detach=detach, is_json=as_json, is_quiet=quiet, is_verbose=verbose)
