"""What stands in each section of the report: figures of a record, put into words. The template only sets them."""

import shlex
from typing import Any

from tunewright.errors import Problem
from tunewright.i18n import N_, _, ngettext
from tunewright.metrics.metric_table import METRICS, is_loss
from tunewright.report import formatting, length_histogram, loss_charts, run_record
from tunewright.report import sample_pairs as answers
from tunewright.report.run_record import RunRecord
from tunewright.report.verdict import SAME_LOSS, ScoreChange, Side
from tunewright.rundir import file_names, model_card, run_readme
from tunewright.rundir.base_model import base_of

_UNMARKED = {
    "text": N_("These answers are not marked: they are free text, or only one of the two models was measured."),
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


def headline(found: RunRecord) -> dict[str, str]:
    verdict = found.verdict
    said: dict[str, str] = {
        "title": verdict.title(),
        "kind": verdict.kind,
        "sentence": formatting.unbroken(verdict.sentence()),
    }
    state = "live" if found.is_live else found.state
    if state == "live" or (state in _STATE_TITLES and verdict.kind == "unknown"):
        title = _(_STATE_TITLES[state]).format(step=found.last_step, steps=found.plan.num_steps)
        said |= {"title": title, "kind": state}
    return said


def tiles(found: RunRecord) -> list[dict[str, Any]]:
    """The big numbers. Losses stand in front where they decide, as in free text; else behind the scores of answers."""
    by_loss = is_loss(found.verdict.metric)
    ordered = sorted(found.scores, key=lambda score: is_loss(score.metric) != by_loss)
    return [_tile(score, sides(found)) for score in ordered]


def sides(found: RunRecord) -> dict[Side, str]:
    """What stands beside each other: base, baseline where there is one, tuned."""
    base, baseline = found.references
    named: dict[Side, str] = {"before": formatting.label(formatting.REFERENCES, base)}
    if baseline:
        named["baseline"] = formatting.label(formatting.REFERENCES, baseline)
    return {**named, "after": _("tuned")}


def _tile(score: ScoreChange, names: dict[Side, str]) -> dict[str, Any]:
    values = {side: value for side in names if (value := _value(score, side)) is not None}
    is_share = score.metric in METRICS and METRICS[score.metric].kind == "share"
    told = [side for side in values if side in score.intervals or side == "baseline"]
    return {
        "label": formatting.label(formatting.METRICS, score.metric),
        "meaning": formatting.meaning(score.metric),
        "before": formatting.score(score.metric, score.before),
        "after": formatting.score(score.metric, score.after),
        "marks": [_mark(score, side, value) for side, value in values.items()] if is_share else [],
        "lines": [_line(score, side, names[side], values[side]) for side in told],
        "rows": "" if score.is_count else _("on {rows}").format(rows=formatting.rows(score.rows).spoken()),
    }


def _value(score: ScoreChange, side: Side) -> float | None:
    return {"before": score.before, "baseline": score.baseline, "after": score.after}[side]


def _mark(score: ScoreChange, side: Side, share: float) -> dict[str, str]:
    """A point on the line from 0 to 1, and the bar of its interval."""
    low, high = score.intervals.get(side, (share, share))
    place = {"value": f"{100 * share:.2f}%", "low": f"{100 * low:.2f}%", "width": f"{100 * (high - low):.2f}%"}
    return {"which": side, **place}


def _line(score: ScoreChange, side: Side, name: str, value: float) -> str:
    """A measurement in words: rows that are right are counted, everything else is given as it is read."""
    told = formatting.score(score.metric, value)
    if score.is_count:
        told = _("{hits} of {rows}").format(hits=round(value * score.rows), rows=score.rows)
    if side not in score.intervals:
        return f"{name} {told}"
    low, high = (formatting.rounded(score.metric, end) for end in score.intervals[side])
    return _("{name} {told} ({low} to {high})").format(name=name, told=told, low=low, high=high)


def costs(found: RunRecord) -> list[tuple[str, str]]:
    result, model = found.result, found.plan.facts.model
    trained = result.get("trainable_parameters", found.plan.trainable_parameters)
    share = formatting.percent(trained / model.num_parameters)
    return [
        (_("Time"), formatting.duration(sum(found.seconds.values()))),
        (_("Peak memory"), formatting.size(found.peak_bytes)),
        (_("Trained parameters"), f"{formatting.count(trained)} ({share})"),
        (_("Adapter"), formatting.size(result.get("adapter_bytes"))),
    ]


def caveats(found: RunRecord) -> list[str]:
    """What a careful reader should know about the figures above."""
    before, after = found.before, found.after
    said = []
    if any("after" in score.intervals for score in found.scores):
        said.append(_("In brackets and as bars: 95 % intervals, where the score would lie on other rows of this kind."))
    said += _about_references(found)
    if before and after:
        said.append(
            _("Base and tuned model were measured in the same way, on the same rows; none of them was trained on.")
        )
    if after and 0 < after["rows"] < after["held_out_rows"]:
        said.append(
            _("Answers were written for {rows} of {held_out}; the loss is that of all.").format(
                rows=after["rows"], held_out=formatting.held_out(after["held_out_rows"]).spoken()
            )
        )
    if found.info.get("generated_data"):
        said.append(
            _(
                "The data were generated by Tunewright to show that training works. "
                "The figures say nothing about other tasks."
            )
        )
        said.append(_("The demo sets most values itself, to be done in minutes. With your data the plan chooses them."))
    by_loss = is_loss(found.verdict.metric)
    rows = after["held_out_rows" if by_loss else "rows"] if after else 0
    if by_loss:
        said.append(
            _("A loss says how well answers were predicted, not how good they are. Read the answers before you decide.")
        )
        fell = sum(after < before for before, after in found.row_losses.values())
        if found.row_losses:
            said.append(
                _("The loss fell on {fell} of {held_out}.").format(
                    fell=fell, held_out=formatting.held_out(len(found.row_losses)).spoken()
                )
            )
    if 0 < rows < SURE_FROM_ROWS:
        said.append(_("With {rows} only large differences can be shown.").format(rows=formatting.rows(rows).spoken()))
    leaked = found.summary.counts.get("leaked", 0) if found.summary else 0
    if leaked:
        said.append(
            ngettext(
                "{count} held-out row also stood in training; it was left out of the test.",
                "{count} held-out rows also stood in training; they were left out of the test.",
                leaked,
            ).format(count=leaked)
        )
    if _losses_disagree(found):
        said.append(_("The held-out loss says the opposite of the answers. Look at the samples before you decide."))
    return list(map(formatting.unbroken, said))


def _about_references(found: RunRecord) -> list[str]:
    """What the tuned model is held against, where it is more than the base model."""
    said = []
    if found.before and found.references[0] == "untrained head":
        said.append(
            _("The base model has no head for this task: one of random numbers was measured, which only guesses.")
        )
    if found.before and found.baseline:
        said.append(_("The better of base and baseline is what counts; the baseline gives every row the same answer."))
    shares = found.baseline["scores"] if found.baseline else {}
    if shares.get("accuracy", 0.0) >= UNEVEN and "macro_f1" in shares:
        said.append(
            _("One class is {share} of all rows, so accuracy says little; the mean over the labels says more.").format(
                share=formatting.percent(shares["accuracy"])
            )
        )
    return said


def _losses_disagree(found: RunRecord) -> bool:
    verdict, losses = found.verdict, [score for score in found.scores if score.metric == "held_out_loss"]
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


def pairs(found: RunRecord) -> list[answers.SamplePair]:
    return answers.pairs(found.kind, *found.samples, found.row_losses)


def samples(found: RunRecord) -> dict[str, Any]:
    both = pairs(found)
    shown, is_short = answers.shown(both), found.kind in ("label", "labels", "number")
    counts: dict[str, int] = {kind: count for kind, count in answers.count(both).items() if count}
    kinds = [{"kind": k, "label": label, "count": counts[k]} for k, label in answers.OUTCOMES.items() if k in counts]
    total = sum(counts.values())
    return {
        "groups": answers.groups(shown),
        "num_shown": len(shown),
        "num_open": OPEN_OF_A_GROUP,
        "total": len(both),
        "kinds": kinds,
        "bar": loss_charts.stack(counts, total),
        "is_short": is_short,
        "has_marks": not is_short and any(part.is_only_here for pair in shown for part in pair.parts[1]),
        "unmarked": _UNMARKED.get(found.kind, _UNMARKED["text"]),
    }


def gate(found: RunRecord) -> dict[str, Any]:
    summary = found.summary
    if not summary:
        return {}
    parts = {"used": summary.used, "held_out": summary.held_out, "dropped": summary.dropped}
    kinds = [
        {
            "label": _(formatting.KINDS[kind][0]) if kind in formatting.KINDS else kind,
            "fate": _(formatting.KINDS[kind][1]) if kind in formatting.KINDS else "",
            "count": count,
            "numbers": summary.numbers.get(kind, [])[:SHOWN_NUMBERS],
        }
        for kind, count in summary.counts.items()
        if count
    ]
    return {
        **summary.model_dump(mode="json"),
        "bar": loss_charts.stack(parts, summary.rows),
        "adds_up": sum(parts.values()) == summary.rows,
        "kinds": kinds,
        "lengths": [(formatting.label(formatting.LENGTHS, name), value) for name, value in summary.lengths.items()],
        "histogram": length_histogram.histogram(summary),
        "learned": formatting.learned(summary),
        "has_bad_rows": found.run.file(file_names.BAD_ROWS).is_file(),
    }


def promise(found: RunRecord) -> dict[str, Any]:
    plan, result, peak = found.plan, found.result, found.peak_bytes
    speed = result.get("tokens_per_second", found.last_log("tokens_per_second"))
    rows = [
        (_("Peak memory"), formatting.size(plan.memory.peak_bytes), formatting.size(peak), _off(plan.memory.peak_bytes, peak)),
        (_("Time"), formatting.duration(plan.time.seconds if plan.time else None), formatting.duration(found.run.seconds()),
         _off(round(plan.time.seconds), round(took)) if plan.time and (took := found.run.seconds()) else ""),
        (_("Steps"), f"{plan.num_steps:,}", f"{found.last_step:,}", ""),
        (_("Trainable parameters"), f"{plan.trainable_parameters:,}", formatting.number(result.get("trainable_parameters")),
         _off(plan.trainable_parameters, result.get("trainable_parameters"))),
        (_("Adapter"), formatting.size(plan.adapter_bytes), formatting.size(result.get("adapter_bytes")),
         _off(plan.adapter_bytes, result.get("adapter_bytes"))),
        (_("Tokens trained on"), formatting.DASH, formatting.number(result.get("tokens", found.last_log("tokens"))), ""),
        (_("Tokens per second"), formatting.DASH, formatting.number(round(speed)) if speed else formatting.DASH, ""),
    ]  # fmt: skip
    if result.get("peak_device_bytes"):
        rows.insert(1, (_("Peak memory of the GPU"), formatting.DASH, formatting.size(result["peak_device_bytes"]), ""))
    whole = 1.04 * max(plan.memory.peak_bytes, peak or 0)
    total = sum(found.seconds.values())
    return {
        "rows": rows,
        "bar": loss_charts.stack(plan.memory.parts, whole),
        "measured": f"{100 * peak / whole:.3f}%" if peak else None,
        "phases": [
            (
                formatting.label(formatting.PHASES, name),
                formatting.duration(seconds),
                formatting.percent(seconds / total if total else 0.0),
            )
            for name, seconds in found.seconds.items()
        ],
        "total": formatting.duration(total),
    }


def _off(promised: int, measured: int | None) -> str:
    if not measured or not promised:
        return ""
    change = round(100 * (measured - promised) / promised)
    return formatting.with_sign(f"{change:+d}".replace("-", "−")) if change else _("as planned")


def alerts(found: RunRecord) -> list[Problem]:
    return [Problem.from_record(event["problem"]) for event in found.history.alerts.last]


def repeat(found: RunRecord) -> dict[str, Any]:
    run, train, base = found.run, found.plan.run.train, base_of(found.plan)
    name = shlex.quote(run.name)
    return {
        "command": f"tunewright train {file_names.CONFIG}",
        "config": formatting.without_folders(run_record.config_text(run)),
        "versions": found.info.get("versions", {}),
        "seeds": {"train.seed": train.seed, "train.data_seed": train.data_seed},
        "adapter": f"{file_names.ADAPTER}/" if run.adapter_dir.is_dir() else None,
        "load": model_card.loading_code(found.plan, file_names.ADAPTER),
        "elsewhere": model_card.loading_code_elsewhere(found.plan, base.name, file_names.ADAPTER),
        "files": [(file, _(what)) for file, what in run_readme.CONTENTS],
        "uses": [
            (f"tunewright chat {name} --with base", _("talk to both models")),
            (f"tunewright generate {name} prompts.jsonl", _("answers for a file of prompts")),
            (f"tunewright merge {name}", _("one model without adapter")),
            (f"tunewright export {name} -o {name}-adapter", _("The adapter as a folder for other machines")),
        ],
    }
