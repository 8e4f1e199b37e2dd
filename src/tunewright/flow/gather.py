"""From what is asked to facts: the model's folder, the data's numbers, the machine's speed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tunewright.data.encode import Encoded
from tunewright.data.formats import Example, looks_like
from tunewright.data.gate import Gated, data_fingerprint, gate, load_examples, quantile, raise_if_stopped
from tunewright.data.read import read_rows
from tunewright.data.sides import sides_of, train_source
from tunewright.data.tokenizer import TextTokenizer, load_tokenizer
from tunewright.errors import error, errors_of
from tunewright.facts.data import Data, from_account
from tunewright.facts.machine import probe_path, read_machine, read_probe
from tunewright.facts.model import Model, read_model
from tunewright.flow.fetch import Note, resolve_model, with_tokenizer_json
from tunewright.i18n import N_, _
from tunewright.plan.check import cannot_do
from tunewright.plan.plan import Choice, Facts
from tunewright.spec.load import patch
from tunewright.spec.run import DataSpec, Run
from tunewright.spec.tasks import Task
from tunewright.trust import command, spawn

ROWS_CHECKED_IN_FULL = 20_000
ROWS_LOOKED_AT = 100
USUAL: Mapping[str, Task] = {"decoder": "causal_lm", "encoder": "seq_cls", "encoder_decoder": "seq2seq"}
KINDS: Mapping[str, str] = {
    "decoder": N_("a model that writes on"),
    "encoder": N_("a model that reads"),
    "encoder_decoder": N_("a model that reads one text and writes another"),
}
NO_LIMIT = 2**31 - 1
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Gathered:
    """Everything a plan rests on, and the data that was looked at on the way."""

    run: Run
    facts: Facts
    given: tuple[Choice, ...]
    gated: Gated
    tokenizer: TextTokenizer


def gather(run: Run, *, note: Note, progress: Progress = lambda done, total: None) -> Gathered:
    """Facts about machine, model and data. Raises: every error of the model, the data and the network."""
    folder, tensors = resolve_model(run.model.name, run.model.revision, offline=run.run.offline, note=note)
    tokenizer_folder = with_tokenizer_json(folder, note)
    model = read_model(folder, run.model.name, tensors, tokenizer_folder)
    run, gated, tokenizer, given = _look(run, model, progress=progress)
    for problem in gated.loaded.notes:
        note(problem.message())
    raise_if_stopped(gated, run.data)
    data = _data_facts(run.data, gated)
    ensure_probe(note)
    output = Path(run.run.output_dir or ".").expanduser().resolve()
    return Gathered(run, Facts(machine=read_machine(output), model=model, data=data), given, gated, tokenizer)


def look_at_data(run: Run, *, note: Note, progress: Progress) -> tuple[Gated, TextTokenizer]:
    """All rows as this model would see them; damaged rows are in the account, not raised."""
    folder, tensors = resolve_model(run.model.name, run.model.revision, offline=run.run.offline, note=note)
    model = read_model(folder, run.model.name, tensors, with_tokenizer_json(folder, note))
    _run, gated, tokenizer, _given = _look(run, model, progress=progress)
    return gated, tokenizer


def _look(run: Run, model: Model, *, progress: Progress) -> tuple[Run, Gated, TextTokenizer, tuple[Choice, ...]]:
    """The data through the gate: all rows, or of very many the first; the others are read and compared."""
    run, chosen = _with_task(run, model)
    assert run.task != "auto"
    loaded = load_examples(run.data, run.train.data_seed, run.task, keep=ROWS_CHECKED_IN_FULL)
    run, tokenizer, given = _with_template(run, Path(model.tokenizer_folder), loaded.train)
    limit = run.data.max_length if run.data.max_length != "auto" else NO_LIMIT
    label_last = model.kind == "decoder"
    assert run.task != "auto"
    gated = gate(loaded, run.data, tokenizer, task=run.task, max_length=limit, label_last=label_last, progress=progress)
    return run, gated, tokenizer, (*chosen, *given)


def _with_task(run: Run, model: Model) -> tuple[Run, tuple[Choice, ...]]:
    """The run with its task: as asked, as the rows show it, or what this kind of model is made for.

    Raises: ModelError E306 for a task that the model cannot do.
    """
    if run.task != "auto":
        asked: Task = run.task
        if asked not in model.tasks:
            raise errors_of([cannot_do(model, asked)])
        return run, ()
    source = train_source(run.data)
    rows = read_rows(source.path, source.reading, limit=ROWS_LOOKED_AT).rows
    seen = looks_like(rows, run.data.map)
    if seen in model.tasks:
        choice = Choice(path="task", value=seen, origin="plan", reason=N_("the rows show it"))
    elif seen:
        raise errors_of([cannot_do(model, seen)])
    elif not model.tasks:
        raise errors_of([cannot_do(model, "causal_lm")])
    else:
        values = {"kind": _(KINDS[model.kind])}
        reason = N_("what is usual for {kind}; --task names another one")
        choice = Choice(path="task", value=USUAL[model.kind], origin="plan", reason=reason, values=values)
    return patch(run, {"task": choice.value}), (choice,)


def _with_template(
    run: Run, folder: Path, examples: Sequence[Example]
) -> tuple[Run, TextTokenizer, tuple[Choice, ...]]:
    """The tokenizer with a template to write turns in. Raises: ModelError E305 where none can be chosen."""
    tokenizer = load_tokenizer(folder, run.model.chat_template)
    if run.task != "causal_lm" or tokenizer.chat_template or not any(example.messages for example in examples):
        return run, tokenizer, ()
    if any(len([m for m in example.messages if m.role == "assistant"]) > 1 for example in examples):
        raise error("E305")
    reason = N_("this model has no chat template; prompt, new line, answer, end token")
    choice = Choice(path="model.chat_template", value="plain", origin="plan", reason=reason)
    return patch(run, {"model.chat_template": "plain"}), load_tokenizer(folder, "plain"), (choice,)


def answer_lengths(rows: Sequence[Encoded]) -> dict[str, int]:
    """Tokens of the last answers, in quantiles."""
    ordered = sorted(row.full_length - row.prompt_length for row in rows if row.prompt_length)
    return {"p95": quantile(ordered, 0.95), "longest": quantile(ordered, 1.0)}


def _data_facts(spec: DataSpec, gated: Gated) -> Data:
    sides = sides_of(spec)
    turns = (sum(m.role == "assistant" for m in example.messages) for example in gated.loaded.train)
    return from_account(
        spec.train,
        data_fingerprint(spec),
        gated.account,
        answer_lengths=answer_lengths([*gated.train, *gated.held_out]),
        is_single_turn=all(count <= 1 for count in turns),
        holdout=sides.held_out.path if sides.held_out else sides.share,
    )


def ensure_probe(note: Note) -> None:
    """Measure this device's speed once, and again after a busy moment; without the measurement the plan says so."""
    known = read_probe()
    if known is None or known.is_doubtful:
        again = _("Measuring this machine's speed again: it was busy the last time")
        note(again if known else _("Measuring this machine's speed, once"))
        spawn(command("tunewright.engine.probe", str(probe_path()))).wait()
