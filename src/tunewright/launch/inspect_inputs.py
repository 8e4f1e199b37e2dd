"""Inspects what a config names: the model's folder, the data, the machine's speed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from tunewright.config.load_config import patch
from tunewright.config.run_config import DataConfig, RunConfig
from tunewright.config.tasks import Task
from tunewright.data.examples.formats import Example, looks_like
from tunewright.data.files.hub_datasets import offline
from tunewright.data.files.readers import read_rows
from tunewright.data.files.split_files import originals
from tunewright.data.load_examples import ROWS_IN_MEMORY, data_fingerprint, load_examples
from tunewright.data.summary import NO_LIMIT, DataSummary, quantile
from tunewright.data.tokenized.known_rows import KnownRows
from tunewright.data.tokenized.tokenization import TokenizedExample
from tunewright.data.tokenized.tokenizer import TextTokenizer, load_tokenizer
from tunewright.data.tokenized.vocabulary_check import EmbeddingRows
from tunewright.data.train_eval_split import RowSource, files_of, for_each, sides_of, train_sources
from tunewright.data.validation import ValidatedData, raise_if_stopped, validate_data
from tunewright.errors import Problem, error, errors_of, system_faults
from tunewright.i18n import N_, _
from tunewright.inspection.builtin_models import BUNDLED
from tunewright.inspection.data_info import DataInfo, FixedRowsInfo, SourceInfo
from tunewright.inspection.machine_info import (
    BlockShape,
    MachineInfo,
    is_idle,
    probe_path,
    read_machine,
    read_probe,
    read_training_rates,
    training_path,
)
from tunewright.inspection.model_info import ModelInfo, read_model
from tunewright.inspection.visible_device import visible_device
from tunewright.launch.resolve_model import resolve_model, with_tokenizer_json
from tunewright.planning.check_config import cannot_do, check_length, lacks_output, positions
from tunewright.planning.resolve import fitting_length
from tunewright.planning.run_plan import InspectedFacts, PlannedChoice
from tunewright.reporting import Reporter
from tunewright.rundir.encoded_rows import EncodedRows
from tunewright.rundir.fixed_data import fixed_rows
from tunewright.security import command, home, spawn

ROWS_LOOKED_AT = 100
USUAL: Mapping[str, Task] = {"decoder": "causal_lm", "encoder": "seq_cls", "encoder_decoder": "seq2seq"}
KINDS: Mapping[str, str] = {
    "decoder": N_("a decoder"),
    "encoder": N_("an encoder"),
    "encoder_decoder": N_("an encoder-decoder"),
}


@dataclass(frozen=True)
class InspectedInputs:
    """Everything a plan needs, and the validated data."""

    run: RunConfig
    facts: InspectedFacts
    choices: tuple[PlannedChoice, ...]
    validated: ValidatedData
    tokenizer: TextTokenizer


def inspect(run: RunConfig, *, reporter: Reporter, is_measured: bool = True) -> InspectedInputs:
    """Facts about machine, model and data; without `is_measured` this machine's speed is not measured.

    Raises: every error of the model, the data and the network.
    """
    model = _model_info(run, reporter)
    with offline(run.run.offline):
        run, validated, tokenizer, choices = _look(run, model, reporter=reporter)
        raise_if_stopped(validated, run.data)
        data = _data_facts(run.data, validated)
    if is_measured:
        measure(run, model, reporter)
    facts = InspectedFacts(machine=machine_of(run, model), model=model, data=data)
    return InspectedInputs(run, facts, choices, validated, tokenizer)


def measure(run: RunConfig, model: ModelInfo, reporter: Reporter) -> None:
    """Measure the speed of a run's device, where that was not done yet."""
    ensure_probe(reporter, run.run.device_index)
    if model.kind == "decoder" and not model.is_conv1d:  # of others `auto` stays in fp32
        ensure_training_rates(block_of(model), reporter, own_products(run))


def own_products(run: RunConfig) -> str:
    """The products that a run asks for beside those of fp32, as the probe names them: its own model tells what they bring."""
    if run.model.quantization == "8bit":
        return "int8"
    return "bf16" if run.model.precision == "mixed" else ""


def machine_of(run: RunConfig, model: ModelInfo) -> MachineInfo:
    """The machine as it is now, for this run."""
    output = Path(run.run.output_dir or ".").expanduser().resolve()
    return read_machine(output, run.run.device_index, block_of(model))


@system_faults()
def look_at_data(
    run: RunConfig, *, reporter: Reporter, known: KnownRows | None = None
) -> tuple[ValidatedData, TextTokenizer]:
    """All rows as this model would see them; bad rows are in the summary, not raised. Rows that are `known` are not encoded again.

    Raises: every error of the model and of files that cannot be read; ConfigError E109 for a length the model does not have.
    """
    model = _model_info(run, reporter)
    if problems := check_length(run, model):
        raise errors_of(problems)
    with offline(run.run.offline):
        _run, validated, tokenizer, _choices = _look(run, model, reporter=reporter, known=known)
    return validated, tokenizer


