"""Seconds of a run by part, before it starts: from the device's measured speed, or from the table of devices.

Constants were measured on two CPU cores (benchmarks/plan, which compares estimated with measured); `plan --calibrate` learns
the factor of another machine.
"""

import math

from tunewright.config.methods import is_full
from tunewright.config.resolved_config import ResolvedConfig
from tunewright.config.run_config import RunConfig
from tunewright.config.tasks import TASKS
from tunewright.planning.fast_paths import fast_paths
from tunewright.planning.flops import ComputeWork, frozen_numbers, work
from tunewright.planning.memory_estimate import stored_bytes
from tunewright.planning.resolve import ROWS_WRITTEN_AT_ONCE, effective_batch, largest_step, trained_by
from tunewright.planning.run_plan import InspectedFacts, TimeEstimate

# Python, torch, transformers and peft; then the weights from a file, and the comparison of the fast path with the plain one.
START_SECONDS, LOAD_BYTES_PER_SECOND, COMPARE_SECONDS = 6.3, 1e9, 0.9
# The largest micro-batch is tried with memory that no page was written of yet.
FIRST_TOUCH, FIRST_SECONDS = 1.3, 0.4
# The adapter and its tokenizer are written, read again, and one row is answered.
SAVE_SECONDS = 0.6
# A checkpoint holds the adapter and both of Adam's moments, is hashed, and is on the disk before training goes on.
SAVED_BYTES_PER_SECOND = 3e8
PREPARE_SECONDS_A_ROW = 4e-4
# Beside products: what every layer of a micro-batch costs to begin, forward and backward, and the optimizer's step.
LAYER_SECONDS = {"cpu": 3e-3, "gpu": 4e-4}
STEP_SECONDS = {"cpu": 0.02, "gpu": 0.01}
TRAINER_SECONDS = 0.4
# The probe's block trains its weights and pads nothing; a step of adapters with fast paths does more of it in products.
PACKED_GAIN = 1.12
FORWARD_SHARE = 1 / 3  # of what a step costs beside its products
# Against fp32 or bf16 weights, tokens a second (benchmarks/memory).
STORED_GAIN = {"none": 1.0, "8bit": 0.95, "4bit": 0.88}
INT8_GAIN = 1.28  # where this model was not measured
# Writing one token reads all weights once.
READ_BYTES_PER_SECOND = {"cpu": 4e10, "gpu": 4e11}
WRITE_LAYER_SECONDS = {"cpu": 7e-4, "gpu": 2e-4}
# On a CPU layers in fewer bits are made wide again, or round their inputs first.
STORED_LAYER = {"none": 1.0, "int8": 2.2, "8bit": 1.9, "4bit": 1.6}
# What one run differs from the next, and what a table knows of a card: low and high as a share of the figure.
SPREAD = {True: (0.8, 1.3), False: (0.5, 2.0)}


def factor_key(run: RunConfig, facts: InspectedFacts) -> str:
    """What a calibration holds for: this model, method and storage."""
    method = "full" if is_full(run.peft) else run.method
    return f"{facts.model.digest} {method} {run.model.quantization}"


def estimate_time(run: ResolvedConfig, facts: InspectedFacts, factor: float = 1.0) -> TimeEstimate | None:
    """Time of a run; None for a device of unknown speed. `factor` is what calibration found."""
    probe = facts.machine.probe
    measured = probe.rate(run.model.precision) if probe else None
    if probe is None or measured is None:
        return None
    todo, device = work(run, facts), "cpu" if facts.is_on_cpu else "gpu"
    rate = measured * _gain(run, facts)
    blocks = facts.model.num_layers + facts.model.num_decoder_layers
    one_step = todo.step / rate + todo.micro_batches * blocks * LAYER_SECONDS[device] + STEP_SECONDS[device]
    forward_rate = measured * probe.forward_gain(run.model.precision) * _gain(run, facts, of_step=False)
    tested = min(facts.data.num_held_out_sequences, run.eval.loss_rows or facts.data.num_held_out_sequences)
    tests = _num_tests(run, todo) * _losses(run, facts, todo, forward_rate, tested)
    before, after = _answers(run, facts, todo, rate, forward_rate, device)
    load = START_SECONDS + facts.model.weight_bytes / LOAD_BYTES_PER_SECOND
    parts = {
        "prepare": PREPARE_SECONDS_A_ROW * (facts.data.num_train + facts.data.num_held_out),
        "load": load + (COMPARE_SECONDS if "answer_loss" in fast_paths(run, facts) else 0.0),
        "rehearse": factor * _rehearsal(run, facts, todo, rate),
        "evaluate_before": factor * before,
        "train": factor * (TRAINER_SECONDS + todo.steps * one_step + tests + _saves(run, facts, todo)),
        "evaluate_after": factor * after,
        "save": SAVE_SECONDS + factor * todo.forward / forward_rate,
    }
    low, high = SPREAD[probe.is_measured]
    seen = round(todo.steps * effective_batch(run) * min(facts.data.mean_length, run.data.max_length))
    return TimeEstimate(parts=parts, low_share=low, high_share=high, tokens=seen, step_seconds=factor * one_step)


