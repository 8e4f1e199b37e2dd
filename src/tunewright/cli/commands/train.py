"""`tunewright train`"""

from typing import Annotated

import typer

from tunewright.cli import options, run_and_follow, written_job
from tunewright.cli.commands import plan as planning
from tunewright.i18n import _


def add_to(app: typer.Typer) -> None:
    example = _("Example: tunewright train smollm2 my.jsonl --preset medium --set train.learning_rate=2e-4")
    app.command(help=_("Train an adapter: plan, start in the background, show it live"), epilog=example)(train)


def train(
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
    nodes: options.NodesFlag = None,
    node_rank: options.NodeRankFlag = None,
    main: options.MainFlag = None,
    on: options.OnFlag = None,
    sets: options.SetFlag = None,
    offline: options.OfflineFlag = False,
    force: options.ForceFlag = False,
    detach: options.DetachFlag = False,
    queue: Annotated[
        bool, typer.Option("--queue", help=_("Start when no other run is on this machine; see `tunewright queue`."))
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help=_("Only show the plan, as `tunewright plan`; with --on only write the job.")),
    ] = False,
    as_json: options.JsonFlag = False,
    quiet: options.QuietFlag = False,
    verbose: options.VerboseFlag = False,
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
        nodes=nodes,
        node_rank=node_rank,
        main=main,
        offline=offline,
    )
    if queue and on:
        raise typer.BadParameter(_("--queue waits for this machine, --on hands the run to others"))
    loaded = options.load_config_from_flags(inputs, sets, flags)
    if on:
        written_job.write_and_submit(loaded, on, force=force, is_dry=dry_run, is_json=as_json, is_quiet=quiet)
        return
    if dry_run:
        ready = planning.training(context, inputs)
        planning.show_plan(loaded, ready, is_json=as_json, is_quiet=quiet, is_verbose=verbose)
        return
    if queue:
        run_and_follow.enqueue(loaded, force=force, is_json=as_json, is_quiet=quiet, is_verbose=verbose)
        return
    run_and_follow.run(loaded, force=force, detach=detach, is_json=as_json, is_quiet=quiet, is_verbose=verbose)
