"""The model card of an adapter: what it is, where it comes from, how to use it and how to make it again."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tunewright.config.dotted_paths import leaves
from tunewright.config.run_config import DataSource, RunConfig
from tunewright.config.tasks import TASKS, TaskRow
from tunewright.planning.run_plan import Plan
from tunewright.rundir import file_names
from tunewright.rundir.base_model import base_of
from tunewright.rundir.events import ScoreEvent
from tunewright.rundir.model_card_metadata import CardScores, base_model, card_data, data_name, one_line, source_name
from tunewright.rundir.records import BaselineRecord, CheckName, ProofCheck
from tunewright.rundir.run_dir import RunDir
from tunewright.security import printable

_QUANTIZED = {"8bit": "in 8 bit (LLM.int8)", "4bit": "in 4 bit (NF4)"}
_PLAIN = re.compile(r"[\w./+:-]+", re.ASCII)
# Not part of what is trained: where things are, and which computation is the fastest on this machine.
_OF_THE_PLACE = ("run.", "fast_paths")
_IN_THE_COMMAND = ("model.name", "data.train")


def card(
    plan: Plan, run: RunDir, baseline: BaselineRecord | None = None, *, is_merged: bool = False, shared_as: str = ""
) -> str:
    """Markdown with the metadata block that Hubs read. English: it travels with the file.

    `shared_as` is the folder's name of a copy for others, which names its base without a path of this machine.
    """
    config, data, task = plan.run, plan.facts.data, task_row(plan)
    known = base_of(plan).name if shared_as else base_model(plan)
    base, quantized = _code(known), _QUANTIZED.get(config.model.quantization)
    scores = {e.which: e.scores for e in run.each_event() if isinstance(e, ScoreEvent)}
    rows = f"{data.num_train} rows ({data.format}, sha256 {data.fingerprint[:16]}), {data.num_held_out} held out"
    what = f"{base} with an adapter merged into its weights" if is_merged else f"An adapter for {base}"
    return f"""---
{card_data(plan, run.name, scores, known, is_merged=is_merged)}
---
# {_code(run.name)}

{what}, trained with Tunewright to {task.meaning}.

- **Method**: {method(plan)}
- **Base while it was trained**: {config.model.precision}{f", held {quantized}" if quantized else ""}
- **Data**: {_code(data_name(plan))}, {rows}
{_fixed(plan)}{_sources(plan)}{_labels(plan)}{_scores(plan, scores, baseline, is_merged=is_merged)}{_proofs(run)}
## Use
{merged_use(plan) if is_merged else shared_use(plan, shared_as) if shared_as else _use(plan)}
## Made again

```bash
{command(plan, base_of(plan).own_name if shared_as else plan.facts.model.name)}
```

{_versions(run)}
"""


def merged_use(plan: Plan) -> str:
    return f"\n```python\n{merged_loading_code(plan)}\n```\n"


def shared_use(plan: Plan, folder: str) -> str:
    """How an adapter is loaded on any machine: the base is named by the user."""
    base = base_of(plan)
    note = f"\n{_markdown(base.note)}\n" if base.note else ""
    return f"\n```python\n{loading_code_elsewhere(plan, base.name, folder)}\n```\n{note}"


def _use(plan: Plan) -> str:
    here = f"\n```python\n{loading_code(plan, file_names.ADAPTER)}\n```\n"
    text = "`adapter_config.json` names the base by its folder on the machine it was trained on. On another machine:"
    return f"{here}\n{text}\n{shared_use(plan, file_names.ADAPTER)}"


def _markdown(text: str) -> str:
    """A sentence of ours with a foreign name in it, on one line and without marks."""
    return one_line(text).replace("`", "'").replace("<", "&lt;")


def task_row(plan: Plan) -> TaskRow:
    """The plan's task."""
    return TASKS[plan.run.task]


def has_untrained_head(plan: Plan) -> bool:
    """True if the base brings no head for the task, so that its answers before training are guesses."""
    task = task_row(plan)
    return not task.writes and not plan.facts.model.architecture.endswith(task.auto_class.removeprefix("AutoModel"))


