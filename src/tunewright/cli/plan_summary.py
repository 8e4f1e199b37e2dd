"""A plan and its outcome in a few lines: what is used, what was decided and why, the scores."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright import i18n
from tunewright.cli import console, paste_commands
from tunewright.cli.console import Channel
from tunewright.cli.problem_display import printable
from tunewright.i18n import N_, _, ngettext
from tunewright.i18n import width as columns_of

if TYPE_CHECKING:
    from tunewright.api.run_handle import TrainedRun
    from tunewright.config.run_config import DataSource
    from tunewright.config.stored_record import Scores
    from tunewright.config.tasks import Task
    from tunewright.inspection.data_info import SourceInfo
    from tunewright.planning.run_plan import Plan
    from tunewright.rundir.events import ScoreEvent
    from tunewright.rundir.records import BaselineRecord

LABEL = 10
MOST_DECISIONS = 10
MATTERS = (
    "task", "model.chat_template", "model.precision", "data.max_length", "peft.r", "peft.lora_alpha", "peft.target_r",
    "peft.num_virtual_tokens", "peft.target_modules", "train.learning_rate", "train.num_train_epochs",
    "train.per_device_train_batch_size", "train.gradient_accumulation_steps", "eval.rows",
)  # fmt: skip
GENERATED: dict[str, str] = {
    "causal_lm": N_("shop messages -> JSON"),
    "seq2seq": N_("shop messages -> JSON"),
    "seq_cls": N_("shop messages -> intent"),
    "token_cls": N_("shop messages -> tagged words"),
}
COUNTED: dict[str, str] = {
    "exact_match": N_("{right} of {rows} held-out answers exactly right"),
    "accuracy": N_("{right} of {rows} held-out rows right"),
}


def labelled(channel: Channel, label: str, text: str) -> None:
    """One line with a label in front: the form of all summaries."""
    channel.paragraph(text, " " * LABEL, channel.paint(console.pad(label, LABEL), "bold"))


def facts(plan: "Plan", channel: Channel, *, is_generated: bool = False) -> None:
    """Machine, model and data of a plan."""
    from tunewright.report import formatting

    inputs = plan.facts
    probe = inputs.machine.probe
    gpu = _("no GPU") if probe is None or probe.device == "cpu" else probe.device_name
    cores = ngettext("{count} CPU core", "{count} CPU cores", inputs.machine.num_cpus).format(
        count=inputs.machine.num_cpus
    )
    if probe and not probe.is_measured:
        memory = formatting.size(probe.memory_bytes)
        machine = _("{device}, {memory}: not here; memory and speed are from a table, nothing of them was measured")
        labelled(channel, _("Machine"), machine.format(device=gpu, memory=memory) + f" -> {plan.run.model.precision}")
    else:
        machine = f"{cores}, {formatting.size(inputs.machine.memory_bytes)}, {gpu} -> {plan.run.model.precision}"
        labelled(channel, _("Machine"), machine)
    size = _("{count} parameters").format(count=formatting.count(inputs.model.num_parameters))
    labelled(channel, _("Model"), f"{one_line(inputs.model.name)} ({inputs.model.architecture}, {size})")
    labelled(channel, _("Data"), data_line(plan, is_generated=is_generated))
    tokens = sum(source.tokens for source in inputs.data.sources)
    pairs = zip(inputs.data.sources, plan.run.data.sources, strict=False)  # none where rows are not mixed
    for source, configured in pairs:
        labelled(channel, "", source_line(source, configured, tokens))


def source_line(source: "SourceInfo", configured: "DataSource", tokens: int) -> str:
    """One source of mixed rows: how many of them are used, and what share of all tokens they are."""
    from tunewright.report import formatting

    text = _("{name}: {train} to train, {held_out} held out · {share} of the tokens").format(
        name=one_line(source.path),
        train=f"{source.num_train:,}",
        held_out=f"{source.num_held_out:,}",
        share=formatting.percent(source.tokens / max(1, tokens)),
    )
    wanted = formatting.share_text(configured)
    return f"{text} · {wanted}" if wanted else text


def data_line(plan: "Plan", *, is_generated: bool = False) -> str:
    """The data in one line: rows, format, share of tokens in the loss."""
    from tunewright import api

    data = plan.facts.data
    name = _("generated: {views}").format(views=_(GENERATED[plan.run.task])) if is_generated else one_line(data.path)
    if len(data.sources) > 1:
        name = ngettext("{count} source", "{count} sources", len(data.sources)).format(count=len(data.sources))
    rows = ngettext(
        "{train} row to train, {held_out} held out", "{train} rows to train, {held_out} held out", data.num_train
    ).format(train=f"{data.num_train:,}", held_out=f"{data.num_held_out:,}")
    if is_generated:
        rows += _(" (other wording, other items)")
    parts = [name, rows, api.describe_data(plan), *_in_loss(plan)]
    if data.num_sequences > data.num_train:
        form = "mixed" if data.sources else data.format
        parts.insert(2, texts_of(form, data.num_train, data.num_sequences, plan.run.data.max_length)[1])
    if data.fixed:
        names = ", ".join(map(one_line, data.fixed.originals))
        changes = ngettext("{count} change", "{count} changes", data.fixed.num_fixes).format(count=data.fixed.num_fixes)
        parts.append(_("mended from {names}: {changes}").format(names=names, changes=changes))
    if data.num_bad:
        parts.append(ngettext("{count} row left out", "{count} rows left out", data.num_bad).format(count=data.num_bad))
    return " · ".join(parts)


def texts_of(form: str, rows: int, count: int, max_length: int) -> tuple[str, str]:
    """Rows that become several sequences: long texts, repeated rows, or answers with prompts of their own. Returns: label, text."""
    if form == "mixed":
        text = _("{rows} rows -> {count} sequences of up to {length} tokens in an epoch")
        return _("Texts"), text.format(rows=f"{rows:,}", count=f"{count:,}", length=f"{max_length:,}")
    if form != "text":
        text = _(
            "{rows} rows -> {texts} texts, as the chat template formats earlier answers differently from what the model generates"
        )
        return _("Texts"), text.format(rows=f"{rows:,}", texts=f"{count:,}")
    text = ngettext(
        "{rows} row -> {blocks} blocks of up to {length} tokens",
        "{rows} rows -> {blocks} blocks of up to {length} tokens",
        rows,
    )
    return _("Blocks"), text.format(rows=f"{rows:,}", blocks=f"{count:,}", length=f"{max_length:,}")


def _in_loss(plan: "Plan") -> list[str]:
    """What is trained on: labels where there are some, else the share of tokens in the loss."""
    from tunewright.report import formatting

    data = plan.facts.data
    if data.labels:
        return [ngettext("{count} label", "{count} labels", len(data.labels)).format(count=len(data.labels))]
    if data.problem_type == "regression":
        return [_("a number for each row")]
    share = formatting.percent(data.mean_label_tokens / data.mean_length if data.mean_length else 0.0)
    return [_("{share} of the tokens are in the loss").format(share=share)]


def plan_line(plan: "Plan") -> str:
    """Steps, memory against what is free, size of the adapter."""
    from tunewright.report import formatting

    steps = ngettext("{count} step of {rows} rows", "{count} steps of {rows} rows", plan.num_steps)
    memory = _("peak {peak} of {free} free").format(
        peak=formatting.size(plan.memory.peak_bytes), free=formatting.size(plan.room_bytes)
    )
    if (processes := plan.run.launch.processes) > 1:
        memory = _("{processes} processes, each with a {memory}").format(processes=processes, memory=memory)
    adapter = _("adapter {size}").format(size=formatting.size(plan.adapter_bytes))
    return " · ".join([steps.format(count=plan.num_steps, rows=plan.effective_batch), memory, adapter])


def decided(plan: "Plan", channel: Channel, *, is_whole: bool = False) -> None:
    """What was decided for the person: what matters most, each on a line with the beginning of its reason; or all, whole."""
    from tunewright.report import formatting

    choices = {choice.path: choice for choice in plan.choices if choice.origin == "plan"}
    if not choices:
        return
    paths = list(choices) if is_whole else [path for path in MATTERS if path in choices][:MOST_DECISIONS]
    cells = [(f"{path} {printable(formatting.plain(choices[path].value))}", choices[path].why()) for path in paths]
    labelled(channel, _("Decisions"), _("every value can be set: --set PATH=VALUE"))
    if is_whole:
        console.table(channel, [(cell, channel.paint(why, "dim")) for cell, why in cells], indent=" " * LABEL)
        return
    for cell, why in cells:
        head = f"{' ' * LABEL}{cell}  "
        room = channel.width - columns_of(head) if channel.width else columns_of(why)
        channel.line((head + channel.paint(console.crop(re.split("[;；]", why)[0], room), "dim")).rstrip())
    if num_hidden := len(choices) - len(paths):
        text = ngettext("{count} more, and full reasons: -v", "{count} more, and full reasons: -v", num_hidden)
        channel.line(" " * LABEL + channel.paint(text.format(count=num_hidden), "dim"))


def score_line(task: "Task", event: "ScoreEvent") -> str:
    """A `score` event in one sentence: the rows that are right where they were counted, else the first two scores."""
    from tunewright.report import formatting

    scores_text = _scores_text(task, event)
    if event.computed is None:
        return scores_text
    return _("{scores} (from the cache, computed on {time})").format(
        scores=scores_text, time=formatting.moment(event.computed)
    )


def _scores_text(task: "Task", event: "ScoreEvent") -> str:
    from tunewright.report import formatting

    scores, rows = event.scores, event.rows
    names = formatting.in_reading_order(scores)[:2]
    counted = next((name for name in names if name in COUNTED and formatting.counts_rows(task, name)), None)
    if counted and rows and (share := scores[counted]) is not None:
        return _(COUNTED[counted]).format(right=f"{round(share * rows):,}", rows=f"{rows:,}")
    return ", ".join(
        f"{formatting.label(formatting.METRICS, name)} {formatting.score(name, scores[name])}" for name in names
    )


def score_table(
    before: "Scores | None",
    after: "Scores | None",
    channel: Channel,
    *,
    base: str,
    baseline: "BaselineRecord | None" = None,
) -> None:
    """Scores of base, baseline and tuned model side by side; `base` names the first in `formatting.REFERENCES`."""
    from tunewright.report import formatting

    columns = {formatting.label(formatting.REFERENCES, base): before or {}}
    if baseline:
        columns[formatting.label(formatting.REFERENCES, baseline.name)] = baseline.scores
    columns[_("tuned")] = after or {}
    rows = [
        (
            formatting.label(formatting.METRICS, name),
            *(formatting.score(name, scores.get(name)) for scores in columns.values()),
        )
        for name in formatting.in_reading_order(after or before or {})
    ]
    if rows:
        console.table(channel, rows, ("", *columns), indent=" " * LABEL, right=range(1, len(columns) + 1))


def outcome(run: "TrainedRun", channel: Channel) -> None:
    """Scores before and after, the verdict, where the adapter and the report are."""
    from tunewright import api
    from tunewright.report import formatting

    record = api.account(run.dir)
    result = record.result
    score_table(result.before, result.after, channel, base=record.references[0], baseline=result.baseline)
    verdict = record.verdict
    answer = _("{answer}. {reason}").format(answer=verdict.title(), reason=verdict.sentence())
    labelled(channel, _("Verdict"), answer)
    seconds = result.seconds
    took = _("{total} in all, {train} of it training").format(
        total=formatting.duration(seconds.get("total")), train=formatting.duration(seconds.get("train"))
    )
    peak = _("peak memory {peak} (estimated {estimated})").format(
        peak=formatting.size(record.peak_bytes), estimated=formatting.size(record.plan.memory.peak_bytes)
    )
    labelled(channel, _("Cost"), f"{took} · {peak}")
    labelled(
        channel,
        _("Saved"),
        f"{shorten(run.adapter)} ({_('PEFT format')}, {formatting.size(result.adapter_bytes)})",
    )
    report = run.path / "report.html"
    if report.is_file():
        labelled(channel, _("Report"), shorten(report))


def shorten(path: Path) -> str:
    """A path as seen from here, on one line."""
    return one_line(paste_commands.shorten(path))


def one_line(name: str) -> str:
    """A name that may hold line ends or control characters, as it can be shown inside a line."""
    return printable(i18n.one_line(name))


def after_training(run: "TrainedRun", *, repeated: Sequence[str] = (), is_demo: bool = False) -> None:
    """The likely next commands. Only what was shown to be better is worth merging; else the question is what was wrong."""
    from tunewright import api
    from tunewright.config.methods import METHODS

    name = paste_commands.handle(run)
    config = run.plan.run
    talk = (paste_commands.command("chat", name, "--with", "base"), _("talk to both models"))
    if api.account(run.dir).verdict.kind != "better":
        console.next_steps((paste_commands.command("diagnose", name), _("why, and what helps")), *_remedy(run), talk)
    elif is_demo:
        own = paste_commands.command("train", config.model.name, "my.jsonl", *repeated)
        console.next_steps(talk, (own, _("the same with your data")))
    elif METHODS[config.method].merges:
        console.next_steps(talk, (paste_commands.command("merge", name), _("one model without adapter")))
    else:
        console.next_steps(talk)


def _remedy(run: "TrainedRun") -> list[tuple[str, str]]:
    """The first command that a diagnosis of the run gives, with what it does; none if it finds nothing."""
    from tunewright import api

    remedies = [remedy for finding in api.diagnose(run.dir).findings for remedy in finding.remedies]
    return [(paste_commands.named(remedy.command), remedy.message()) for remedy in remedies[:1]]
