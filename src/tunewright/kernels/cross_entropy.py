"""The loss of a causal model over the label tokens of a micro-batch: plain, and without the full logits.

Shapes: B rows, T tokens (padded right), D hidden, V vocabulary, N label tokens.
"""

from collections.abc import Iterator, Mapping
from typing import Protocol

import torch
import torch.nn.functional as F
from peft import PeftModel
from torch import Tensor, nn

from tunewright.data.tokenized.tokenization import IGNORED
from tunewright.i18n import N_, Phrase

MicroBatch = Mapping[str, Tensor]


class LossFunction(Protocol):
    """Sum of the losses of a micro-batch; with `by_row` the sums of its rows (B), for tests, without gradients."""

    def __call__(self, model: nn.Module, batch: MicroBatch, *, by_row: bool = False) -> Tensor: ...


CHUNK_TOKENS = 256
# Settings through which a head does more than one matrix product; the plain loss handles them.
HEAD_SETTINGS = (
    "final_logit_softcapping",
    "logit_scale",
    "logits_scaling",
    "output_multiplier_scale",
    "lm_head_multiplier",
)


def plain_loss(model: nn.Module, batch: MicroBatch, *, by_row: bool = False) -> Tensor:
    """Sum of the next-token losses over the label tokens, from the model's own logits.

    Cost: B x T x V x 4 bytes three times. The loss that every other one is compared with.
    """
    logits_BTV = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False).logits
    labels_BT = batch["labels"]
    logits_BTV = logits_BTV[:, -labels_BT.shape[1] :]  # without the positions of a learned prompt
    return summed_cross_entropy(logits_BTV[:, :-1], labels_BT[:, 1:], by_row=by_row)


def summed_cross_entropy(
    logits_BTC: Tensor, labels_BT: Tensor, *, by_row: bool, weights_C: Tensor | None = None
) -> Tensor:
    """The sum over all positions that have a label, or over those of each row (B)."""
    logits, labels = logits_BTC.flatten(0, 1).float(), labels_BT.flatten()
    losses = F.cross_entropy(
        logits, labels, weight=weights_C, ignore_index=IGNORED, reduction="none" if by_row else "sum"
    )
    return losses.view_as(labels_BT).sum(1) if by_row else losses


def _chunks(
    hidden_ND: Tensor, head_VD: Tensor, labels_N: Tensor, chunk_tokens: int
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Positions of each chunk with their losses (C, 1) and probabilities (C, V); these are gone with the next chunk."""
    # One place for all chunks: new memory of this size is handed out page by page and costs more than the softmax.
    shape = (min(chunk_tokens, len(hidden_ND)), len(head_VD))
    logits_place, probability_place = hidden_ND.new_empty(shape), hidden_ND.new_empty(shape, dtype=torch.float32)
    for start in range(0, len(hidden_ND), chunk_tokens):
        chunk = slice(start, min(start + chunk_tokens, len(hidden_ND)))
        size = chunk.stop - chunk.start
        logits = torch.mm(hidden_ND[chunk], head_VD.T, out=logits_place[:size])
        probabilities = torch.softmax(logits, -1, dtype=torch.float32, out=probability_place[:size])
        # Of the likeliest token, whose probability is at least 1 / V: log(sum(exp(logits))) without another pass.
        log_sum = logits.amax(-1, keepdim=True).float() - probabilities.amax(-1, keepdim=True).log()
        yield chunk, log_sum - logits.gather(1, labels_N[chunk, None]).float(), probabilities


class _ChunkedCrossEntropy(torch.autograd.Function):
    """Sum of losses of chosen positions; the gradient is made in the forward pass, chunk by chunk."""

    @staticmethod
    def forward(ctx, hidden_ND: Tensor, head_VD: Tensor, labels_N: Tensor, chunk_tokens: int) -> Tensor:
        gradient_ND = torch.empty_like(hidden_ND) if ctx.needs_input_grad[0] else None
        total = torch.zeros((), dtype=torch.float32, device=hidden_ND.device)
        for chunk, losses, probabilities in _chunks(hidden_ND, head_VD, labels_N, chunk_tokens):
            total += losses.sum()
            if gradient_ND is not None:
                gradient_ND[chunk] = probabilities.to(hidden_ND.dtype) @ head_VD - head_VD[labels_N[chunk]]
        if gradient_ND is not None:
            ctx.save_for_backward(gradient_ND)
        return total

    @staticmethod
    def backward(ctx, grad_output: Tensor):
        (gradient_ND,) = ctx.saved_tensors
        return gradient_ND * grad_output, None, None, None


def answer_loss(model: nn.Module, batch: MicroBatch, *, by_row: bool = False) -> Tensor:
    """The same sum with the head computed at label positions only, and no attention mask.

    Rows are padded on the right, so a causal model's real tokens never see padding and need no mask.
    Cost: CHUNK_TOKENS x V x 4 bytes three times, instead of B x T x V. Not run on a GPU.
    """
    causal = causal_model(model)
    hidden_BTD = causal.base_model(input_ids=batch["input_ids"], use_cache=False).last_hidden_state
    targets_BT = batch["labels"][:, 1:]
    chosen_BT = targets_BT != IGNORED
    head = causal.get_output_embeddings()
    rows_N = chosen_BT.nonzero()[:, 0] if by_row else None
    return chunked_cross_entropy(hidden_BTD[:, :-1][chosen_BT], head.weight, targets_BT[chosen_BT], rows_N)


def chunked_cross_entropy(hidden_ND: Tensor, head_VD: Tensor, labels_N: Tensor, rows_N: Tensor | None = None) -> Tensor:
    """Sum of the losses of positions without all their logits at once; the gradient goes to the hidden states alone.

    With `rows_N`, the number of each position's row, the sums of the rows instead, without gradients.
    """
    hidden_ND = hidden_ND.to(head_VD.dtype)
    if rows_N is None:
        return _ChunkedCrossEntropy.apply(hidden_ND, head_VD, labels_N, CHUNK_TOKENS)
    with torch.no_grad():
        parts = [losses[:, 0] for _chunk, losses, _p in _chunks(hidden_ND, head_VD, labels_N, CHUNK_TOKENS)]
        sums = hidden_ND.new_zeros(int(rows_N.max()) + 1, dtype=torch.float32)
        return sums.index_add_(0, rows_N, torch.cat(parts))


def causal_model(model: nn.Module) -> nn.Module:
    """The model without PEFT's wrapper; adapters are inside it."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


def answer_loss_unsupported(model: nn.Module) -> str | None:
    """Why `answer_loss` does not support this model; None if it does."""
    if isinstance(model, PeftModel) and model.active_peft_config.is_prompt_learning:
        return N_("prompt learning wraps the forward pass")
    causal = causal_model(model)
    head = causal.get_output_embeddings()
    if type(head) is not nn.Linear or head.bias is not None:
        return N_("the head is not a plain linear layer")
    if head.weight.requires_grad:
        return N_("the head is trained")
    settings = causal.config.to_dict()
    used = [name for name in HEAD_SETTINGS if settings.get(name) not in (None, 1, 1.0)]
    if used:
        return Phrase(N_("the head uses {setting}"), setting=used[0])
    if causal.base_model is causal:
        return N_("the backbone cannot be separated from the head")
    return None
