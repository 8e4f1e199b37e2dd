"""Packing: the rows of a micro-batch are packed into one row, without padding, and shared prefixes are computed once.

Positions restart with each row and attention stays inside it, so loss and gradients are those of the padded rows. A shared
prefix ends before the position that predicts the first label token of any of its rows, so every loss has its own hidden
state. The gradient into a shared prefix is the sum over the rows that share it, as if each had computed it.

Shapes: P packed tokens, D hidden, V vocabulary, N label tokens, M documents.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from tunewright.data.tokenized.micro_batches import SharedPrefix, packs, shared_beginnings
from tunewright.data.tokenized.tokenization import IGNORED, TokenizedExample
from tunewright.i18n import N_, Phrase
from tunewright.kernels.cross_entropy import MicroBatch, causal_model, chunked_cross_entropy
from tunewright.kernels.document_attention import NAME
from tunewright.kernels.varlen_attention import VARLEN, layout_of

ATTENTION_DROPOUT = ("attention_dropout", "attn_pdrop", "attention_probs_dropout_prob")


def shareable(row: TokenizedExample) -> int:
    """How many of a row's first tokens may be a shared prefix: those before the position that predicts its first label token."""
    first = next((i for i, label in enumerate(row.labels) if i > 0 and label != IGNORED), len(row.input_ids))
    return first - 1


def pack_groups(rows: Sequence[TokenizedExample], max_tokens: int, *, share: bool) -> list[list[int]]:
    """Positions of the rows of each micro-batch of at most `max_tokens` computed tokens, the largest micro-batch first.

    Smaller micro-batches then reuse the memory of the largest: in another order SmolLM2 held half a gigabyte more.
    """
    micro_batches = packs([row.input_ids for row in rows], _limits(rows, share), max_tokens)

    def computed(pack: Sequence[SharedPrefix]) -> int:
        return sum(g.length + sum(len(rows[i].input_ids) - g.length for i in g.rows) for g in pack)

    return [[i for group in pack for i in group.rows] for pack in sorted(micro_batches, key=computed, reverse=True)]


def pack(rows: Sequence[TokenizedExample], *, share: bool) -> dict[str, Tensor]:
    """input_ids and position_ids (1, P), spans (M, 4) for `document_attention`, predicts (N): positions, labels (N), rows (N)."""
    ids: list[int] = []
    positions: list[int] = []
    spans: list[tuple[int, int, int, int]] = []
    predicts: list[int] = []
    labels: list[int] = []
    row_indices: list[int] = []
    for group in shared_beginnings([row.input_ids for row in rows], _limits(rows, share)):
        first = len(ids)
        if group.length:
            ids += rows[group.rows[0]].input_ids[: group.length]
            positions += range(group.length)
            spans.append((first, len(ids), 0, 0))
        for i in group.rows:
            row, start = rows[i], len(ids)
            ids += row.input_ids[group.length :]
            positions += range(group.length, len(row.input_ids))
            spans.append((start, len(ids), first, first + group.length))
            label_positions = [t for t in range(1, len(row.input_ids)) if row.labels[t] != IGNORED]
            predicts += [start + t - 1 - group.length for t in label_positions]
            labels += [int(row.labels[t]) for t in label_positions]
            row_indices += [i] * len(label_positions)
    return {
        "input_ids": torch.tensor([ids]),
        "position_ids": torch.tensor([positions]),
        "spans": torch.tensor(spans),
        "predicts": torch.tensor(predicts, dtype=torch.long),
        "labels": torch.tensor(labels, dtype=torch.long),
        "rows": torch.tensor(row_indices, dtype=torch.long),
    }


def _limits(rows: Sequence[TokenizedExample], share: bool) -> list[int]:
    return [shareable(row) if share else 0 for row in rows]


def packed_loss(model: nn.Module, batch: MicroBatch, *, by_row: bool = False) -> Tensor:
    """Sum of the next-token losses over the label tokens of packed rows, with the head computed there only.

    Raises: CannotPack where the model's attention does not take documents.
    """
    causal = causal_model(model)
    assert causal.base_model.config._attn_implementation == NAME, "attend_by_document comes first"
    hidden_1PD = causal.base_model(
        input_ids=batch["input_ids"], position_ids=batch["position_ids"], use_cache=False, spans=batch["spans"]
    ).last_hidden_state
    head = causal.get_output_embeddings()
    rows_N = batch["rows"] if by_row else None
    return chunked_cross_entropy(hidden_1PD[0, batch["predicts"]], head.weight, batch["labels"], rows_N)


def varlen_loss(model: nn.Module, batch: MicroBatch, *, by_row: bool = False) -> Tensor:
    """The same by torch's kernel for packed rows (kernels/varlen_attention.py). Not run on a GPU.

    Raises: CannotPack where the model's attention does not take documents.
    """
    causal = causal_model(model)
    assert causal.base_model.config._attn_implementation == VARLEN, "attend_by_document comes first"
    # A mask of four dimensions is handed on as it is; without one transformers would make that of all tokens with all, unread.
    unread = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=batch["input_ids"].device)
    hidden_1PD = causal.base_model(
        input_ids=batch["input_ids"], position_ids=batch["position_ids"], attention_mask=unread, use_cache=False,
        layout=layout_of(batch["spans"]),
    ).last_hidden_state  # fmt: skip
    head = causal.get_output_embeddings()
    rows_N = batch["rows"] if by_row else None
    return chunked_cross_entropy(hidden_1PD[0, batch["predicts"]], head.weight, batch["labels"], rows_N)


def attend_by_document(model: nn.Module, name: str = NAME) -> Callable[[], None]:
    """Let the model's attention, ours of this name, accept documents; without them it computes as before.

    Returns a function that undoes it. It stays on through the backward pass, in which a checkpointed layer calls it once more.
    """
    config = causal_model(model).base_model.config
    before = config._attn_implementation
    config._attn_implementation = name

    def undo() -> None:
        config._attn_implementation = before

    return undo


def packing_unsupported(model: nn.Module, longest: int) -> str | None:
    """Why packing does not support this model for rows of up to `longest` tokens; None if its attention sees whole rows."""
    backbone = causal_model(model).base_model
    if not backbone._supports_attention_backend or backbone.config._attn_implementation != "sdpa":
        return N_("its attention cannot be chosen")
    settings = backbone.config.to_dict()
    if any(settings.get(name) for name in ATTENTION_DROPOUT):
        return N_("its attention has dropout")
    window = settings.get("sliding_window")
    if not window or window >= longest:
        return None
    return Phrase(N_("its attention sees {window} tokens back, and rows are longer"), window=window)
