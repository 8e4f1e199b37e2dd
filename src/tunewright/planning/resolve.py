"""Every `auto` becomes a value with a reason. One small function for each; the order is that of `RESOLVERS`.

Rules come from the lesson (S11, S12, S28), from measurements on two CPU cores (benchmarks/), and from the field's practice;
each says which in its reason.
"""

import math
from collections.abc import Callable, Mapping
from statistics import fmean

from tunewright.config.dotted_paths import value_at
from tunewright.config.load_config import patch
from tunewright.config.methods import AdaLora, Targeted, virtual_tokens
from tunewright.config.resolved_config import ResolvedConfig
from tunewright.config.run_config import RunConfig
from tunewright.config.section import AUTO, MOST
from tunewright.config.tasks import TASKS, Task
from tunewright.data.tokenized.text_blocks import TEXT_BLOCK_TOKENS
from tunewright.data.validation import most_truncated
from tunewright.i18n import N_
from tunewright.inspection.data_info import length_at
from tunewright.inspection.machine_info import SpeedProbe
from tunewright.planning import resolve_adapter
from tunewright.planning.check_config import matching_groups, positions
from tunewright.planning.fast_paths import fast_paths
from tunewright.planning.memory_estimate import (
    COMPARED_ROWS,
    COMPARED_TOKENS,
    GPU_CONTEXT_BYTES,
    PRECISION_BYTES,
    AdapterSize,
    BatchShape,
    ComputeMode,
    estimate,
)
from tunewright.planning.parameter_count import trainable_parameters
from tunewright.planning.resolve_adapter import choice, resolved
from tunewright.planning.run_plan import InspectedFacts, MemoryEstimate, PlannedChoice

GIB = 2**30
SHARE_OF_FREE = 0.9  # that a plan takes
CPU_MICRO_BATCH_TOKENS = 1024
GPU_MICRO_BATCH_TOKENS = 8192
SHORT_ANSWER_TOKENS = 64
# For generation (engine/evaluation/generation.py): how many at once, and how much memory for their keys and values.
ROWS_WRITTEN_AT_ONCE = 128
CACHE_BYTES = 2**29
# bf16 keeps 8 bits of a weight: merged and ejected models then answer a little otherwise than the adapter, and losses are
# off by a thousandth. Measurements differ by a tenth.
CPU_MIXED_GAIN = 1.3
GPU_BF16_GAIN = 1.3  # of what is said about a finished run; a plan takes bf16 wherever a GPU computes it


# Reasons by whether the device was measured, or is in the table of planning/device_table.py.
GPU_BF16 = {
    True: N_("measured here: bf16 {bf16} against fp32 {fp32} GFLOP/s, in half the memory"),
    False: N_("by the table of devices, not measured: bf16 {bf16} against fp32 {fp32} GFLOP/s, in half the memory"),
}
FP32 = {
    True: N_("measured here: fp32 {fp32} against bf16 {bf16} GFLOP/s"),
    False: N_("by the table of devices, not measured: fp32 {fp32} against bf16 {bf16} GFLOP/s"),
}


def _precision(run: RunConfig, facts: InspectedFacts) -> PlannedChoice:
    probe = facts.machine.probe
    if probe is None:
        return choice("model.precision", "fp32", N_("this device was not measured; fp32 works everywhere"))
    if facts.is_on_cpu:
        return _cpu_precision(probe, facts)
    rates = {name: rate / 1e9 for name, rate in probe.flops.items() if name in ("fp32", "bf16")}
    values = {"fp32": f"{rates['fp32']:.0f}", "bf16": f"{rates.get('bf16', 0):.0f}"}
    if "bf16" in rates:
        return choice("model.precision", "bf16", GPU_BF16[probe.is_measured], **values)
    return choice("model.precision", "fp32", FP32[probe.is_measured], **values)


