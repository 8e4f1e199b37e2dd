"""One row as the model reads it."""

from dataclasses import dataclass, field

from tunewright.data.tokenized.loss_mask import RenderNote

IGNORED = -100  # a label that is not in the loss


@dataclass(frozen=True, slots=True)
class TokenizedExample:
    """One row for the model: its input (`input_ids`) and its targets (`labels`).

    A conversation may be several of these with one `number`, its last answer in the last of them. `notes` say what became of
    its turns.
    causal_lm: `labels` equals `input_ids` in the loss, else IGNORED; `prompt_length` counts the tokens in front of the last
    answer (0 for plain text), `full_length` those before cutting to max_length.
    seq2seq: `input_ids` is the source, `labels` the target with its end token; before cutting the source has `prompt_length`
    tokens, both together `full_length`.
    seq_cls: `labels` is one class, 0 or 1 for each label, or one float; of a pair whose second text the tokenizer marks
    with type id 1 `prompt_length` counts the tokens in front of that text.
    token_cls: `labels` has a tag at one token of each word, else IGNORED.
    """

    number: int
    input_ids: list[int]
    labels: list[int] | list[float]
    prompt_length: int
    full_length: int
    is_truncated: bool = False
    notes: frozenset[RenderNote] = field(default=frozenset(), compare=False)

    @property
    def num_label_tokens(self) -> int:
        return len(self.labels) - self.labels.count(IGNORED)
