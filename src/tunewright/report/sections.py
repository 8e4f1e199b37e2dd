"""What each section of the report shows: figures of a record, put into words. The template only sets them."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tunewright.data.summary import DataSummary
from tunewright.errors import Problem
from tunewright.i18n import N_, _, ngettext
from tunewright.metrics.metric_table import METRICS, is_loss
from tunewright.report import formatting, length_histogram, loss_charts, run_record, source_table
from tunewright.report import sample_pairs as answers
from tunewright.report.length_histogram import Histogram
from tunewright.report.loss_charts import BarSegment
from tunewright.report.run_record import RunRecord
from tunewright.report.source_table import SourceRow
from tunewright.report.verdict import SAME_LOSS, ScoreChange, Side
from tunewright.rundir import file_names, model_card, run_readme
from tunewright.rundir.base_model import base_of

_UNMARKED = {
    "text": N_("These answers are not marked: they are free text, or only one of the two models was evaluated."),
    "number": N_("Numbers are not marked as right or wrong; each is shown with how far the tuned model is off."),
}
SHOWN_NUMBERS = 30
OPEN_OF_A_GROUP = 2  # the others unfold
SURE_FROM_ROWS = 30
UNEVEN = 0.8  # share of the most frequent class from which accuracy alone misleads

_STATE_TITLES = {
    "live": N_("The run is not over yet: step {step} of {steps}"),
    "failed": N_("The run failed at step {step}"),
    "stopped": N_("The run was stopped at step {step}"),
    "lost": N_("The run was lost at step {step}"),
}


@dataclass(frozen=True)
class Headline:
    """The verdict in words; `kind` is that of the verdict, or a state, and colours it."""

    title: str
    kind: str
    sentence: str


def headline(record: RunRecord) -> Headline:
    verdict = record.verdict
    title, kind = verdict.title(), str(verdict.kind)
    state = "live" if record.is_live else record.state
    if state == "live" or (state in _STATE_TITLES and verdict.kind == "unknown"):
        title, kind = _(_STATE_TITLES[state]).format(step=record.last_step, steps=record.plan.num_steps), state
    return Headline(title, kind, formatting.unbroken(verdict.sentence()))


@dataclass(frozen=True)
class ShareMark:
    """A share on the line from 0 to 1, and the bar of its interval; places in percent of the line."""

    which: Side
    value: str
    low: str
    width: str


@dataclass(frozen=True)
class ScoreTile:
    """One score before and after, with marks if it is a share, and how sure each measurement is."""

    label: str
    meaning: str
    before: str
    after: str
    marks: Sequence[ShareMark]
    lines: Sequence[str]
    rows: str


def tiles(record: RunRecord) -> list[ScoreTile]:
    """The headline figures. Losses come first where they decide, as in free text; else after the scores of answers."""
    by_loss = is_loss(record.verdict.metric)
    ordered = sorted(record.scores, key=lambda score: is_loss(score.metric) != by_loss)
    return [_tile(score, sides(record)) for score in ordered]


def sides(record: RunRecord) -> dict[Side, str]:
    """The columns side by side: base, baseline where there is one, tuned."""
    base, baseline = record.references
    named: dict[Side, str] = {"before": formatting.label(formatting.REFERENCES, base)}
    if baseline:
        named["baseline"] = formatting.label(formatting.REFERENCES, baseline)
    return {**named, "after": _("tuned")}


def _tile(score: ScoreChange, names: dict[Side, str]) -> ScoreTile:
    values = {side: value for side in names if (value := _value(score, side)) is not None}
    is_share = score.metric in METRICS and METRICS[score.metric].kind == "share"
    with_interval = [side for side in values if side in score.intervals or side == "baseline"]
    return ScoreTile(
        label=formatting.label(formatting.METRICS, score.metric),
        meaning=formatting.meaning(score.metric),
        before=formatting.score(score.metric, score.before),
        after=formatting.score(score.metric, score.after),
        marks=[_mark(score, side, value) for side, value in values.items()] if is_share else [],
        lines=[_line(score, side, names[side], values[side]) for side in with_interval],
        rows="" if score.is_count else _("on {rows}").format(rows=formatting.rows(score.rows).spoken()),
    )


def _value(score: ScoreChange, side: Side) -> float | None:
    return {"before": score.before, "baseline": score.baseline, "after": score.after}[side]


def _mark(score: ScoreChange, side: Side, share: float) -> ShareMark:
    low, high = score.intervals.get(side, (share, share))
    return ShareMark(side, f"{100 * share:.2f}%", f"{100 * low:.2f}%", f"{100 * (high - low):.2f}%")


def _line(score: ScoreChange, side: Side, name: str, value: float) -> str:
    """A measurement in words: rows that are right are counted, everything else is given as it is read."""
    text = formatting.score(score.metric, value)
    if score.is_count:
        text = _("{hits} of {rows}").format(hits=round(value * score.rows), rows=score.rows)
    if side not in score.intervals:
        return f"{name} {text}"
    low, high = (formatting.rounded(score.metric, end) for end in score.intervals[side])
    return _("{name} {value} ({low} to {high})").format(name=name, value=text, low=low, high=high)


def costs(record: RunRecord) -> list[tuple[str, str]]:
    result, model = record.result, record.plan.facts.model
    trained = result.trainable_parameters or record.plan.trainable_parameters
    share = formatting.percent(trained / max(1, model.num_parameters))
    return [
        (_("Time"), formatting.duration(sum(record.seconds.values()))),
        (_("Peak memory"), formatting.size(record.peak_bytes)),
        (_("Trained parameters"), f"{formatting.count(trained)} ({share})"),
        (_("Adapter"), formatting.size(result.adapter_bytes)),
    ]


def caveats(record: RunRecord) -> list[str]:
    """What a careful reader should know about the figures above."""
    before, after = record.before, record.after
    sentences = []
    if any("after" in score.intervals for score in record.scores):
        sentences.append(
            _("In brackets and as bars: 95 % intervals, where the score would be on other rows of this kind.")
        )
    sentences += _about_references(record)
    if before and after:
        sentences.append(
            _("Base and tuned model were evaluated in the same way, on the same rows; none of them was trained on.")
        )
    if after and 0 < after.rows < after.held_out_rows:
        sentences.append(
            _("Answers were generated for {rows} of {held_out}; the loss is over all of them.").format(
                rows=after.rows, held_out=formatting.held_out(after.held_out_rows).spoken()
            )
        )
    if record.info.generated_data:
        sentences.append(
            _(
                "The data were generated by Tunewright to show that training works. "
                "The figures say nothing about other tasks."
            )
        )
        sentences.append(
            _("The demo sets most values itself, to finish in minutes. With your data the plan chooses them.")
        )
    by_loss = is_loss(record.verdict.metric)
    rows = (after.held_out_rows if by_loss else after.rows) if after else 0
    if by_loss:
        sentences.append(
            _("A loss says how well answers were predicted, not how good they are. Read the answers before you decide.")
        )
        fell = sum(after < before for before, after in record.row_losses.values())
        if record.row_losses:
            sentences.append(
                _("The loss fell on {fell} of {held_out}.").format(
                    fell=fell, held_out=formatting.held_out(len(record.row_losses)).spoken()
                )
            )
    if 0 < rows < SURE_FROM_ROWS:
        sentences.append(
            _("With {rows} only large differences can be shown.").format(rows=formatting.rows(rows).spoken())
        )
    leaked = record.summary.counts.get("leaked", 0) if record.summary else 0
    if leaked:
        sentences.append(
            ngettext(
                "{count} held-out row was also in training; it was left out of the test.",
                "{count} held-out rows were also in training; they were left out of the test.",
                leaked,
            ).format(count=leaked)
        )
    if _losses_disagree(record):
        sentences.append(
            _("The held-out loss says the opposite of the answers. Look at the samples before you decide.")
        )
    return list(map(formatting.unbroken, sentences))


def _about_references(record: RunRecord) -> list[str]:
    """What the tuned model is compared with, where it is more than the base model."""
    sentences = []
    if record.before and record.before.computed:
        sentences.append(
            _(
                "The base model was not evaluated again: its scores and answers are from the cache, computed on {time} "
                "with the same rows and settings."
            ).format(time=formatting.moment(record.before.computed))
        )
    if record.before and record.references[0] == "untrained head":
        sentences.append(
            _("The base model has no head for this task: a randomly initialized one was evaluated, which only guesses.")
        )
    if record.before and record.baseline:
        sentences.append(
            _("The better of base and baseline is what counts; the baseline gives every row the same answer.")
        )
    shares = record.baseline.scores if record.baseline else {}
    accuracy = shares.get("accuracy") or 0.0
    if accuracy >= UNEVEN and "macro_f1" in shares:
        sentences.append(
            _("One class is {share} of all rows, so accuracy says little; the mean over the labels says more.").format(
                share=formatting.percent(accuracy)
            )
        )
    return sentences


def _losses_disagree(record: RunRecord) -> bool:
    verdict, losses = record.verdict, [score for score in record.scores if score.metric == "held_out_loss"]
    if (
        verdict.metric is None
        or is_loss(verdict.metric)
        or not losses
        or not losses[0].before
        or losses[0].after is None
    ):
        return False
    change = (losses[0].after - losses[0].before) / losses[0].before
    return (verdict.kind == "better" and change > SAME_LOSS) or (verdict.kind == "worse" and change < -SAME_LOSS)


def pairs(record: RunRecord) -> list[answers.SamplePair]:
    return answers.pairs(record.kind, *record.samples, record.row_losses)


@dataclass(frozen=True)
class OutcomeCount:
    """How many answers had an outcome."""

    kind: str
    label: str
    count: int


@dataclass(frozen=True)
class SampleSection:
    """Answers to read: the groups of those that are shown, and all of them by outcome."""

    groups: Sequence[answers.SampleGroup]
    num_shown: int
    num_open: int
    """How many of a group are not folded away."""
    total: int
    kinds: Sequence[OutcomeCount]
    bar: Sequence[BarSegment]
    is_short: bool
    """Whether answers are labels or numbers, which fit into a table."""
    has_marks: bool
    unmarked: str
    """Why no answer is marked as right or wrong, for those that are not."""


def samples(record: RunRecord) -> SampleSection:
    both = pairs(record)
    shown, is_short = answers.shown(both), record.kind in ("label", "labels", "number")
    counts: dict[str, int] = {kind: count for kind, count in answers.count(both).items() if count}
    return SampleSection(
        groups=answers.groups(shown),
        num_shown=len(shown),
        num_open=OPEN_OF_A_GROUP,
        total=len(both),
        kinds=[OutcomeCount(kind, label, counts[kind]) for kind, label in answers.OUTCOMES.items() if kind in counts],
        bar=loss_charts.stack(counts, sum(counts.values())),
        is_short=is_short,
        has_marks=not is_short and any(part.is_only_here for pair in shown for part in pair.parts[1]),
        unmarked=_UNMARKED.get(record.kind, _UNMARKED["text"]),
    )


@dataclass(frozen=True)
class RowKind:
    """Rows of a kind that somebody should know of, what became of them, and the numbers of the first."""

    name: str
    label: str
    fate: str
    count: int
    numbers: Sequence[int]


@dataclass(frozen=True)
class DataAccount:
    """What became of every row: `rows` = `used` + `held_out` + `dropped` + `not_drawn`. Figures as in `DataSummary`."""

    rows: int
    used: int
    held_out: int
    dropped: int
    not_drawn: int
    adds_up: bool
    bar: Sequence[BarSegment]
    kinds: Sequence[RowKind]
    format: str
    columns: Mapping[str, str]
    max_length: int
    lengths: Sequence[tuple[str, int]]
    histogram: Histogram | None
    """None for runs that were not measured so"""
    in_loss: str
    sources: Sequence[SourceRow] = ()
    has_bad_rows: bool = False
    """Whether a file says why rows were left out."""


def data_checks(record: RunRecord) -> DataAccount | None:
    """The account of a run's rows; None before they were read."""
    if not record.summary:
        return None
    has_bad_rows = record.run.file(file_names.BAD_ROWS).is_file()
    return replace(data_account(record.summary), sources=source_table.rows(record), has_bad_rows=has_bad_rows)


