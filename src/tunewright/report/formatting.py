"""Numbers and names as people read them: units, percent, labels of metrics, phases, parts and kinds of rows."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from tunewright.config.run_config import DataSource, RunConfig
from tunewright.config.tasks import Task
from tunewright.config.terms import load_terms
from tunewright.data.summary import DataSummary, SourceSummary
from tunewright.i18n import N_, Phrase, _, counted
from tunewright.metrics import metric_table
from tunewright.metrics.metric_table import in_reading_order as in_reading_order
from tunewright.rundir.records import RunResult

METRICS: Mapping[str, str] = {name: metric.label for name, metric in metric_table.METRICS.items()}
# Whose scores are shown beside those of the tuned model: a model, or one answer to every row.
REFERENCES: Mapping[str, str] = {
    "base": N_("base"),
    "untrained head": N_("untrained head"),
    "prompted": N_("base, examples in prompt"),
    "majority class": N_("most frequent class"),
    "mean": N_("mean"),
}
STATES: Mapping[str, str] = {
    "waiting": N_("in the queue"),
    "queued": N_("waiting"),
    "preparing": N_("preparing"),
    "running": N_("running"),
    "stopping": N_("stopping"),
    "finished": N_("finished"),
    "stopped": N_("stopped"),
    "failed": N_("failed"),
    "lost": N_("lost"),
    "damaged": N_("damaged"),
}
PHASES: Mapping[str, str] = {
    "prepare": N_("Preparing the data"),
    "load": N_("Loading the model"),
    "rehearse": N_("Trying the largest micro-batch"),
    "start": N_("Starting"),
    "evaluate": N_("Evaluating"),
    "evaluate_before": N_("Evaluating the base model"),
    "train": N_("Training"),
    "save": N_("Saving"),
    "evaluate_after": N_("Evaluating the tuned model"),
}
PARTS: Mapping[str, str] = {
    "libraries": N_("libraries"),
    "weights": N_("frozen weights"),
    "adapter": N_("adapter"),
    "gradients": N_("gradients"),
    "optimizer": N_("optimizer"),
    "activations": N_("activations"),
    "loss": N_("loss"),
    "checkpoint": N_("the checkpoint's file while it is read"),
    "merged": N_("layers with LoRA in their weights"),
    "cache": N_("keys and values of answers"),
}
_F1 = N_(
    "F1 joins two shares in one number: how much of what was found is right, and how much of what is there was found."
)
MEANINGS: Mapping[str, str] = {
    "held_out_loss": N_(
        "How badly the reference answers were predicted, per token, on rows that were not trained on: 0 is perfect, "
        "lower is better."
    ),
    "entity_f1": _F1,
    "micro_f1": _F1,
    "macro_f1": _F1,
    **{
        metric: term.text
        for metric, name in (("perplexity", "perplexity"), ("field_f1", "field F1"), ("exact_match", "exact match"))
        for term in load_terms()
        if term.name == name
    },
}
# Who decided a value; a place in a file and a flag are shown as they are.
ORIGINS: Mapping[str, str] = {
    "argument": N_("command line"),
    "default": N_("default"),
    "demo": N_("demo"),
    "plan": N_("plan"),
}
TOPICS: Mapping[str, str] = {
    "speed": N_("speed"),
    "libraries": N_("products"),
    "memory": N_("memory"),
    "disk": N_("disk"),
    "torch": N_("torch"),
    "quantization": N_("8 and 4 bits"),
    "hub": N_("Hub"),
    "language": N_("language"),
}
KINDS: Mapping[str, tuple[str, str]] = {
    "damaged": (N_("cannot be read"), N_("left out")),
    "empty": (N_("empty"), N_("left out")),
    "missing_field": (N_("a field is missing"), N_("left out")),
    "role_order": (N_("turns in the wrong order"), N_("left out")),
    "nothing_learned": (N_("no turn is in the loss"), N_("left out")),
    "refused_by_template": (N_("refused by the chat template"), N_("left out")),
    "masked_out": (N_("nothing of the answer fits"), N_("left out")),
    "without_end_token": (N_("no end token in the loss"), N_("left out")),
    "leaked": (N_("held-out row that is also in training"), N_("left out")),
    "truncated": (N_("longer than max_length"), N_("used, cut")),
    "duplicate": (N_("repeats an earlier row"), N_("used")),
    "conflict": (N_("same question, another answer"), N_("used")),
    "control_tokens": (N_("control tokens in the text"), N_("used")),
    "mojibake": (N_("text that was read in the wrong encoding"), N_("used")),
    "unlearned_turns": (N_("answers that are not to be learned"), N_("used")),
    "cut_turns": (N_("turns after the last answer"), N_("used without them")),
    "turns_joined": (N_("neighbouring turns made one"), N_("used")),
    "turn_lost": (N_("turns that the chat template leaves out"), N_("used without them")),
    "tools_unseen": (N_("tools that the chat template does not show"), N_("used without them")),
    "thinking": (N_("thinking before an answer"), N_("used")),
    "thinking_by_hand": (N_("thinking that the chat template would leave out"), N_("used, inserted in front")),
    "thinking_lost": (N_("thinking after a prompt that ends it"), N_("used without it")),
}
FOLDERS: Mapping[str, str] = {"adapter": N_("adapter"), "checkpoint": N_("checkpoint"), "folder": N_("folder")}
HARMS: Mapping[str, str] = {
    "damaged": N_("damaged"),
    "missing": N_("missing"),
    "extra": N_("not in the manifest"),
    "unreadable": N_("unreadable"),
    "changed": N_("another one than in the training"),
}
CHECKS: Mapping[str, str] = {
    "accumulated": N_("row by row = all rows at once"),
    "onednn_matmul": N_("oneDNN's products = torch's own"),
    "int8": N_("products in 8 bits = in fp32"),
    "answer_loss": N_("loss in chunks = from all logits"),
    "packing": N_("packed rows = padded rows"),
    "shared_prefix": N_("shared prefixes = each row's own"),
    "merged_lora": N_("LoRA in the weights = beside them"),
    "switched_off": N_("adapter switched off = base"),
    "reloaded": N_("read again from disk = in memory"),
    "merged": N_("merged model = adapter"),
}
OUTCOMES: Mapping[str, str] = {"ok": N_("equal"), "failed": N_("DIFFERENT"), "not_applicable": N_("does not apply")}
COMPARED: Mapping[str, str] = {
    "loss": N_("of the loss"),
    "gradients": N_("of the gradients' length"),
    "logits": N_("of the largest logit"),
    "tensors": N_("in any number"),
}
SEVERITIES: Mapping[str, str] = {"error": N_("error"), "warning": N_("warning"), "hint": N_("hint")}
CONFIDENCES: Mapping[str, str] = {"certain": N_("certain"), "likely": N_("likely"), "possible": N_("possible")}
LENGTHS: Mapping[str, str] = {
    "median": N_("median"),
    "p95": N_("95 % within"),
    "p99": N_("99 % within"),
    "longest": N_("longest"),
}
DASH = "–"
# A path in a command, a config or a sentence; addresses and the system's own folders do not count.
_NAME = r"[^\s/'\"`|]+"
_FOLDERS = re.compile(rf"(?<![\w:/.~*-])(?!/(?:dev|proc|sys)/)(?:~/|/{_NAME}/)(?:{_NAME}/)*(?={_NAME})")
_BEFORE_UNIT = re.compile(r"(?<=\d) (?=%|[KMG]iB\b|points\b|GFLOP)")
METHOD_SIZES = ("r", "target_r", "num_virtual_tokens", "block_size")  # the field that says how large an adapter is


def label(table: Mapping[str, str], name: str) -> str:
    """The word for a name; a name without one is shown unchanged."""
    return _(table[name]) if name in table else name


def score(metric: str, value: float | None) -> str:
    """A score as the metric is read: shares in percent, losses and errors as numbers."""
    if value is None:
        return DASH
    if metric in metric_table.METRICS and metric_table.METRICS[metric].kind == "share":
        return percent(value)
    if 0 < abs(value) < 0.01 or abs(value) >= 1e5:
        return f"{value:.2g}"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:,.1f}"


def rounded(metric: str, value: float) -> str:
    """An end of an interval: shares in whole percent."""
    is_share = metric_table.METRICS[metric].kind == "share"
    return with_sign(f"{100 * value:.0f}") if is_share else score(metric, value)


def signed(metric: str, change: float) -> str:
    """A difference of two scores with its sign: shares in points of percent."""
    is_share = metric_table.METRICS[metric].kind == "share"
    return (f"{100 * change:+.0f}" if is_share else f"{change:+.3g}").replace("-", "−")


def main_change(result: RunResult | None, arrow: str) -> str:
    """The score that people read first, before and after: `exact match 0 % → 88 %`; empty for a run without scores."""
    before, after = (result.before or {}, result.after or {}) if result else ({}, {})
    name = next(iter(in_reading_order(after)), None)
    if name is None:
        return ""
    return f"{label(METRICS, name)} {score(name, before.get(name))} {arrow} {score(name, after[name])}"


def counts_rows(task: Task, name: str) -> bool:
    """True if the score is the share of rows that are right."""
    return name in metric_table.METRICS and task in metric_table.METRICS[name].counts_rows


def method(run: RunConfig) -> str:
    """The method with the size of its adapter: lora r=16."""
    fields = run.peft.model_dump()
    sizes = [f"{name}={fields[name]}" for name in METHOD_SIZES if name in fields]
    return " ".join([run.method, *sizes[:1]])


def percent(share: float) -> str:
    return with_sign(f"{100 * share:.1f}" if 0 < share < 1 else f"{100 * share:.0f}")


def unbroken(sentence: str) -> str:
    """A sentence of ours in which no line ends between a number and its unit."""
    return _BEFORE_UNIT.sub("\u00a0", sentence)


def with_sign(number: str) -> str:
    """A number of percent; in English a non-breaking space precedes the sign."""
    return _("{number}\u00a0%").format(number=number)


def size(num_bytes: float | None) -> str:
    if num_bytes is None:
        return DASH
    for unit, power in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if num_bytes >= 2**power:
            return f"{num_bytes / 2**power:.1f}\u00a0{unit}"
    return f"{num_bytes:.0f}\u00a0B"


def duration(seconds: float | None) -> str:
    if seconds is None:
        return DASH
    if seconds < 60:
        return _("{seconds}\u00a0s").format(seconds=f"{seconds:.1f}")
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return _("{hours}\u00a0h {minutes:02d}\u00a0min").format(hours=hours, minutes=minutes)
    return _("{minutes}\u00a0min {seconds:02d}\u00a0s").format(minutes=minutes, seconds=rest)


def clock(seconds: float) -> str:
    """A duration as short as an axis needs it: 1:20, 1:00:00."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def number(value: float | None) -> str:
    """An integer with separators; other numbers with four significant digits, and all of those before the point."""
    if value is None:
        return DASH
    if isinstance(value, int):
        return f"{value:,}"
    text = f"{value:.4g}"
    return f"{value:,.0f}" if "e+" in text and abs(value) < 1e15 else text