def _model_info(run: RunConfig, reporter: Reporter) -> ModelInfo:
    _check_files(run)
    folder, tensors = resolve_model(run.model.name, run.model.revision, offline=run.run.offline, reporter=reporter)
    return read_model(folder, run.model.name, tensors, with_tokenizer_json(folder, reporter))


def _check_files(run: RunConfig) -> None:
    """Raises: DataError E201, E202, E237, E262, before a built-in model is downloaded for rows that are not there."""
    if run.model.name in BUNDLED:
        for_each(train_sources(run.data), files_of)


def _look(
    run: RunConfig, model: ModelInfo, *, reporter: Reporter, known: KnownRows | None = None
) -> tuple[RunConfig, ValidatedData, TextTokenizer, tuple[PlannedChoice, ...]]:
    """The validated data: all rows are tokenized, or the first of very many; the others are read and compared.

    Raises: ModelError E306, E316 for a model that cannot do the task, and every error of the data.
    """
    task, task_choices = _task_of(run, model)
    run = patch(run, {"task": task})
    if problems := lacks_output(task, model):
        raise errors_of(problems)
    store = EncodedRows(originals_of(run.data))
    loaded = load_examples(
        run.data, run.train.data_seed, task, keep=ROWS_IN_MEMORY, store=store, reporter=reporter, reading=reporter
    )
    run, tokenizer, template_choices = _with_template(run, Path(model.tokenizer_folder), loaded.train)
    check = partial(
        validate_data,
        loaded,
        run.data,
        tokenizer,
        task=task,
        positions=positions(run, model),
        label_last=model.kind == "decoder",
        embedding=EmbeddingRows(model.vocab_size, model.folder),
        reporter=reporter,
        store=store,
        known=known,
    )
    if run.data.max_length != "auto":
        return run, check(max_length=run.data.max_length), tokenizer, (*task_choices, *template_choices)
    return run, _fitted(check, positions(run, model)), tokenizer, (*task_choices, *template_choices)


def originals_of(data: DataConfig) -> list[Path]:
    """The files and folders that the rows of a run come from."""
    return [path for source in (*data.paths, data.holdout) if isinstance(source, str) for path in originals(source)]


def _fitted(check: Callable[..., ValidatedData], room: int) -> ValidatedData:
    """The rows truncated as the plan will choose: validated without a limit first, and again where some are longer.

    Lengths stay those of the untruncated rows, so that the plan makes the same choice.
    """
    whole = check(max_length=NO_LIMIT)
    lengths = whole.summary.lengths
    longest_prompt = whole.summary.longest_prompt
    length = fitting_length(lengths, longest_prompt, room, is_text=whole.summary.format == "text")
    if lengths["longest"] <= length:
        return replace(whole, summary=whole.summary.model_copy(update={"max_length": length}))
    cut = check(max_length=length)
    return replace(cut, summary=cut.summary.model_copy(update={"lengths": lengths, "longest_prompt": longest_prompt}))


def _task_of(run: RunConfig, model: ModelInfo) -> tuple[Task, tuple[PlannedChoice, ...]]:
    """The task of a run: as configured, as the rows show it, or the usual one of this kind of model.

    Raises: ModelError E306 for a task that the model cannot do.
    """
    if run.task != "auto":
        if run.task not in model.tasks:
            raise errors_of([cannot_do(model, run.task)])
        return run.task, ()
    shown_tasks = for_each(train_sources(run.data), _shown_task)
    detected = next((shown for shown in shown_tasks if shown), None)
    if detected in model.tasks:
        return detected, (PlannedChoice(path="task", value=detected, origin="plan", reason=N_("the rows show it")),)
    if detected:
        raise errors_of([cannot_do(model, detected)])
    if not model.tasks:
        raise errors_of([cannot_do(model, "causal_lm")])
    task = USUAL[model.kind]
    values = {"kind": _(KINDS[model.kind])}
    reason = N_("what is usual for {kind}; --task names another one")
    return task, (PlannedChoice(path="task", value=task, origin="plan", reason=reason, values=values),)


def _shown_task(source: RowSource) -> Task | None:
    return looks_like(read_rows(source.path, source.reading, limit=ROWS_LOOKED_AT).rows, source.map)


def _with_template(
    run: RunConfig, folder: Path, examples: Sequence[Example]
) -> tuple[RunConfig, TextTokenizer, tuple[PlannedChoice, ...]]:
    """The tokenizer with a template to write turns in. Raises: ModelError E305 where none can be chosen."""
    tokenizer = load_tokenizer(folder, run.model.chat_template)
    if run.task != "causal_lm" or tokenizer.chat_template or not any(example.messages for example in examples):
        return run, tokenizer, ()
    if any(len([m for m in example.messages if m.role == "assistant"]) > 1 for example in examples):
        raise error("E305")
    reason = N_("this model has no chat template; prompt, new line, answer, end token")
    choice = PlannedChoice(path="model.chat_template", value="plain", origin="plan", reason=reason)
    return patch(run, {"model.chat_template": "plain"}), load_tokenizer(folder, "plain"), (choice,)