def data_account(summary: DataSummary) -> DataAccount:
    """What became of every row, the kinds of what was found, and the lengths."""
    parts = {"used": summary.used, "held_out": summary.held_out, "dropped": summary.dropped}
    parts |= {"not_drawn": summary.not_drawn} if summary.not_drawn else {}
    kinds = [
        RowKind(
            name=kind,
            label=_(formatting.KINDS[kind][0]) if kind in formatting.KINDS else kind,
            fate=_(formatting.KINDS[kind][1]) if kind in formatting.KINDS else "",
            count=count,
            numbers=summary.numbers.get(kind, [])[:SHOWN_NUMBERS],
        )
        for kind, count in summary.counts.items()
        if count
    ]
    return DataAccount(
        rows=summary.rows,
        used=summary.used,
        held_out=summary.held_out,
        dropped=summary.dropped,
        not_drawn=summary.not_drawn,
        adds_up=sum(parts.values()) == summary.rows,
        bar=loss_charts.stack(parts, summary.rows),
        kinds=kinds,
        format=summary.format,
        columns=summary.columns,
        max_length=summary.max_length,
        lengths=[(formatting.label(formatting.LENGTHS, name), value) for name, value in summary.lengths.items()],
        histogram=length_histogram.histogram(summary),
        in_loss=formatting.in_loss(summary),
    )