def numeral(text: str) -> str:
    """The text of a number, which is stored with all its digits, as `number` shows it."""
    return number(float(text))


def count(value: int) -> str:
    """A count of parameters: 1.84 M."""
    for unit, power in (("B", 9), ("M", 6), ("k", 3)):
        if value >= 10**power:
            return f"{value / 10**power:.3g}\u00a0{unit}"
    return str(value)


def rows(number: int) -> Phrase:
    return counted("{count} row", "{count} rows", number)


def held_out(number: int) -> Phrase:
    return counted("{count} held-out row", "{count} held-out rows", number)


def meaning(metric: str) -> str:
    """What a metric means, in a sentence or two; nothing where the name is enough."""
    return _(MEANINGS[metric]) if metric in MEANINGS else ""


def moment(timestamp: float) -> str:
    return f"{datetime.fromtimestamp(timestamp):%Y-%m-%d %H:%M}"


def plain(value: Any) -> str:
    """A config value on one line."""
    if isinstance(value, str):
        return value
    return ", ".join(map(plain, value)) if isinstance(value, list) else json.dumps(value, ensure_ascii=False)


def without_folders(text: str) -> str:
    """A text in which absolute paths are their last parts: the folders of a machine are private."""
    return _FOLDERS.sub("", text)


def file_name(path: str) -> str:
    """The last part of an absolute path; names of data sets and relative paths stay whole."""
    return Path(path).name if Path(path).is_absolute() else path


