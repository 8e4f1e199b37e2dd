"""Causal attention inside documents that are packed into one row, without padding and without a mask.

A document may begin with a prefix that it shares with others and that is computed once: its keys are then those of the
prefix and its own. What a position attends to, and with it every gradient, is what it would be in a row of its own.

Shapes: N query heads, K key heads, G queries for each key (N = K G), P packed tokens, H head size, Q queries and S keys of
one block.
"""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from tunewright.i18n import N_, Phrase
from tunewright.kernels.cpu_matmul import default_matmul
from tunewright.kernels.mixed_precision import as_products_read

NAME = "tunewright_documents"
# Queries at a time: small blocks skip more of what is masked, large ones multiply faster (2,048 tokens of 9 documents,
# forward and backward, 2 cores: 25 ms with 64, 22 with 128, 24 with 256; torch's attention by document 42).
BLOCK = 128
# Arguments that some families hand to attention and that change what it computes.
UNSUPPORTED = ("softcap", "s_aux", "position_bias", "head_mask")
DocumentBounds = tuple[int, int, int, int]


class CannotPack(Exception):
    """This model computes attention in a form that document attention does not support."""


class _DocumentAttention(torch.autograd.Function):
    """Attention of each document over its prefix and itself; probabilities are made again in the backward pass."""

    @staticmethod
    def forward(
        ctx, query_NPH: Tensor, key_KPH: Tensor, value_KPH: Tensor, spans: list[DocumentBounds], scaling: float
    ) -> Tensor:
        query_KGPH = (query_NPH * scaling).unflatten(0, (key_KPH.shape[0], -1))
        result_KGPH = torch.empty_like(query_KGPH)
        for block, parts in _blocks(spans):
            probability_KQS = _probabilities(query_KGPH, key_KPH, block, parts)
            result_KQH = torch.bmm(probability_KQS, _rows(value_KPH, parts))
            result_KGPH[:, :, block] = result_KQH.unflatten(1, (query_KGPH.shape[1], -1))
        ctx.save_for_backward(query_KGPH, key_KPH, value_KPH)
        ctx.spans, ctx.scaling = spans, scaling
        return result_KGPH.flatten(0, 1)

    @staticmethod
    def backward(ctx, grad_NPH: Tensor):
        query_KGPH, key_KPH, value_KPH = ctx.saved_tensors
        grad_KGPH = grad_NPH.unflatten(0, (key_KPH.shape[0], -1))
        d_query = torch.empty_like(query_KGPH)
        # Sums over all rows that share a prefix, which 8 bits would not hold.
        d_key, d_value = (torch.zeros_like(tensor, dtype=torch.float32) for tensor in (key_KPH, value_KPH))
        for block, parts in _blocks(ctx.spans):
            probability_KQS = _probabilities(query_KGPH, key_KPH, block, parts)
            grad_KQH, query_KQH = grad_KGPH[:, :, block].flatten(1, 2), query_KGPH[:, :, block].flatten(1, 2)
            _add(d_value, parts, torch.bmm(probability_KQS.transpose(1, 2), grad_KQH))
            d_probability = torch.bmm(grad_KQH, _rows(value_KPH, parts).transpose(1, 2))
            d_score = torch._softmax_backward_data(d_probability, probability_KQS, -1, d_probability.dtype)
            _add(d_key, parts, torch.bmm(d_score.transpose(1, 2), query_KQH))
            d_query[:, :, block] = torch.bmm(d_score, _rows(key_KPH, parts)).unflatten(1, (query_KGPH.shape[1], -1))
        d_query = d_query.mul_(ctx.scaling).flatten(0, 1)
        return d_query, d_key.to(key_KPH.dtype), d_value.to(value_KPH.dtype), None, None


def _blocks(spans: list[DocumentBounds]) -> list[tuple[slice, list[slice]]]:
    """Each block of queries with the keys it may see: those of the prefix, and its document's up to its own end."""
    blocks = []
    for start, end, prefix_start, prefix_end in spans:
        prefix = [slice(prefix_start, prefix_end)] if prefix_end > prefix_start else []
        for first in range(start, end, BLOCK):
            last = min(first + BLOCK, end)
            blocks.append((slice(first, last), [*prefix, slice(start, last)]))
    return blocks


def _rows(tensor_KPH: Tensor, parts: list[slice]) -> Tensor:
    return tensor_KPH[:, parts[0]] if len(parts) == 1 else torch.cat([tensor_KPH[:, part] for part in parts], 1)


def _add(tensor_KPH: Tensor, parts: list[slice], rows_KSH: Tensor) -> None:
    start = 0
    for part in parts:
        length = part.stop - part.start
        tensor_KPH[:, part] += rows_KSH[:, start : start + length]
        start += length


def _probabilities(query_KGPH: Tensor, key_KPH: Tensor, block: slice, parts: list[slice]) -> Tensor:
    """Softmax over the keys of one block; only its own last positions need a mask."""
    score_KQS = torch.bmm(query_KGPH[:, :, block].flatten(1, 2), _rows(key_KPH, parts).transpose(1, 2))
    size = block.stop - block.start
    score_KQS.unflatten(1, (-1, size))[..., -size:].masked_fill_(_later(size, score_KQS.device), float("-inf"))
    return torch.softmax(score_KQS, -1)


@lru_cache(maxsize=BLOCK)
def _later(size: int, device: torch.device) -> Tensor:
    """True where a key comes after its query, (Q, Q)."""
    return torch.ones(size, size, dtype=torch.bool, device=device).triu(1)


def document_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None,
    scaling: float | None = None, dropout: float = 0.0, spans: Tensor | None = None, **options_of_family: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """transformers' attention call: (1, heads, P, H) to (1, P, heads, H). Not run on a GPU.

    `spans` holds start, end, and start and end of the prefix (equal without one) of each document, (M, 4). Without them
    torch's own attention is called.
    Raises: CannotPack where the model asks for anything else than plain causal attention.
    """
    window = options_of_family.get("sliding_window")
    if spans is None:
        options = {"scaling": scaling, "dropout": dropout, **options_of_family}
        with default_matmul():
            return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    if dropout or any(options_of_family.get(name) is not None for name in UNSUPPORTED):
        raise CannotPack(N_("its attention asks for more than causal attention"))
    documents = [(start, end, first, last) for start, end, first, last in spans.tolist()]
    if window and any(end - start + last - first > window for start, end, first, last in documents):
        raise CannotPack(Phrase(N_("its attention sees {window} tokens back, and a row is longer"), window=window))
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    query, key, value = as_products_read(query[0], key[0], value[0])
    result_NPH = _DocumentAttention.apply(query, key, value, documents, scale)
    return result_NPH.transpose(0, 1)[None], None


AttentionInterface.register(NAME, document_attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