@dataclass(frozen=True)
class Estimates:
    """What the plan promised beside what was measured, in words."""

    rows: Sequence[tuple[str, str, str, str]]
    """Name, planned, measured, difference."""
    bar: Sequence[BarSegment]
    """The planned memory by part."""
    measured: str | None
    """Where in the bar the measured peak is."""
    phases: Sequence[tuple[str, str, str]]
    """Name, time, share."""
    total: str


def estimates(record: RunRecord) -> Estimates:
    plan, result, process = record.plan, record.result, record.peak_bytes
    speed = record.tokens_per_second
    # A plan for a GPU promises the GPU's memory, not that of the process beside it.
    peak = result.peak_device_bytes or process
    title = _("Peak memory of the GPU") if result.peak_device_bytes else _("Peak memory")
    rows = [
        (title, formatting.size(plan.memory.peak_bytes), formatting.size(peak), _off(plan.memory.peak_bytes, peak)),
        (_("Time"), formatting.duration(plan.time.seconds if plan.time else None), formatting.duration(record.run.seconds()),
         _off(round(plan.time.seconds), round(took)) if plan.time and (took := record.run.seconds()) else ""),
        (_("Steps"), f"{plan.num_steps:,}", f"{record.last_step:,}", ""),
        (_("Trainable parameters"), f"{plan.trainable_parameters:,}", formatting.number(result.trainable_parameters),
         _off(plan.trainable_parameters, result.trainable_parameters)),
        (_("Adapter"), formatting.size(plan.adapter_bytes), formatting.size(result.adapter_bytes),
         _off(plan.adapter_bytes, result.adapter_bytes)),
        (_("Tokens trained on"), formatting.DASH, formatting.number(record.tokens), ""),
        (_("Tokens per second"), formatting.DASH, formatting.number(round(speed)) if speed else formatting.DASH, ""),
    ]  # fmt: skip
    if result.peak_device_bytes:
        rows.insert(1, (_("Peak memory"), formatting.DASH, formatting.size(process), ""))
    whole = 1.04 * max(plan.memory.peak_bytes, peak or 0)
    total = sum(record.seconds.values())
    return Estimates(
        rows=rows,
        bar=loss_charts.stack(plan.memory.parts, whole),
        measured=f"{100 * peak / whole:.3f}%" if peak else None,
        phases=[
            (
                formatting.label(formatting.PHASES, name),
                formatting.duration(seconds),
                formatting.percent(seconds / total if total else 0.0),
            )
            for name, seconds in record.seconds.items()
        ],
        total=formatting.duration(total),
    )