def method(plan: Plan) -> str:
    """The method and its fields, those of the plan and those that were asked for: lora (r=16, lora_alpha=32, ...)."""
    fields = plan.run.peft.model_dump()
    fields_text = ", ".join(f"{name}={_plain(value)}" for name, value in fields.items() if value is not None)
    return f"{plan.run.method} ({fields_text})" if fields_text else plan.run.method


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(str, value)) + "]"
    return json.dumps(value) if isinstance(value, dict | bool) else str(value)


def _code(text: str) -> str:
    """Foreign text on one line of Markdown, as code: it is shown as it is and ends where it ends."""
    return f"`{one_line(text.replace('`', chr(39)))}`"


def command(plan: Plan, model: str = "") -> str:
    """The command that trains this again: with every value that is not the default, set or chosen by the plan.

    Of a file only the name is shown, as its folder is private; `model` is what the base is called elsewhere.
    """
    data = plan.run.data.sources
    are_plain = plan.run.data.has_only_paths
    names = [model or plan.facts.model.name, *(source_name(source.path) for source in data if are_plain)]
    shares = [source.model_dump(exclude_defaults=True) | {"path": source_name(source.path)} for source in data]
    lines = [f"tunewright train {' '.join(shlex.quote(one_line(name)) for name in names)}"]
    lines += [] if are_plain else [f"--set data.train={_word(shares)}"]
    lines += _sets(plan)
    return " \\\n  ".join(lines)


def _sets(plan: Plan) -> Iterator[str]:
    run = plan.run
    least = {"model": run.model.name, "data": run.data.name}
    of_method = RunConfig.model_validate({**least, "method": run.method})
    defaults = {**dict(leaves(of_method)), "method": RunConfig.model_validate(least).method}
    for path, value in leaves(run):
        is_named = path in _IN_THE_COMMAND or path.startswith(_OF_THE_PLACE)
        if not is_named and (path not in defaults or value != defaults[path]):
            yield f"--set {path}={_word(value)}"


def _word(value: Any) -> str:
    """A value as one word of a shell on one line; what is not plain is JSON, which a config reads as the same value."""
    if isinstance(value, str) and value.startswith(("/", "~")):
        value = Path(value).name
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return value
    return shlex.quote(printable(json.dumps(value, ensure_ascii=False)))


def _fixed(plan: Plan) -> str:
    """A line for rows that a person mended before they were trained on."""
    fixed = plan.facts.data.fixed
    if fixed is None:
        return ""
    names = ", ".join(f"{_code(source_name(path))} (sha256 {digest[:16]})" for path, digest in fixed.originals.items())
    done = f"{fixed.num_fixes} changes, {fixed.num_changed} rows with other values, {fixed.num_left_out} left out"
    return f"  - mended from {names}: {done}; each of them is in `fixes.jsonl` beside the data\n"


def _sources(plan: Plan) -> str:
    """A line for each source of mixed rows."""
    lines = [
        f"  - {_code(source_name(source.path))}: {source.num_train} rows ({source.format}), {source.num_held_out} held out"
        f"{_asked(wanted)}\n"
        for source, wanted in zip(plan.facts.data.sources, plan.run.data.sources, strict=False)
    ]
    return "".join(lines)


def _asked(source: DataSource) -> str:
    if source.rows is not None:
        return f"; {source.rows} rows were drawn"
    return f"; weight {source.weight:g}" if source.weight != 1 else ""


def _labels(plan: Plan) -> str:
    labels = plan.facts.data.labels
    return f"- **Labels** ({len(labels)}): {', '.join(map(_code, labels))}\n" if labels else ""


def _scores(plan: Plan, scores: CardScores, baseline: BaselineRecord | None, *, is_merged: bool) -> str:
    """The table of scores; nothing if base or adapter were not measured."""
    if not {"before", "after"} <= set(scores):
        return ""
    is_untrained = has_untrained_head(plan)
    columns = {"base, untrained head" if is_untrained else "base": scores["before"]}
    columns |= {f"always the {baseline.name}": baseline.scores} if baseline else {}
    columns |= {"the adapter, before it was merged" if is_merged else "this adapter": scores["after"]}
    lines = [f"| metric | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    lines += [
        f"| {name} | {' | '.join(_number(column.get(name)) for column in columns.values())} |"
        for name in scores["after"]
    ]
    note = "\nThe base has no head for this task; an untrained one only guesses.\n" if is_untrained else ""
    return "\n## Held-out scores\n\n" + "\n".join(lines) + "\n" + note


