"""The report of a run as one HTML file, and its numbers as JSON. Every figure comes from the run's own files.

The page needs nothing but itself: styles, uPlot and data stand in it, and its policy forbids every request. Data rows
are hostile: the template escapes, and only the script whose digest the policy names may run.
"""

import base64
import hashlib
import json
import shlex
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from tunewright.compare import drawing, record, words
from tunewright.compare import samples as answers
from tunewright.compare.record import Record
from tunewright.compare.verdict import SAME_LOSS, Score
from tunewright.errors import Problem
from tunewright.i18n import N_, _, language, ngettext
from tunewright.runs import durable, layout
from tunewright.runs.store import RunDir

HERE = Path(__file__).parent
SHOWN_NUMBERS = 30
SURE_FROM_ROWS = 30
HTML_LANGUAGES = {"en": "en", "zh": "zh-CN"}

_STATE_TITLES = {
    "failed": N_("The run failed at step {step}"),
    "stopped": N_("The run was stopped at step {step}"),
    "lost": N_("The run was lost at step {step}"),
}


def write_report(run: RunDir, path: Path | None = None) -> Path:
    """The path of the report, written to the run's folder or to `path`, in this process's language."""
    path = path or run.file(layout.REPORT)
    durable.write_text(path, render(record.read(run)))
    return path


def summary(run: RunDir) -> dict[str, Any]:
    """The verdict and the numbers of a run for scripts: stable names, English, bytes and seconds."""
    found = record.read(run)
    plan, result = found.plan, found.result
    return {
        "schema": layout.SCHEMA,
        "run": run.name,
        "path": str(run.path),
        "state": found.state,
        "verdict": found.verdict.to_json(),
        "scores": [score.to_json() for score in found.scores],
        "answers": answers.count(_pairs(found)),
        "held_out_rows": found.num_held_out,
        "generated_data": bool(found.info.get("generated_data")),
        "model": plan.facts.model.name,
        "data": plan.run.data.train,
        "method": plan.run.method,
        "steps": {"planned": plan.num_steps, "done": found.last_step, "kept": found.best_step},
        "peak_bytes": {"planned": plan.memory.peak_bytes, "measured": found.peak_bytes},
        "trainable_parameters": {"planned": plan.trainable_parameters, "measured": result.get("trainable_parameters")},
        "adapter_bytes": {"planned": plan.adapter_bytes, "measured": result.get("adapter_bytes")},
        "seconds": {phase: round(seconds, 3) for phase, seconds in found.seconds.items()},
        "tokens": result.get("tokens", found.last_log("tokens")),
        "tokens_per_second": result.get("tokens_per_second", found.last_log("tokens_per_second")),
        "adapter": str(run.adapter_dir) if run.adapter_dir.is_dir() else None,
        "alerts": [problem.to_json() for problem in _alerts(found)],
        "problems": [problem.to_json() for problem in found.failure],
    }


def render(found: Record) -> str:
    """The page as text."""
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(_=_, words=words, label=words.label, cut=answers.cut)
    style, script = _static("uPlot.min.css", "report.css"), _static("LICENSE.uPlot", "uPlot.iife.min.js", "report.js")
    return environment.get_template("report.html.j2").render(
        lang=HTML_LANGUAGES[language()],
        style=Markup(style),
        script=Markup(script),
        policy=f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(script)}; base-uri 'none'; form-action 'none'",
        found=found,
        plan=found.plan,
        headline=_headline(found),
        tiles=[_tile(score) for score in found.scores],
        costs=_costs(found),
        caveats=_caveats(found),
        curves=drawing.curves(found),
        loss_table=drawing.loss_table(found),
        rate_table=drawing.rate_table(found),
        samples=_samples(found),
        gate=_gate(found),
        promise=_promise(found),
        alerts=_alerts(found),
        notes=[event for event in found.events if event["kind"] == "note"],
        repeat=_repeat(found),
    )


def _static(*names: str) -> str:
    """Files of ours as one text; a licence becomes a comment."""
    texts = {name: (HERE / "static" / name).read_text(encoding="utf-8").strip() for name in names}
    return "\n".join(f"/*\n{text}\n*/" if name.startswith("LICENSE") else text for name, text in texts.items())


