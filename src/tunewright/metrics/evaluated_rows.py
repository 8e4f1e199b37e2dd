"""What an evaluation keeps of single held-out rows; scores and their intervals are computed from it."""

from typing import Annotated

from pydantic import Field

from tunewright.config.stored_record import Count, Measured, Number, StoredRecord


class Sample(StoredRecord):
    """eval/before.jsonl, after.jsonl, prompted.jsonl: one held-out row with the model's answer."""

    row: Count
    """its number in the data"""
    prompt: str
    """what the model was asked"""
    reference: str
    """what stands in the data"""
    answer: str
    """what the model generated or predicted"""
    probability: Measured = None
    """of the predicted label, for single labels"""
    is_cut: bool = False
    """whether the answer reached max_new_tokens"""
    gold_labels: list[str] = Field(default_factory=list)
    """for several labels a row: those in the data"""
    labels: list[str] = Field(default_factory=list)
    """for several labels a row: those that were predicted"""
    words: list[str] = Field(default_factory=list)
    """for token_cls: the words"""
    gold_tags: list[str] = Field(default_factory=list)
    """for token_cls: the tags in the data, one a word"""
    tags: list[str] = Field(default_factory=list)
    """for token_cls: the predicted tags, one a word"""


class ExampleLoss(StoredRecord):
    """eval/*.losses.jsonl: the loss of one held-out row."""

    row: Count
    """its number in the data"""
    loss: Number
    """the sum over its units"""
    units: Annotated[int, Field(ge=1, lt=2**63)]
    """tokens in the loss; 1 for a row with one label"""

    @property
    def mean(self) -> float:
        """The mean over its units."""
        return self.loss / self.units
