"""How much a run has to compute, in closed form: floating point operations, tokens with padding, micro-batches.

Of a frozen transformer with adapters a token costs two operations for each frozen number in the forward pass and two for
the gradient of the layer's input; frozen weights have no gradient of their own. Each trained number beside the layers costs
six. Attention inside rows and the output layer at tokens in the loss come on top.
"""

import math
from dataclasses import dataclass

from tunewright.config.methods import Targeted, is_full, virtual_tokens
from tunewright.config.resolved_config import ResolvedConfig
from tunewright.config.tasks import TASKS
from tunewright.inspection.data_info import length_at
from tunewright.inspection.model_info import ModelInfo
from tunewright.planning.fast_paths import fast_paths
from tunewright.planning.resolve import adapted_by, effective_batch, num_steps, trained_by
from tunewright.planning.run_plan import InspectedFacts

# Of a forward pass, what it costs to make the blocks again: no output layer, and inputs that are in the caches still.
RECOMPUTED = 0.55


@dataclass(frozen=True)
class ComputeWork:
    """A training in figures: `row_tokens` with padding and learned positions, `forward` operations of one row without the
    backward pass, `step` operations of one optimizer step, `micro_batches` of one step."""

    steps: int
    row_tokens: float
    forward: float
    step: float
    micro_batches: int


def frozen_numbers(model: ModelInfo) -> int:
    """Numbers of the layers inside the blocks."""
    return sum(g.in_features * g.out_features * g.count for g in model.linear)


def work(run: ResolvedConfig, facts: InspectedFacts) -> ComputeWork:
    """The work of a run."""
    model, paths, batch = facts.model, fast_paths(run, facts), effective_batch(run)
    rows = run.train.per_device_train_batch_size
    tokens = row_tokens(run, facts, padded_to=1 if "packing" in paths else rows)
    if "shared_prefix" in paths:
        tokens -= facts.data.common_prefix * (1 - 1 / rows)
    adapted = adapted_by(run, facts)
    trained = trained_by(run, facts) if isinstance(run.peft, Targeted) else 0
    beside = 0 if is_full(run.peft) else trained  # else in the place of what is frozen
    forward = tokens * 2 * (frozen_numbers(model) + beside) + _attention(model, tokens) + _head(run, facts, tokens)
    # The pass back costs as much for what is frozen, and twice as much where it trains; none of it below the first adapter.
    blocks = model.num_layers + model.num_decoder_layers
    share = adapted.num_backward_blocks(model) / max(1, blocks)
    again = RECOMPUTED * forward if run.train.activation_checkpointing else 0.0
    backward = share * (forward + 2 * tokens * trained) + again
    packed = math.ceil(batch * tokens / (rows * run.data.max_length))
    micro = packed if "packing" in paths else math.ceil(batch / rows)
    return ComputeWork(num_steps(run, facts), tokens, forward, batch * (forward + backward), micro)


def row_tokens(run: ResolvedConfig, facts: InspectedFacts, *, padded_to: int) -> float:
    """Tokens that a row takes when `padded_to` rows are batched together, on average, with learned positions."""
    longest = run.data.max_length
    mean = min(facts.data.mean_length, longest)
    # The longest of n rows lies at about the quantile n / (n + 1).
    padded = min(length_at(facts.data.lengths, padded_to / (padded_to + 1)), longest) if padded_to > 1 else mean
    return max(mean, padded) + virtual_tokens(run.peft)


def _attention(model: ModelInfo, tokens: float) -> float:
    """Scores and sums over the earlier half of the row, in all heads of all blocks."""
    blocks = model.num_layers + model.num_decoder_layers
    return 2 * tokens**2 * model.num_attention_heads * model.head_dim * blocks


def _head(run: ResolvedConfig, facts: InspectedFacts, tokens: float) -> float:
    """The output layer, only at positions in the loss where that path is used."""
    if not TASKS[run.task].writes:
        return 0.0
    is_short = "answer_loss" in fast_paths(run, facts) or run.task == "seq2seq"
    positions = min(facts.data.mean_label_tokens, tokens) if is_short else tokens
    return 2 * positions * facts.model.hidden_size * facts.model.vocab_size
