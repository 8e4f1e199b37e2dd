"""Collators: padding, labels, and how the rows of a step are cut into micro-batches."""

from dataclasses import replace

import torch

from tunewright.data.tokenized.tokenization import IGNORED, TokenizedExample
from tunewright.engine.tasks.collator import StepCollator, pad_labelled, pad_right
from tunewright.engine.tasks.task_losses import predicted_tokens

from .conftest import Rows

PAD = 0


def step_collator(max_tokens: int, *, same_length: bool = False) -> StepCollator:
    return StepCollator(pad_right, predicted_tokens, lambda row: len(row.input_ids), PAD, max_tokens, same_length)


def test_padding_is_on_the_right_and_has_no_label(causal_rows: Rows) -> None:
    batch = pad_right(causal_rows(3, 2), PAD)
    assert batch["input_ids"].tolist() == [[1, 2, 3], [2, 3, PAD]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch["labels"].tolist() == [[IGNORED, 2, 3], [IGNORED, 3, IGNORED]]


def test_targets_of_their_own_are_padded_to_their_own_length() -> None:
    rows = [TokenizedExample(0, [1, 2, 3], [4], 3, 4), TokenizedExample(1, [1], [4, 5], 1, 3)]
    batch = pad_right(rows, PAD)
    assert batch["input_ids"].shape == (2, 3)
    assert batch["labels"].tolist() == [[4, IGNORED], [4, 5]]


def test_one_label_is_a_number_and_several_are_a_row() -> None:
    single = pad_labelled([TokenizedExample(0, [1, 2], [1], 0, 2), TokenizedExample(1, [3], [0], 0, 1)], PAD)
    assert single["labels"].tolist() == [1, 0]
    several = pad_labelled([TokenizedExample(0, [1, 2], [1, 0, 1], 0, 2)], PAD)
    assert several["labels"].tolist() == [[1, 0, 1]]
    unlabelled = pad_labelled([TokenizedExample(0, [1, 2], [], 0, 2)], PAD)
    assert "labels" not in unlabelled


def test_the_second_text_of_a_pair_has_type_one() -> None:
    rows = [TokenizedExample(0, [1, 2, 3, 4], [1], 2, 4), TokenizedExample(1, [1, 2], [0], 1, 2)]
    assert pad_labelled(rows, PAD)["token_type_ids"].tolist() == [[0, 0, 1, 1], [0, 1, 0, 0]]
    assert "token_type_ids" not in pad_labelled([TokenizedExample(0, [1, 2], [1], 0, 2)], PAD)


def test_a_step_counts_tokens_label_tokens_and_padding(causal_rows: Rows) -> None:
    step = step_collator(8)(causal_rows(4, 3, 2))
    assert [batch["input_ids"].shape for batch in step["parts"][0]] == [(2, 4), (1, 2)]
    assert (int(step["num_tokens"]), int(step["num_padding"])) == (9, 1)
    assert int(step["num_label_tokens"]) == 3 + 2 + 1
    assert step["row_numbers"].tolist() == [0, 1, 2]


def test_micro_batches_hold_each_row_once_within_the_limit(causal_rows: Rows) -> None:
    lengths = torch.randint(2, 20, (40,), generator=torch.Generator().manual_seed(0)).tolist()
    rows = causal_rows(*lengths)
    groups = step_collator(32).groups(rows)
    assert sorted(i for group in groups for i in group) == list(range(40))
    assert all(len(group) * max(lengths[i] for i in group) <= 32 for group in groups)


def test_rows_of_one_length_stay_apart_from_others(causal_rows: Rows) -> None:
    groups = step_collator(100, same_length=True).groups(causal_rows(4, 3, 4, 3))
    assert sorted(map(sorted, groups)) == [[0, 2], [1, 3]]


def test_processes_that_share_the_base_make_as_many_passes(causal_rows: Rows) -> None:
    """Two have parts 0 and 2, and 1; with fewer micro-batches the shortest row stands in."""
    rows, each = causal_rows(9, 8, 7, 3, 2), ((0, 2), (1,))
    steps = [replace(step_collator(9), parts=3, own=own, parts_of_each=each)(rows) for own in each]
    micro_batches = [sum(map(len, step["parts"])) for step in steps]
    assert micro_batches[0] != micro_batches[1], "else this test shows nothing"
    assert [count + len(step["stand_ins"]) for count, step in zip(micro_batches, steps, strict=True)] == [
        max(micro_batches)
    ] * 2
    assert all(batch["input_ids"].tolist() == [[5, 6]] for step in steps for batch in step["stand_ins"])
    assert [int(step["num_padding"]) for step in steps] == [
        int(replace(step_collator(9), parts=3, own=own)(rows)["num_padding"]) for own in each
    ]


def test_other_processes_have_no_stand_ins(causal_rows: Rows) -> None:
    assert replace(step_collator(9), parts=2, own=(1,))(causal_rows(9, 2))["stand_ins"] == []
