"""`torch.nn.attention.varlen.varlen_attn` as its documentation says it, by plain attention: what CPUs have no kernel for.

Same signature. The causal triangle is aligned at the end of a document's queries and keys, as FlashAttention 2 aligns it.
Shapes: P queries and S keys of all documents, N query heads, K key heads, H head size; Q and T those of one document.
"""

import torch
from torch import Tensor

END_ALIGNED = True


def varlen_attn(
    query_PNH: Tensor, key_SKH: Tensor, value_SKH: Tensor, cu_seq_q: Tensor, cu_seq_k: Tensor | None, max_q: int, max_k: int,
    *, scale: float | None = None, window_size: tuple[int, int] = (-1, -1), enable_gqa: bool = False,
) -> Tensor:  # fmt: skip
    """(P, N, H); of torch's own arguments those for caches and for other results are left out."""
    assert window_size == (-1, 0) and cu_seq_k is not None
    assert cu_seq_q.dtype == cu_seq_k.dtype == torch.int32
    assert enable_gqa or query_PNH.shape[1] == key_SKH.shape[1]
    starts_q, starts_k = cu_seq_q.tolist(), cu_seq_k.tolist()
    assert (starts_q[-1], starts_k[-1]) == (len(query_PNH), len(key_SKH))
    results = []
    for number in range(len(starts_q) - 1):
        queries = slice(starts_q[number], starts_q[number + 1])
        keys = slice(starts_k[number], starts_k[number + 1])
        count_q, count_k = queries.stop - queries.start, keys.stop - keys.start
        assert count_q <= max_q and count_k <= max_k
        repeats = query_PNH.shape[1] // key_SKH.shape[1]
        key_TNH, value_TNH = (t[keys].repeat_interleave(repeats, 1) for t in (key_SKH, value_SKH))
        score_NQT = torch.einsum("qnh,tnh->nqt", query_PNH[queries], key_TNH)
        score_NQT = score_NQT * (query_PNH.shape[-1] ** -0.5 if scale is None else scale)
        later_QT = torch.ones(count_q, count_k, dtype=torch.bool, device=query_PNH.device).triu(
            1 + END_ALIGNED * (count_k - count_q)
        )
        probability_NQT = score_NQT.masked_fill(later_QT, float("-inf")).softmax(-1)
        results.append(torch.einsum("nqt,tnh->qnh", probability_NQT, value_TNH))
    return torch.cat(results)
