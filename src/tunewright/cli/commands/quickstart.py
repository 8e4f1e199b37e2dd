"""`tunewright quickstart`"""

from typing import Annotated

import typer

from tunewright.cli import console, options, paste_commands, run_and_follow
from tunewright.i18n import N_, _

# The part that is not trained yet: without this note, the score before would be blamed on the base model.
UNTRAINED = {
    "seq2seq": N_(
        "bert2bert is one encoder twice: what joins its halves (cross-attention) is randomly "
        "initialized, so before training it generates nothing useful."
    ),
    "seq_cls": N_("The head that names the label is new and untrained: before training its answers are chance."),
    "token_cls": N_(
        "The head that names each word's tag is new and untrained: before training its answers are chance."
    ),
}


def add_to(app: typer.Typer) -> None:
    app.command(help=_("Train, test and compare a small model on a built-in task, in minutes"))(quickstart)


def quickstart(
    context: typer.Context,
    task: Annotated[
        str,
        typer.Option(
            "--task", metavar="TASK", help=_("causal_lm, seq2seq, seq_cls or token_cls; PEFT's names do, too.")
        ),
    ] = "causal_lm",
    seed: Annotated[int, typer.Option("--seed", help=_("Seed of the generated data and of the training."))] = 42,
    sets: options.SetFlag = None,
    detach: options.DetachFlag = False,
    force: options.ForceFlag = False,
    as_json: options.JsonFlag = False,
    quiet: options.QuietFlag = False,
    verbose: options.VerboseFlag = False,
) -> None:
    from tunewright import api

    loaded = api.quickstart_request(seed, sets or (), task=task)
    if not quiet:
        console.note(
            _("The data of this task are generated here: they show that training works, not how well it does on yours.")
        )
        if loaded.run.task in UNTRAINED:
            console.note(_(UNTRAINED[loaded.run.task]))
    repeated = paste_commands.typed(context, "train", without=("--task",))
    if loaded.run.task != "causal_lm":
        repeated = ["--task", loaded.run.task, *repeated]
    run_and_follow.run(
        loaded,
        force=force,
        detach=detach,
        is_json=as_json,
        is_quiet=quiet,
        is_verbose=verbose,
        repeated=repeated,
        is_demo=True,
    )