def _digest(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def _headline(found: Record) -> dict[str, Any]:
    verdict = found.verdict
    title, kind = verdict.title(), str(verdict.kind)
    if verdict.kind == "unknown" and found.state in _STATE_TITLES:
        title, kind = _(_STATE_TITLES[found.state]).format(step=found.last_step), found.state
    elif found.is_live:
        title, kind = _("The run is not over yet: step {step} of {steps}").format(
            step=found.last_step, steps=found.plan.num_steps
        ), "live"
    return {"title": title, "kind": kind, "sentence": verdict.sentence()}


def _tile(score: Score) -> dict[str, Any]:
    marks = [
        {"which": which, "value": f"{100 * value:.2f}%", "low": f"{100 * ends[0]:.2f}%", "width": f"{100 * (ends[1] - ends[0]):.2f}%"}
        for which, value, ends in (
            ("base", score.before, score.interval_before),
            ("tuned", score.after, score.interval_after),
        )
        if value is not None and ends is not None
    ]
    return {
        "label": words.label(words.METRICS, score.metric),
        "before": words.score(score.metric, score.before),
        "after": words.score(score.metric, score.after),
        "marks": marks,
        "details": [_detail(name, value, ends, score.rows) for name, value, ends in (
            (_("base"), score.before, score.interval_before), (_("tuned"), score.after, score.interval_after)
        ) if value is not None and ends is not None],
        "rows": _("on {rows} rows").format(rows=score.rows),
    }  # fmt: skip


def _detail(name: str, share: float, ends: tuple[float, float], rows: int) -> str:
    return _("{name} {hits} of {rows} ({low} to {high})").format(
        name=name, hits=round(share * rows), rows=rows, low=words.percent(ends[0]), high=words.percent(ends[1])
    )


def _costs(found: Record) -> list[tuple[str, str]]:
    result, model = found.result, found.plan.facts.model
    trained = result.get("trainable_parameters", found.plan.trainable_parameters)
    share = words.percent(trained / model.num_parameters)
    return [
        (_("Time"), words.duration(sum(found.seconds.values()))),
        (_("Peak memory"), words.size(found.peak_bytes)),
        (_("Trained parameters"), f"{words.count(trained)} ({share})"),
        (_("Adapter"), words.size(result.get("adapter_bytes", found.plan.adapter_bytes))),
    ]


def _caveats(found: Record) -> list[str]:
    """What a careful reader should know about the figures above."""
    before, after = found.before, found.after
    said = []
    if any(score.interval_after for score in found.scores):
        said.append(_("In brackets and as bars: 95 % intervals (Wilson), where the share would lie on other rows of this kind."))
    if before and after:
        said.append(_("Base and tuned model were measured in the same way, on the same rows; none of them was trained on."))
    if after and 0 < after["rows"] < after["held_out_rows"]:
        said.append(
            _("Answers were written for {rows} of the {held_out} held-out rows; the loss is that of all.").format(
                rows=after["rows"], held_out=after["held_out_rows"]
            )
        )
    if found.info.get("generated_data"):
        said.append(
            _("The data were generated by Tunewright to show that training works. The figures say nothing about other tasks.")
        )
    rows = after["rows"] or after["held_out_rows"] if after else 0
    if 0 < rows < SURE_FROM_ROWS:
        said.append(_("With {rows} rows only large differences can be shown.").format(rows=rows))
    leaked = found.account.get("counts", {}).get("leaked", 0)
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
    return said


def _losses_disagree(found: Record) -> bool:
    verdict, losses = found.verdict, [score for score in found.scores if score.metric == "held_out_loss"]
    if verdict.metric in (None, "held_out_loss") or not losses or not losses[0].before or losses[0].after is None:
        return False
    change = (losses[0].after - losses[0].before) / losses[0].before
    return (verdict.kind == "better" and change > SAME_LOSS) or (verdict.kind == "worse" and change < -SAME_LOSS)


def _pairs(found: Record) -> list[answers.Pair]:
    return answers.pairs(found.run.samples("before"), found.run.samples("after"))


def _samples(found: Record) -> dict[str, Any]:
    pairs = _pairs(found)
    counts = {kind: count for kind, count in answers.count(pairs).items() if count}
    kinds = [{"kind": k, "label": label, "count": counts[k]} for k, label in answers.OUTCOMES.items() if k in counts]
    total = sum(counts.values())
    return {
        "shown": answers.shown(pairs),
        "total": len(pairs),
        "kinds": kinds,
        "bar": drawing.stack(counts, total),
        "outcomes": answers.OUTCOMES,
    }


def _gate(found: Record) -> dict[str, Any]:
    account = found.account
    if not account:
        return {}
    parts = {name: account[name] for name in ("used", "held_out", "dropped")}
    kinds = [
        {
            "label": _(words.KINDS[kind][0]) if kind in words.KINDS else kind,
            "fate": _(words.KINDS[kind][1]) if kind in words.KINDS else "",
            "count": count,
            "numbers": account["numbers"].get(kind, [])[:SHOWN_NUMBERS],
        }
        for kind, count in account["counts"].items()
        if count
    ]
    return {
        **account,
        "bar": drawing.stack(parts, account["rows"]),
        "adds_up": sum(parts.values()) == account["rows"],
        "kinds": kinds,
        "lengths": [(words.label(words.LENGTHS, name), value) for name, value in account["lengths"].items()],
        "label_share": words.percent(account["label_tokens"] / account["tokens"]) if account["tokens"] else words.DASH,
        "has_bad_rows": found.run.file(layout.BAD_ROWS).is_file(),
    }


def _promise(found: Record) -> dict[str, Any]:
    plan, result, peak = found.plan, found.result, found.peak_bytes
    speed = result.get("tokens_per_second", found.last_log("tokens_per_second"))
    rows = [
        (_("Peak memory"), words.size(plan.memory.peak_bytes), words.size(peak), _off(plan.memory.peak_bytes, peak)),
        (_("Steps"), f"{plan.num_steps:,}", f"{found.last_step:,}", ""),
        (_("Trainable parameters"), f"{plan.trainable_parameters:,}", words.number(result.get("trainable_parameters")),
         _off(plan.trainable_parameters, result.get("trainable_parameters"))),
        (_("Adapter"), words.size(plan.adapter_bytes), words.size(result.get("adapter_bytes")),
         _off(plan.adapter_bytes, result.get("adapter_bytes"))),
        (_("Tokens trained on"), words.DASH, words.number(result.get("tokens", found.last_log("tokens"))), ""),
        (_("Tokens per second"), words.DASH, words.number(round(speed)) if speed else words.DASH, ""),
    ]  # fmt: skip
    if result.get("peak_device_bytes"):
        rows.insert(1, (_("Peak memory of the GPU"), words.DASH, words.size(result["peak_device_bytes"]), ""))
    whole = 1.04 * max(plan.memory.peak_bytes, peak or 0)
    total = sum(found.seconds.values())
    return {
        "rows": rows,
        "bar": drawing.stack(plan.memory.parts, whole),
        "measured": f"{100 * peak / whole:.3f}%" if peak else None,
        "phases": [
            (words.label(words.PHASES, name), words.duration(seconds), words.percent(seconds / total) if total else words.DASH)
            for name, seconds in found.seconds.items()
        ],
        "total": words.duration(total),
    }


def _off(promised: int, measured: int | None) -> str:
    if not measured or not promised:
        return ""
    change = round(100 * (measured - promised) / promised)
    return f"{change:+d} %".replace("-", "−") if change else _("as planned")


def _alerts(found: Record) -> list[Problem]:
    return [Problem.from_record(event["problem"]) for event in found.events if event["kind"] == "alert"]


def _repeat(found: Record) -> dict[str, Any]:
    run, train = found.run, found.plan.run.train
    adapter = json.dumps(str(run.adapter_dir), ensure_ascii=False)
    return {
        "command": f"tunewright train {shlex.quote(str(run.file(layout.CONFIG)))}",
        "config": record.config_text(run),
        "versions": found.info.get("versions", {}),
        "seeds": {"train.seed": train.seed, "train.data_seed": train.data_seed},
        "adapter": str(run.adapter_dir) if run.adapter_dir.is_dir() else None,
        "load": (
            "import peft, transformers\n"
            f"model = peft.AutoPeftModelForCausalLM.from_pretrained({adapter})\n"
            f"tokenizer = transformers.AutoTokenizer.from_pretrained({adapter})"
        ),
    }