def answer_lengths(rows: Sequence[TokenizedExample]) -> dict[str, int]:
    """Tokens of the last answers, in quantiles."""
    ordered = sorted(row.full_length - row.prompt_length for row in rows if row.prompt_length)
    return {"p95": quantile(ordered, 0.95), "longest": quantile(ordered, 1.0)}


def data_info(
    path: str,
    fingerprint: str,
    summary: DataSummary,
    *,
    answer_lengths: Mapping[str, int],
    is_single_turn: bool,
    holdout: float | str = 0.1,
    fixed: FixedRowsInfo | None = None,
    warnings: Sequence[Problem] = (),
) -> DataInfo:
    """Facts from the data summary; lengths are those of the rows that were tokenized."""
    blocks, rows = summary.blocks, max(1, summary.looked_at)
    sampled = max(1, blocks.train)
    return DataInfo(
        path=path,
        fingerprint=fingerprint,
        format=summary.format,
        columns=summary.columns,
        num_train=summary.used,
        num_held_out=summary.held_out,
        num_bad=summary.dropped,
        is_single_turn=is_single_turn,
        lengths=summary.lengths,
        longest_prompt=summary.longest_prompt,
        common_prefix=summary.common_prefix,
        mean_length=summary.tokens / sampled,
        mean_label_tokens=summary.label_tokens / sampled,
        answer_lengths=dict(answer_lengths),
        sampled_rows=summary.looked_at,
        labels=tuple(summary.labels),
        problem_type=summary.problem_type,
        holdout=holdout,
        fixed=fixed,
        warnings=tuple(problem.to_record() for problem in warnings),
        num_truncated=summary.counts["truncated"],
        train_blocks=round(summary.used * blocks.train / rows),
        held_out_blocks=blocks.held_out,
        sources=tuple(
            SourceInfo(
                path=source.path,
                format=source.format,
                num_train=source.used,
                num_held_out=source.held_out,
                num_sequences=source.sequences,
                tokens=source.tokens,
            )
            for source in summary.sources
        ),
    )


def _data_facts(config: DataConfig, validated: ValidatedData) -> DataInfo:
    sides = sides_of(config)
    turns = (sum(m.role == "assistant" for m in example.messages) for example in validated.loaded.train)
    return data_info(
        config.name,
        data_fingerprint(config),
        validated.summary,
        answer_lengths=answer_lengths([*validated.train, *validated.held_out]),
        is_single_turn=all(count <= 1 for count in turns),
        holdout=sides.held_out.path if sides.held_out else sides.share,
        fixed=fixed_rows([source.path for source in (*sides.train, sides.held_out) if source]),
        warnings=[
            problem for problem in validated.warnings if problem.code != "W201"
        ],  # the plan warns of its own length
    )


def ensure_probe(reporter: Reporter, device_index: int = 0) -> None:
    """Measure this device's speed once; again only after a busy moment, when the machine is idle.

    On a machine that is always busy the doubtful figure is used, with a note.
    """
    known = read_probe(device_index)
    if known and not known.is_doubtful:
        return
    if known and not is_idle():
        reporter.note(_("This machine was busy when its speed was measured, and still is: times may come out too long"))
        return
    again = _("Measuring this machine's speed again: it was busy the last time")
    reporter.note(again if known else _("Measuring this machine's speed, once"))
    probe = command("tunewright.engine.system.device_probe", str(probe_path(device_index)))
    code = spawn(probe, environment=visible_device(device_index)).wait()
    if code and read_probe(device_index) == known:
        reporter.note(
            _("The measured speed could not be stored in {folder}; the plan does without it").format(folder=home())
        )


def block_of(model: ModelInfo) -> BlockShape:
    """The shapes that a model's speed depends on."""
    return BlockShape.model_validate({name: dict(model)[name] for name in BlockShape.model_fields})


def ensure_training_rates(block: BlockShape, reporter: Reporter, products: str = "") -> None:
    """Measure once how fast this model's shapes train in each precision, on a CPU that has the `products` that a run asks for, or
    whose bf16 promises something."""
    probe = read_probe()
    if probe is None or probe.device != "cpu" or probe.is_doubtful or read_training_rates(block):
        return
    if products not in probe.matmul and not probe.may_gain_by_mixed:
        return
    reporter.note(_("Measuring how fast this model trains in each precision, once"))
    spawn(command("tunewright.engine.system.training_probe", str(training_path(block)), block.model_dump_json())).wait()