def _proofs(run: RunDir) -> str:
    """The table of what was deployed and compared with the run; nothing if nothing was."""
    record = run.proofs()
    if record is None or not record.proofs:
        return ""
    names: list[CheckName] = [check.name for check in next(iter(record.proofs.values())).checks]
    lines = [f"| deployed as | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for proof in record.proofs.values():
        checks = {check.name: _outcome(check) for check in proof.checks}
        lines.append(f"| {_code(proof.what)} | {' | '.join(checks.get(name, '') for name in names)} |")
    text = "Each was asked with rows of the data and compared with base and adapter themselves: prompts, ends, answers, scores."
    return f"\n## Deployed\n\n{text}\n\n" + "\n".join(lines) + "\n"


def _outcome(check: ProofCheck) -> str:
    """A check in one cell: how much of what holds, or the figure that was measured."""
    if check.outcome == "not_applicable":
        return ""
    figure = f"{check.held} of {check.total}"
    if check.name == "logits":
        figure = f"within {_number(check.figures.get('largest_gap'))}"
    if check.name == "score":
        figure = f"{_number(check.figures.get('score'))} (run {_number(check.figures.get('run_score'))})"
    return f"**not held**: {figure}" if check.outcome == "failed" else figure


def _number(score: float | None) -> str:
    return "" if score is None else f"{score:.4g}"


def _versions(run: RunDir) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in run.info().versions.items())
    return f"Trained with {versions}." if versions else "The versions it was trained with are not known."


def loading_code(plan: Plan, adapter: str | Path) -> str:
    """Lines of Python that load the adapter's model and tokenizer with bare PEFT and transformers."""
    task, folder = task_row(plan), _quoted(adapter)
    if task.writes:
        auto_class = task.auto_class.replace("AutoModel", "AutoPeftModel")
        return f"""from peft import {auto_class}
from transformers import AutoTokenizer

model = {auto_class}.from_pretrained({folder})
tokenizer = AutoTokenizer.from_pretrained({folder})"""
    # AutoPeftModel takes no config of the base model, and without one it would make a head of two nameless labels.
    other_head = "" if has_untrained_head(plan) else ", ignore_mismatched_sizes=True"
    return f"""from peft import PeftConfig, PeftModel
from transformers import AutoConfig, {task.auto_class}, AutoTokenizer

config = AutoConfig.from_pretrained({folder})  # with the labels
base = PeftConfig.from_pretrained({folder}).base_model_name_or_path
model = {task.auto_class}.from_pretrained(base, config=config{other_head})
model = PeftModel.from_pretrained(model, {folder})
tokenizer = AutoTokenizer.from_pretrained({folder})"""


def loading_code_elsewhere(plan: Plan, base: str, adapter: str | Path) -> str:
    """Lines of Python that load the adapter on a base named by the user, as on a machine without the run."""
    task, folder, base = task_row(plan), _quoted(adapter), _quoted(base)
    if task.writes:
        return f"""from peft import PeftModel
from transformers import {task.auto_class}, AutoTokenizer

base = {task.auto_class}.from_pretrained({base})
model = PeftModel.from_pretrained(base, {folder})
tokenizer = AutoTokenizer.from_pretrained({folder})"""
    other_head = "" if has_untrained_head(plan) else ", ignore_mismatched_sizes=True"
    return f"""from peft import PeftModel
from transformers import AutoConfig, {task.auto_class}, AutoTokenizer

config = AutoConfig.from_pretrained({folder})  # with the labels
base = {task.auto_class}.from_pretrained({base}, config=config{other_head})
model = PeftModel.from_pretrained(base, {folder})
tokenizer = AutoTokenizer.from_pretrained({folder})"""


def _quoted(text: str | Path) -> str:
    return json.dumps(str(text), ensure_ascii=False)


def merged_loading_code(plan: Plan, merged: str | Path = file_names.MERGED) -> str:
    """Lines of Python that load a merged model and its tokenizer with bare transformers."""
    auto_class, folder = task_row(plan).auto_class, _quoted(merged)
    return f"""from transformers import {auto_class}, AutoTokenizer

model = {auto_class}.from_pretrained({folder})
tokenizer = AutoTokenizer.from_pretrained({folder})"""