def _cpu_precision(probe: SpeedProbe, facts: InspectedFacts) -> PlannedChoice:
    """Mixed precision where this model was measured to train faster by it; the products of most CPUs do not."""
    products = {
        "fp32": max(probe.matmul.get("mkl", 0.0), probe.matmul.get("onednn", 0.0)),
        "bf16": probe.matmul.get("bf16", 0.0),
    }
    if not products["bf16"]:
        return choice("model.precision", "fp32", N_("bf16 was not measured on this CPU; fp32 works everywhere"))
    if "mixed" not in probe.training or facts.model.is_conv1d or facts.model.kind != "decoder":
        values = {name: f"{rate / 1e9:.0f}" for name, rate in products.items()}
        reason = N_(
            "measured here: products in bf16 {bf16} against {fp32} GFLOP/s in fp32; mixed precision would be no faster"
        )
        if probe.may_gain_by_mixed:
            reason = N_(
                "measured here: products in bf16 {bf16} against {fp32} GFLOP/s in fp32, but not for models of this kind"
            )
        return choice("model.precision", "fp32", reason, **values)
    gain = probe.training["mixed"] / probe.training["fp32"]
    values = {"times": f"{gain:.1f}", "wanted": f"{CPU_MIXED_GAIN}"}
    if gain >= CPU_MIXED_GAIN:
        reason = N_(
            "measured here: this model trains {times} times as fast with products in bf16, and everything else in fp32"
        )
        return choice("model.precision", "mixed", reason, **values)
    reason = N_(
        "measured here: mixed precision is {times} times as fast; below {wanted} times, exact merging is worth more"
    )
    return choice("model.precision", "fp32", reason, **values)


def _holdout(run: RunConfig, facts: InspectedFacts) -> PlannedChoice:
    if isinstance(facts.data.holdout, str):
        return choice("data.holdout", facts.data.holdout, N_("the data have rows for validation of their own"))
    return choice("data.holdout", facts.data.holdout, N_("the data have no rows for validation of their own"))


def fitting_length(lengths: Mapping[str, int], longest_prompt: int, room: int, *, is_text: bool) -> int:
    """The max_length for rows of these lengths: nearly all of them whole, some of every answer, no more than there is room.

    Plain text goes on in the next block, so a block need not hold all of the longest text.
    """
    rounded = 32 * math.ceil(max(lengths["p99"], 32) / 32)
    if lengths["longest"] <= 1.25 * rounded:
        rounded = 32 * math.ceil(max(lengths["longest"], 32) / 32)
    room_for_answers = 32 * math.ceil((longest_prompt + 1) / 32) if longest_prompt else 0
    most = min(room, TEXT_BLOCK_TOKENS) if is_text else room
    return min(max(rounded, room_for_answers), most)


def _max_length(run: RunConfig, facts: InspectedFacts) -> PlannedChoice:
    data = facts.data
    room = positions(run, facts.model)
    values = {
        "p99": data.lengths["p99"],
        "longest": data.lengths["longest"],
        "positions": room,
        "cut": data.num_truncated,
    }
    is_text = data.format == "text"
    value = fitting_length(data.lengths, data.longest_prompt, room, is_text=is_text)
    reason = N_("99 % of rows are within {p99} tokens, the longest has {longest}")
    if is_text and data.lengths["longest"] > value:
        reason = N_("the longest text has {longest} tokens; what is longer goes on in the next block")
    elif data.num_truncated and value == room:
        reason = N_("the model has {positions} positions; {cut} rows are longer, up to {longest} tokens, and are cut")
    elif data.num_truncated:
        reason = N_("99 % of rows are within {p99} tokens; {cut} rows are longer, up to {longest} tokens, and are cut")
    return choice("data.max_length", value, reason, **values)


def _max_truncated(run: RunConfig, facts: InspectedFacts) -> PlannedChoice:
    task: Task = resolved(run.task)
    answers, texts = (
        N_("an answer that is cut has no end to learn"),
        N_("the beginning of a text usually shows what it is"),
    )
    return choice("data.max_truncated", most_truncated(run.data, task), answers if TASKS[task].writes else texts)


def _effective_batch(num_train: int) -> int:
    return 4 if num_train < 200 else 8 if num_train < 2_000 else 16 if num_train < 20_000 else 32