def _off(estimated: int, measured: int | None) -> str:
    if not measured or not estimated:
        return ""
    change = round(100 * (measured - estimated) / estimated)
    return formatting.with_sign(f"{change:+d}".replace("-", "−")) if change else _("as planned")


def alerts(record: RunRecord) -> list[Problem]:
    return [event.problem for event in record.history.alerts.last]


@dataclass(frozen=True)
class Repetition:
    """How a run is made again, what it was made of, and what its adapter is used with."""

    command: str
    config: str
    versions: Mapping[str, str]
    seeds: Mapping[str, int]
    adapter: str | None
    """The adapter's folder; None for a run without one."""
    load: str
    elsewhere: str
    """Code that loads the adapter on another machine, as `load` does beside it."""
    files: Sequence[tuple[str, str]]
    uses: Sequence[tuple[str, str]]
    """Commands, and what they are for."""


def repeat(record: RunRecord) -> Repetition:
    run, train, base = record.run, record.plan.run.train, base_of(record.plan)
    name = shlex.quote(run.name)
    return Repetition(
        command=f"tunewright train {file_names.CONFIG}",
        config=formatting.without_folders(run_record.config_text(run)),
        versions=record.info.versions,
        seeds={"train.seed": train.seed, "train.data_seed": train.data_seed},
        adapter=f"{file_names.ADAPTER}/" if run.adapter_dir.is_dir() else None,
        load=model_card.loading_code(record.plan, file_names.ADAPTER),
        elsewhere=model_card.loading_code_elsewhere(record.plan, base.name, file_names.ADAPTER),
        files=[(file, _(what)) for file, what in run_readme.CONTENTS],
        uses=[
            (f"tunewright chat {name} --with base", _("talk to both models")),
            (f"tunewright generate {name} prompts.jsonl", _("answers for a file of prompts")),
            (f"tunewright merge {name}", _("one model without adapter")),
            (f"tunewright export {name} -o {name}-adapter", _("The adapter as a folder for other machines")),
        ],
    )