def step_rate(run: ResolvedConfig, facts: InspectedFacts) -> float:
    """Operations a second of a step's products on the device; of one that was never measured, 1."""
    probe = facts.machine.probe
    return ((probe.rate(run.model.precision) if probe else None) or 1.0) * _gain(run, facts)


def _gain(run: ResolvedConfig, facts: InspectedFacts, *, of_step: bool = True) -> float:
    """How much faster or slower than the probe's block: of a step, or of a pass forward alone."""
    paths = fast_paths(run, facts)
    training = facts.machine.probe.training if facts.machine.probe else {}
    packed = PACKED_GAIN if of_step and ("packing" in paths or "int8" in paths) else 1.0
    if "int8" in paths:
        return packed * (training["int8"] / training["fp32"] if "int8" in training else INT8_GAIN)
    return packed * STORED_GAIN[run.model.quantization]


def _rehearsal(run: ResolvedConfig, facts: InspectedFacts, todo: ComputeWork, rate: float) -> float:
    """Seconds of the largest micro-batch, once."""
    share = largest_step(run, facts).tokens / (effective_batch(run) * todo.row_tokens)
    return FIRST_TOUCH * share * todo.step / rate + FIRST_SECONDS


def _losses(run: ResolvedConfig, facts: InspectedFacts, todo: ComputeWork, forward_rate: float, rows: int) -> float:
    """Seconds of the losses of so many held-out rows: a pass forward each, and what each batch costs beside its products."""
    blocks = facts.model.num_layers + facts.model.num_decoder_layers
    device = "cpu" if facts.is_on_cpu else "gpu"
    beside = FORWARD_SHARE * (blocks * LAYER_SECONDS[device] + STEP_SECONDS[device])
    return rows * todo.forward / forward_rate + -(-rows // run.train.per_device_train_batch_size) * beside


def _num_tests(run: ResolvedConfig, todo: ComputeWork) -> int:
    return math.ceil(todo.steps / run.train.eval_steps)


def _saves(run: ResolvedConfig, facts: InspectedFacts, todo: ComputeWork) -> float:
    """Seconds of the checkpoints, one after each held-out loss."""
    return _num_tests(run, todo) * 12 * trained_by(run, facts) / SAVED_BYTES_PER_SECOND


def _layer_seconds(run: ResolvedConfig, facts: InspectedFacts, device: str) -> float:
    """What each layer costs for one token of a batch, beside reading its weights."""
    way = "int8" if "int8" in fast_paths(run, facts) else run.model.quantization
    return WRITE_LAYER_SECONDS[device] * (STORED_LAYER[way] if facts.is_on_cpu else 1.0)


def _answers(
    run: ResolvedConfig, facts: InspectedFacts, todo: ComputeWork, rate: float, forward_rate: float, device: str
) -> tuple[float, float]:
    """Seconds of the tests before and after: all held-out losses, and answers where the model writes some."""
    held_out, rows = facts.data.num_held_out_sequences, run.eval.rows
    if not held_out:
        return 0.0, 0.0
    loss = _losses(run, facts, todo, forward_rate, held_out)
    if not TASKS[run.task].writes or not rows:
        return loss, loss
    model = facts.model
    numbers = frozen_numbers(model) + model.hidden_size * model.vocab_size
    read = rows * 2 * frozen_numbers(model) * facts.data.mean_length / forward_rate
    batches = -(-rows // ROWS_WRITTEN_AT_ONCE)
    weights = stored_bytes(model, run.model.precision, run.model.quantization)
    token_seconds = weights / READ_BYTES_PER_SECOND[device] + model.num_layers * _layer_seconds(run, facts, device)
    token_seconds += 2 * numbers * min(rows, ROWS_WRITTEN_AT_ONCE) / rate
    written = (
        run.eval.max_new_tokens,
        min(run.eval.max_new_tokens, facts.data.answer_lengths.get("longest", 0)),
    )
    return loss + read + batches * written[0] * token_seconds, loss + read + batches * written[1] * token_seconds