def _micro_batch(run: RunConfig, facts: InspectedFacts) -> PlannedChoice:
    length, steps = resolved(run.data.max_length), run.train.gradient_accumulation_steps
    most = _effective_batch(facts.data.num_sequences) if steps == AUTO else 8
    tokens = CPU_MICRO_BATCH_TOKENS if facts.is_on_cpu else GPU_MICRO_BATCH_TOKENS
    rows = max(1, min(most, tokens // length))
    while most % rows:
        rows -= 1
    reason = N_("rows x {max_length} tokens fill the device; more at once would only take memory")
    return choice("train.per_device_train_batch_size", rows, reason, max_length=length)


def _accumulation(run: RunConfig, facts: InspectedFacts) -> PlannedChoice:
    rows = resolved(run.train.per_device_train_batch_size)
    value = max(1, round(_effective_batch(facts.data.num_sequences) / rows))
    reason = N_("effective batch {batch} for {rows} rows")
    return choice("train.gradient_accumulation_steps", value, reason, batch=value * rows, rows=facts.data.num_sequences)


# Rows up to which this many epochs are trained. A fresh head begins at chance and needs more steps than a model that can
# already write.
EPOCHS = {
    True: ((100, 5.0), (500, 3.0), (800, 2.0)),
    False: ((200, 20.0), (1_000, 10.0), (4_000, 6.0), (20_000, 3.0)),
}


def _epochs(run: RunConfig, facts: InspectedFacts) -> PlannedChoice:
    rows, writes = facts.data.num_sequences, TASKS[resolved(run.task)].writes
    value = next((epochs for limit, epochs in EPOCHS[writes] if rows < limit), 1.0)
    if value == 1.0:
        reason = N_("{rows} rows are enough to learn the task in one epoch")
    elif writes:
        reason = N_("only {rows} rows: several epochs; early stopping watches")
    else:
        reason = N_("{rows} short rows and a head that starts untrained: several epochs; early stopping watches")
    return choice("train.num_train_epochs", value, reason, rows=rows)


def _checkpointing(run: RunConfig, facts: InspectedFacts) -> PlannedChoice:
    memory = _memory_of_training(patch(run, {"train.activation_checkpointing": False}), facts)
    values = {"peak": f"{memory.peak_bytes / GIB:.1f}", "free": f"{facts.room_bytes / GIB:.1f}"}
    return choice("train.activation_checkpointing", False, N_("not needed: {peak} of {free} GiB free"), **values)


def _memory_of_training(run: RunConfig, facts: InspectedFacts) -> MemoryEstimate:
    """What a run takes; without the answers of its tests where these are not settled yet."""
    settled: dict[str, int] = {}
    if run.train.eval_steps == AUTO:
        settled["train.eval_steps"] = 1
    if AUTO in (run.eval.rows, run.eval.max_new_tokens):
        settled |= {"eval.rows": 0, "eval.max_new_tokens": 1}
    return estimate_for(as_resolved(patch(run, settled)), facts)


def _eval_steps(run: RunConfig, facts: InspectedFacts) -> PlannedChoice:
    steps = _settled_steps(run, facts)
    if not facts.data.num_held_out:
        return choice(
            "train.eval_steps", max(1, math.ceil(steps / 4)), N_("no held-out rows; a checkpoint four times a run")
        )
    return choice(
        "train.eval_steps", max(1, math.ceil(steps / 5)), N_("held-out loss and a checkpoint five times a run")
    )


def _quantization(run: RunConfig, facts: InspectedFacts) -> PlannedChoice:
    return choice("model.quantization", "none", N_("the base's weights stay as they are while there is room for them"))


def optimizer(run: RunConfig, facts: InspectedFacts) -> PlannedChoice:
    """AdamW: fused where torch has one kernel for all parameters, paged beside weights in 4 bits, as QLoRA is."""
    probe = facts.machine.probe
    if facts.is_on_cpu or probe is None:
        return choice("train.optim", "adamw_torch", N_("AdamW, as torch computes it"))
    if run.model.quantization == "4bit" and probe.device == "cuda":
        reason = N_("AdamW whose moments move to the machine's memory when the GPU's is short, as in QLoRA")
        return choice("train.optim", "paged_adamw_32bit", reason)
    return choice("train.optim", "adamw_torch_fused", N_("AdamW in one kernel for all parameters, on a GPU"))


def _problem_type(run: RunConfig, facts: InspectedFacts) -> PlannedChoice:
    kind = facts.data.problem_type or AUTO
    return choice("data.problem_type", kind, N_("as the labels of the rows show"))


def _eval_rows(run: RunConfig, facts: InspectedFacts) -> PlannedChoice:
    held_out, longest = facts.data.num_held_out, facts.data.answer_lengths.get("p95", 0)
    if facts.data.format == "text" or not held_out:
        return choice(
            "eval.rows", 0, N_("plain text has no answers to generate") if held_out else N_("no held-out rows")
        )
    if not TASKS[resolved(run.task)].writes:
        return choice("eval.rows", held_out, N_("a label costs no more than the loss: all held-out rows"))
    if longest <= SHORT_ANSWER_TOKENS:
        reason = N_("answers are short (95 % within {longest} tokens), so many can be generated and compared")
        return choice("eval.rows", min(held_out, 120), reason, longest=longest)
    reason = N_("answers are long (95 % within {longest} tokens): a few samples to look at")
    return choice("eval.rows", min(held_out, 6), reason, longest=longest)


def _max_new_tokens(run: RunConfig, facts: InspectedFacts) -> PlannedChoice:
    longest = facts.data.answer_lengths.get("longest", 0)
    if not TASKS[resolved(run.task)].writes:
        return choice("eval.max_new_tokens", 1, N_("nothing is generated: labels are predicted"))
    value = max(8, min(128, longest + 8))
    if longest > value:
        reason = N_(
            "the longest reference answer has {longest} tokens; what is generated is cut here, and counts as wrong"
        )
        return choice("eval.max_new_tokens", value, reason, longest=longest)
    return choice(
        "eval.max_new_tokens", value, N_("the longest reference answer has {longest} tokens"), longest=longest
    )


def _tinit(run: RunConfig, facts: InspectedFacts) -> PlannedChoice:
    steps = _settled_steps(run, facts)
    return choice("peft.tinit", steps // 10, N_("a tenth of {steps} steps"), steps=steps)


def _tfinal(run: RunConfig, facts: InspectedFacts) -> PlannedChoice:
    assert isinstance(run.peft, AdaLora)
    steps = _settled_steps(run, facts)
    value = max(0, min(3 * steps // 10, steps - resolved(run.peft.tinit) - 1, steps - 2))
    return choice(
        "peft.tfinal", value, N_("three tenths of {steps} steps, to train the ranks that are left"), steps=steps
    )


def _settled_steps(run: RunConfig, facts: InspectedFacts) -> int:
    """Optimizer steps of a run whose batch and epochs are settled, as far as counters hold them."""
    train = run.train
    batch = resolved(train.per_device_train_batch_size) * resolved(train.gradient_accumulation_steps)
    epochs = resolved(train.num_train_epochs)
    return min(_count_steps(train.max_steps, epochs, batch, facts.data.num_sequences), MOST)


def _count_steps(max_steps: int, epochs: float, batch: int, num_rows: int) -> int:
    """Optimizer steps as transformers counts them."""
    return max_steps if max_steps > 0 else max(1, math.ceil(epochs * math.ceil(num_rows / batch)))


def num_steps(run: ResolvedConfig, facts: InspectedFacts) -> int:
    """Optimizer steps of a run on the rows that were seen when it was planned."""
    return steps_for(run, facts.data.num_sequences)


def steps_for(run: ResolvedConfig, num_rows: int) -> int:
    """Optimizer steps of a run on this many rows."""
    return _count_steps(run.train.max_steps, run.train.num_train_epochs, effective_batch(run), num_rows)


def effective_batch(run: ResolvedConfig) -> int:
    """Rows per optimizer step."""
    return run.train.per_device_train_batch_size * run.train.gradient_accumulation_steps


def adapted_by(run: ResolvedConfig, facts: InspectedFacts) -> AdapterSize:
    """The layers that a run adapts."""
    blocks = run.peft.extra.get("layers_to_transform")
    chosen = (blocks,) if isinstance(blocks, int) else tuple(blocks) if blocks else None
    targets = run.peft.target_modules if isinstance(run.peft, Targeted) else []
    return AdapterSize(tuple(matching_groups(facts.model, targets)), chosen)


def trained_by(run: ResolvedConfig, facts: InspectedFacts) -> int:
    """How many parameters a run trains."""
    groups = adapted_by(run, facts).groups(facts.model)
    return trainable_parameters(run, facts.model, groups, len(facts.data.labels) or 1)


def largest_step(run: ResolvedConfig, facts: InspectedFacts) -> BatchShape:
    """The largest micro-batch of a run: padded to the longest row, or packed up to the tokens there are."""
    rows, length = run.train.per_device_train_batch_size, run.data.max_length
    virtual, longest = virtual_tokens(run.peft), min(length, facts.data.lengths["longest"])
    if "packing" not in (paths := fast_paths(run, facts)):
        return BatchShape(
            rows=rows, tokens=rows * (longest + virtual), is_whole=run.train.gradient_accumulation_steps == 1
        )
    # The longest rows of all may come in one step, and a run rehearses that before step 0.
    batch, there = effective_batch(run), max(1, facts.data.num_sequences)
    ranks = (1 - (i + 0.5) / there for i in range(min(batch, there)))
    whole = batch * fmean(min(length, length_at(facts.data.lengths, share)) for share in ranks)
    shared = facts.data.common_prefix * (batch - 1) if "shared_prefix" in paths else 0
    step, room = math.ceil(whole) - shared, rows * length
    # Each row sees the beginning that all share; as many rows as a micro-batch has of the step's.
    repeated = round(shared * min(1.0, room / step)) if step else 0
    return BatchShape(rows=rows, tokens=max(longest, min(room, step)), is_whole=step <= room, repeated=repeated)


def largest_answers(run: ResolvedConfig, facts: InspectedFacts) -> BatchShape | None:
    """The largest batch of answers with their prompts; None for a run that writes none."""
    answers, longest = run.eval.rows, run.eval.max_new_tokens
    if not TASKS[run.task].writes or not answers:
        return None
    row_tokens = min(facts.data.longest_prompt, run.data.max_length) + longest + virtual_tokens(run.peft)
    model, size = facts.model, PRECISION_BYTES[run.model.precision]
    a_token = 2 * (model.num_layers + model.num_decoder_layers) * model.num_key_value_heads * model.head_dim * size
    rows = max(1, min(answers, ROWS_WRITTEN_AT_ONCE, CACHE_BYTES // (a_token * row_tokens)))
    return BatchShape(rows=rows, tokens=rows * row_tokens)


def compared_tokens(facts: InspectedFacts) -> int:
    """Tokens of the rows that the fast path is compared on."""
    return COMPARED_ROWS * min(facts.data.lengths["median"], COMPARED_TOKENS)


def kind_of(run: ResolvedConfig, facts: InspectedFacts) -> ComputeMode:
    """How a run holds and computes its model."""
    paths = fast_paths(run, facts)
    return ComputeMode(
        precision=run.model.precision,
        checkpointing=run.train.activation_checkpointing,
        answer_loss="answer_loss" in paths,
        merged="merged_lora" in paths,
        int8="int8" in paths,
        is_gpu=not facts.is_on_cpu,
    )


def estimate_for(run: ResolvedConfig, facts: InspectedFacts) -> MemoryEstimate:
    """Memory of a run."""
    return estimate(
        run,
        facts.model,
        adapted_by(run, facts),
        largest_step(run, facts),
        num_labels=len(facts.data.labels) or 1,
        kind=kind_of(run, facts),
        compared=compared_tokens(facts),
        written=largest_answers(run, facts),
        room=round(SHARE_OF_FREE * facts.room_for_each(run.launch.processes)),
    )


def _batch(run: RunConfig) -> int:
    return resolved(run.train.per_device_train_batch_size) * resolved(run.train.gradient_accumulation_steps)


def _processes(run: RunConfig, facts: InspectedFacts) -> PlannedChoice:
    """All GPUs if a step fills them: one that reads few tokens at once is as slow as one that reads many."""
    if facts.is_on_cpu:
        return choice("launch.processes", 1, N_("the threads of one process use all cores of a CPU"))
    tokens = round(_batch(run) * min(facts.data.mean_length, resolved(run.data.max_length)))
    there = facts.machine.num_devices
    if run.model.quantization == "none" and not _hold_base(1, run, facts) and _hold_base(there, run, facts):
        reason = N_("{there} GPUs are here, none of which holds the base: they share it out")
        return choice("launch.processes", max(1, min(there, _batch(run))), reason, there=there)
    count = max(1, min(there, tokens // GPU_MICRO_BATCH_TOKENS, _batch(run)))
    values = {"there": there, "tokens": tokens, "full": GPU_MICRO_BATCH_TOKENS}
    reason = N_("{there} GPUs are here; a step has {tokens} tokens, and {full} fill a GPU")
    return choice("launch.processes", count, reason, **values)


def _hold_base(devices: int, run: RunConfig, facts: InspectedFacts) -> bool:
    """Whether so many devices have room for the base's weights as they are."""
    stored = facts.model.num_parameters * PRECISION_BYTES[resolved(run.model.precision)]
    return stored / devices + GPU_CONTEXT_BYTES <= SHARE_OF_FREE * facts.room_bytes


def _strategy(run: RunConfig, facts: InspectedFacts) -> PlannedChoice:
    """The whole base in each process, unless that leaves no room for one row: shares cost moving, fewer bits cost quality."""
    processes = resolved(run.launch.processes)
    if processes == 1 or run.model.quantization != "none":
        return choice("launch.strategy", "ddp", N_("each process holds all of the base"))
    room = facts.room_for_each(processes)
    values = {"free": f"{room / GIB:.1f}", "count": processes}
    smallest = {
        "train.per_device_train_batch_size": 1,
        "train.gradient_accumulation_steps": _batch(run),
        "train.activation_checkpointing": run.method != "prefix_tuning",
    }
    reasons = {
        "ddp": N_("all of the base fits into {free} GiB"),
        "fsdp2": N_("the base does not fit into {free} GiB beside one row: {count} processes share out its blocks"),
    }
    for strategy, reason in reasons.items():
        memory = _memory_of_training(patch(run, {**smallest, "launch.strategy": strategy}), facts)
        if memory.peak_bytes <= SHARE_OF_FREE * room:
            return choice("launch.strategy", strategy, reason, **values)
    reason = N_("neither the base nor a share of it fits into {free} GiB beside one row as it is")
    return choice("launch.strategy", "ddp", reason, **values)


def _parts(run: RunConfig, facts: InspectedFacts) -> PlannedChoice:
    return choice(
        "launch.parts", resolved(run.launch.nodes) * resolved(run.launch.processes), N_("one for each process")
    )


RESOLVERS: tuple[tuple[str, Callable[[RunConfig, InspectedFacts], PlannedChoice]], ...] = (
    ("model.precision", _precision),
    ("model.quantization", _quantization),
    ("train.optim", optimizer),
    ("data.problem_type", _problem_type),
    ("peft.num_virtual_tokens", resolve_adapter.num_virtual_tokens),
    ("data.holdout", _holdout),
    ("data.max_length", _max_length),
    ("data.max_truncated", _max_truncated),
    *resolve_adapter.PEFT_RESOLVERS,
    ("train.per_device_train_batch_size", _micro_batch),
    ("train.gradient_accumulation_steps", _accumulation),
    ("launch.processes", _processes),
    ("launch.parts", _parts),
    ("train.num_train_epochs", _epochs),
    ("train.learning_rate", resolve_adapter.learning_rate),
    ("peft.tinit", _tinit),
    ("peft.tfinal", _tfinal),
    ("launch.strategy", _strategy),
    ("train.activation_checkpointing", _checkpointing),
    ("train.eval_steps", _eval_steps),
    ("eval.rows", _eval_rows),
    ("eval.max_new_tokens", _max_new_tokens),
)


def as_resolved(run: RunConfig) -> ResolvedConfig:
    """A config in which nothing is left to the plan, as the type that says so."""
    return ResolvedConfig.model_validate(run.model_dump())


def resolve(run: RunConfig, facts: InspectedFacts) -> tuple[ResolvedConfig, list[PlannedChoice]]:
    """The run without any `auto`, and what was chosen for each."""
    choices = resolve_adapter.additions(run, facts)
    if choices:
        run = patch(run, {choice.path: choice.value for choice in choices})
    for path, resolver in RESOLVERS:
        if value_at(run, path) != AUTO:
            continue
        planned = resolver(run, facts)
        if planned.value != AUTO:
            choices.append(planned)
            run = patch(run, {path: planned.value})
    return as_resolved(run), choices
