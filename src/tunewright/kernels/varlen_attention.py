"""Causal attention inside packed documents by `torch.nn.attention.varlen`: FlashAttention 2 as a part of torch, for CUDA.

A document that begins with a shared prefix asks with its own positions and is answered by those of the prefix and its own. Its
keys end where its queries end: torch's kernel aligns the causal triangle at the end, as `CausalVariant.LOWER_RIGHT` of
torch/nn/attention/bias.py relies on. Read in torch 2.13 and not run: here tests put a plain attention of the same signature
into its place, and on a device the first rows are compared with the plain loss before step 1.

Shapes: P packed tokens, M documents, N query heads, K key heads, H head size, S keys of all documents, prefixes repeated.
"""

from dataclasses import dataclass
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn
from torch.nn.attention.varlen import varlen_attn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from tunewright.i18n import N_, Phrase
from tunewright.kernels.document_attention import UNSUPPORTED, CannotPack
from tunewright.kernels.mixed_precision import as_products_read

VARLEN = "tunewright_varlen"
CAUSAL = (-1, 0)  # of torch's window (left, right): all before, none after
DTYPES = (torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class PackedLayout:
    """Where the documents of a packed row begin and end, for all layers alike.

    `starts_q` and `starts_k` (M + 1, int32) are where each document's queries and keys begin; `keys_S` are the positions of the
    keys of all documents, None where each has only its own.
    """

    starts_q: Tensor
    starts_k: Tensor
    longest_q: int
    longest_k: int
    keys_S: Tensor | None


def layout_of(spans_M4: Tensor) -> PackedLayout:
    """The layout of documents that follow each other (kernels/packing.py::pack): start, end, start and end of the prefix.

    Cost: one wait for the device in each micro-batch.
    """
    spans, device = spans_M4.tolist(), spans_M4.device
    queries = [end - start for start, end, _first, _last in spans]
    keys = [end - start + last - first for start, end, first, last in spans]
    starts_q, starts_k = (
        torch.tensor([0, *sizes], dtype=torch.int32).cumsum(0, dtype=torch.int32).to(device)
        for sizes in (queries, keys)
    )
    if keys == queries:
        return PackedLayout(starts_q, starts_q, max(queries), max(keys), None)
    positions = [i for start, end, first, last in spans for i in (*range(first, last), *range(start, end))]
    return PackedLayout(starts_q, starts_k, max(queries), max(keys), torch.tensor(positions, device=device))


def varlen_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None,
    scaling: float | None = None, dropout: float = 0.0, layout: PackedLayout | None = None, **options_of_family: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """transformers' attention call: (1, heads, P, H) to (1, P, heads, H). Not run on a GPU.

    Without a `layout` torch's own attention is called. The gradient of a shared prefix is summed by `index_add`, whose order
    CUDA does not promise.
    Raises: CannotPack where the model asks for anything else than plain causal attention.
    """
    if layout is None:
        options = {"scaling": scaling, "dropout": dropout, **options_of_family}
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    if dropout or any(options_of_family.get(name) is not None for name in UNSUPPORTED):
        raise CannotPack(N_("its attention asks for more than causal attention"))
    window = options_of_family.get("sliding_window")
    if window and layout.longest_k > window:
        raise CannotPack(Phrase(N_("its attention sees {window} tokens back, and a row is longer"), window=window))
    query_PNH, key_PKH, value_PKH = (tensor[0].transpose(0, 1) for tensor in as_products_read(query, key, value))
    if layout.keys_S is not None:
        key_PKH, value_PKH = key_PKH[layout.keys_S], value_PKH[layout.keys_S]
    result_PNH = varlen_attn(
        query_PNH, key_PKH, value_PKH, layout.starts_q, layout.starts_k, layout.longest_q, layout.longest_k,
        scale=scaling, window_size=CAUSAL, enable_gqa=query_PNH.shape[1] != key_PKH.shape[1],
    )  # fmt: skip
    return result_PNH[None], None


def aligns_at_the_end(device: torch.device) -> bool:
    """Whether the kernel of this device lets one query see both of two keys, which shared prefixes rest on."""
    query, key = (
        torch.zeros(1, 1, 8, dtype=DTYPES[0], device=device),
        torch.zeros(2, 1, 8, dtype=DTYPES[0], device=device),
    )
    value = key + torch.tensor([0.0, 1.0], dtype=DTYPES[0], device=device)[:, None, None]
    starts = torch.tensor([0, 1, 0, 2], dtype=torch.int32, device=device).unflatten(0, (2, 2))
    result = varlen_attn(query, key, value, starts[0], starts[1], 1, 2, window_size=CAUSAL)
    return bool((result == 0.5).all())


def varlen_unsupported(model: PreTrainedModel | PeftModel) -> str | None:
    """Why torch's kernel does not compute this model's attention on any card; None if it does."""
    return None if model.dtype in DTYPES else N_("packed rows on a GPU are computed in bf16 and fp16 only")


AttentionInterface.register(VARLEN, varlen_attention)
AttentionMaskInterface.register(VARLEN, sdpa_mask)
