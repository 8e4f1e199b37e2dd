"""What lies in a run's folder, for whoever opens it: the README.md of the run, and a part of its report."""

from tunewright.i18n import N_, Phrase, _
from tunewright.rundir import file_names

CONTENTS: tuple[tuple[str, Phrase], ...] = (
    (f"{file_names.ADAPTER}/", N_("what was trained, with tokenizer and model card; PEFT loads it from here")),
    (file_names.REPORT, N_("the report: open it in a browser, it needs no network")),
    (file_names.CONFIG, N_("the settings; trains the run again")),
    (file_names.PLAN, N_("every decision with its reason, and what the run was estimated to take")),
    (f"{file_names.EVAL}/before.jsonl, after.jsonl", N_("answers of base and tuned model to held-out rows")),
    (f"{file_names.EVAL}/*.losses.jsonl", N_("the loss of every held-out row, before and after")),
    (file_names.BAD_ROWS, N_("rows that were left out, with the reasons; only if there are any")),
    (file_names.LOG, N_("what the libraries printed, and the traceback if something failed")),
    (file_names.EVENTS, N_("each step, measurement and alert, one JSON object a line")),
    (f"{file_names.CHECKPOINTS}/", N_("full states of the training, to resume from; not needed to use the adapter")),
    (f"{file_names.MERGED}/", N_("base and adapter as one model, once it was merged")),
    (
        f"{file_names.RUN_JSON}, {file_names.PREPARED}, {file_names.SEEN_ROWS}, {file_names.LOCK}",
        N_("Tunewright's own book-keeping"),
    ),
)


def readme(name: str) -> str:
    """Markdown in this process's language."""
    lines = [f"| `{file}` | {_(what)} |" for file, what in CONTENTS]
    head = _("A run of Tunewright. Some files appear only later.")
    use = _("Use it: `tunewright chat {run}`. For another machine: `tunewright export {run}`.").format(run=".")
    return "\n".join(
        [f"# {name}", "", head, "", f"| {_('file')} | {_('what it is')} |", "|---|---|", *lines, "", use, ""]
    )