def file_names(paths: Sequence[str]) -> str:
    """The same of several paths."""
    return ", ".join(map(file_name, paths))


def share_text(source: DataSource) -> str:
    """What was asked for of a source: "rows 5,000" or "weight 0.3"; empty for all of its rows once."""
    if source.rows is not None:
        return _("rows {count}").format(count=f"{source.rows:,}")
    return _("weight {weight}").format(weight=f"{source.weight:g}") if source.weight != 1 else ""


def numbers_of(source: SourceSummary) -> str:
    """The numbers of a source's rows over all sources: "1 to 400"."""
    return _("{first} to {last}").format(first=f"{source.start + 1:,}", last=f"{source.start + source.last:,}")


def in_loss(summary: DataSummary) -> str:
    """What there is to learn: labels with the rarest and the most frequent, numbers, or the share of tokens."""
    counts = summary.labels
    if counts:
        ordered = sorted(counts, key=counts.__getitem__)  # where all are equal, still two different ones
        rare, frequent = ordered[0], ordered[-1]
        return _("labels: {count}, from {rare} ({least}) to {frequent} ({most})").format(
            count=len(counts), rare=rare, least=f"{counts[rare]:,}", frequent=frequent, most=f"{counts[frequent]:,}"
        )
    if summary.problem_type == "regression":
        return _("a number for each row")
    share = percent(summary.label_tokens / summary.tokens) if summary.tokens else DASH
    return _("{share} of {tokens} tokens are in the loss").format(share=share, tokens=f"{summary.tokens:,}")
