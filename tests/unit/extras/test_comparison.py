"""Runs side by side: who is told apart, who is not, and that no sentence claims more than its interval."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.records import samples
from tests.unit.report.conftest import (
    START,
    Story,
    intent_rows,
    number_rows,
    plan_of,
    rmse,
    sample_rows,
    share_right,
    start,
)
from tests.unit.report.test_report_page import HOSTILE, Page
from tunewright.config.load_config import patch
from tunewright.config.run_config import RunConfig
from tunewright.errors import ConfigError
from tunewright.extras.comparison import comparison_page
from tunewright.extras.comparison.aligned_runs import Comparison, compare
from tunewright.extras.comparison.comparison_table import lines, notes, to_json
from tunewright.extras.comparison.recommendation import Recommendation, recommend
from tunewright.i18n import speaking
from tunewright.metrics.paired_differences import Estimate
from tunewright.rundir import atomic_io, file_names, run_dir
from tunewright.rundir.run_dir import RunDir

__all__ = ["start"]
ROWS = 120
Cell = Callable[..., RunDir]


def right(share: float, seed: int = 0) -> Callable[[int], bool]:
    """So large a share of rows is right, the easy ones nearly always: hard rows are hard for all."""
    source = random.Random(seed)
    places = [0.9 * i / ROWS + 0.1 * source.random() for i in range(ROWS)]
    return lambda i: places[i] < share


@pytest.fixture
def cell(tmp_path: Path) -> Cell:
    """A finished run that tells intents apart; `seconds` of training, `share` of rows right after it."""

    def make(
        name: str, share: float, *, seconds: float = 100.0, rows: Any = None, before: Any = None, scores: Any = None,
        task: str = "seq_cls", method: str = "lora", baseline: Any = None, losses: Any = ((), ()), **settings: Any,
    ) -> RunDir:  # fmt: skip
        config = RunConfig.model_validate({"model": "minilm", "task": task, "method": method, "data": "intents.jsonl"})
        plan = plan_of(patch(config, settings), held_out=ROWS, labels=("address", "cancel"))
        run = run_dir.create(tmp_path / "runs" / name, name)
        run.update_info(state="finished", created=START + len(list(run.path.parent.iterdir())))
        atomic_io.write_json(run.file(file_names.PLAN), plan.model_dump(mode="json"))
        story = Story(run, plan)
        scores = scores or (lambda rows: {"accuracy": share_right(rows), "macro_f1": share_right(rows)})
        before = intent_rows(ROWS, lambda i: i % 9 == 0) if before is None else before
        rows = intent_rows(ROWS, right(share)) if rows is None else rows
        story.score("before", 1.79, before, ROWS, scores(before), losses[0])
        story.phase("train", seconds)
        story.train(1, 54)
        story.score("after", 1.0 - share / 2, rows, ROWS, scores(rows), losses[1])
        story.done(54, 54, baseline)
        return run

    return make


def compared(*runs: RunDir) -> tuple[Comparison, Recommendation]:
    comparison = compare(runs)
    return comparison, recommend(comparison)


def english(choice: Recommendation) -> str:
    return choice.in_english().replace("\u00a0", " ")


def ranks(cell: Cell, **shares: tuple[float, float]) -> list[RunDir]:
    """Runs by name, r4 of rank 4: share of rows right, and seconds."""
    return [
        cell(name, share, seconds=seconds, **{"peft.r": int(name[1:])}) for name, (share, seconds) in shares.items()
    ]


def test_the_clearly_best_is_named_with_the_interval_of_its_lead(cell: Cell) -> None:
    comparison, choice = compared(*ranks(cell, r4=(0.5, 80), r16=(0.85, 100)))
    assert choice.best is choice.take is comparison.tuned[1]
    assert choice.tied == (comparison.tuned[1],)
    lead = choice.differences["r4"]
    assert lead.high is not None and lead.high < 0
    assert english(choice).startswith("r16 is the best on 120 held-out rows: Right (accuracy)")
    assert "Take r16." in english(choice) and "Against the base model" in english(choice)


def test_of_equals_the_fastest_is_taken_and_what_rows_cannot_show_is_said(cell: Cell) -> None:
    comparison, choice = compared(*ranks(cell, r8=(0.84, 80), r32=(0.86, 100)))
    assert choice.best is comparison.tuned[1] and choice.take is comparison.tuned[0]
    text = english(choice)
    assert "r8 is as good as r32, the best, as far as 120 held-out rows can tell" in text
    assert "trains 20 % faster. Take r8." in text
    assert "cannot be detected with 120 rows; four times as many would halve that" in text


def test_of_equals_that_are_as_fast_the_smallest_is_taken(cell: Cell) -> None:
    _comparison, choice = compared(*ranks(cell, r8=(0.84, 99), r32=(0.86, 100)))
    assert choice.take is not None and choice.take.name == "r8"
    assert "instead of" in english(choice)


def test_nothing_is_taken_that_is_not_better_than_the_base(cell: Cell) -> None:
    base = intent_rows(ROWS, right(0.84))
    _comparison, choice = compared(cell("r4", 0.83, before=base), cell("r8", 0.86, before=base, **{"peft.r": 8}))
    assert choice.take is None
    assert english(choice).startswith("No run is shown to be better than the base model")


def test_nothing_is_taken_that_is_not_better_than_one_answer_for_all(cell: Cell) -> None:
    baseline = {"name": "majority class", "scores": {"accuracy": 0.8, "macro_f1": 0.1}}
    _comparison, choice = compared(cell("r4", 0.82, baseline=baseline))
    assert choice.take is None
    assert "giving every row the same answer, which has Right (accuracy) 80.0 %" in english(choice)


def test_every_verdict_agrees_with_its_intervals(cell: Cell) -> None:
    """Whatever the scores are: what is taken is never shown to be worse, and a lone winner is shown to be better."""
    source = random.Random(5)
    for number in range(12):
        shares = [source.uniform(0.3, 0.95) for _ in range(3)]
        runs = [
            cell(f"c{number}-r{r}", share, seconds=source.uniform(50, 100), **{"peft.r": r})
            for r, share in zip((4, 8, 16), shares, strict=True)
        ]
        comparison, choice = compared(*runs)
        assert choice.best is not None and choice.take is not None
        if choice.take is not choice.best:
            change = choice.differences[choice.take.name]
            assert change.high is not None and change.high >= 0
        if len(choice.tied) == 1:
            others = [
                choice.differences[candidate.name] for candidate in comparison.tuned if candidate is not choice.best
            ]
            assert all(other.high is not None and other.high < 0 for other in others)
        else:
            assert "cannot" in english(choice)


def test_the_base_is_a_row_without_costs(cell: Cell) -> None:
    comparison, choice = compared(*ranks(cell, r4=(0.5, 80), r16=(0.85, 100)))
    record = json.loads(json.dumps(to_json(comparison, choice), allow_nan=False))
    assert [row["name"] for row in record["rows"]] == ["untrained head", "r4", "r16"]
    base, _small, large = record["rows"]
    assert base["run"] is None and base["seconds"] is None and base["metrics"]["accuracy"]["low"] is not None
    assert (large["method"], large["rank"]) == ("lora", 16)
    assert large["metrics"]["accuracy"]["low"] < large["metrics"]["accuracy"]["value"]
    assert large["metrics"]["held_out_loss"] == {"value": pytest.approx(0.575), "low": None, "high": None}
    assert large["seconds"] == 100.0 and large["tokens_per_second"] == 288.4
    assert large["peak_rss_bytes"] == 2_212_000_000 and large["adapter_bytes"] > 0 and large["trainable_parameters"] > 0
    assert (record["schema"], record["best"], record["take"], record["metric"]) == (1, "r16", "r16", "accuracy")
    assert record["verdict"] == choice.in_english()
    assert "peft.r" in record["differs"] and "train.learning_rate" not in record["differs"]


def test_seeds_of_one_setting_are_one_row(cell: Cell) -> None:
    runs = [
        cell(f"lora-r{r}{name}", share, **{"peft.r": r, "train.seed": seed})
        for r, shares in ((4, (0.5, 0.55, 0.6)), (8, (0.8, 0.82, 0.9)))
        for name, seed, share in zip(("", "-s2", "-s3"), (42, 43, 44), shares, strict=True)
    ]
    comparison, choice = compared(*runs)
    assert [candidate.name for candidate in comparison.tuned] == ["lora-r4", "lora-r8"]
    row = to_json(comparison, choice)["rows"][2]
    assert [run["seed"] for run in row["runs"]] == [42, 43, 44]
    assert row["metrics"]["accuracy"]["value"] == pytest.approx(sum(run["score"] for run in row["runs"]) / 3)
    assert any("means over seeds" in note for note in notes(comparison, choice))
    assert not any("another seed" in note for note in notes(comparison, choice))


def test_a_run_that_is_named_twice_is_no_second_seed(cell: Cell, tmp_path: Path) -> None:
    run, other = cell("lora-r4", 0.5, **{"peft.r": 4}), cell("lora-r8", 0.6, **{"peft.r": 8})
    link = tmp_path / "link"
    link.symlink_to(run.path)
    comparison, choice = compared(run, other, run, RunDir(link))
    assert [candidate.name for candidate in comparison.tuned] == ["lora-r4", "lora-r8"]
    assert [len(row["runs"]) for row in to_json(comparison, choice)["rows"][1:]] == [1, 1]


def test_without_answers_the_loss_is_compared_and_no_interval_is_made_up(cell: Cell) -> None:
    nothing: dict[str, Any] = {"rows": [], "before": [], "scores": lambda rows: {}, "task": "causal_lm"}
    runs = [cell("r4", 0.5, **nothing), cell("r8", 0.9, **nothing, **{"peft.r": 8})]
    comparison, choice = compared(*runs)
    assert comparison.metric == "held_out_loss" and comparison.rows == 0
    assert "cannot be said" in english(choice) and "interval" not in english(choice)
    assert choice.best is comparison.tuned[1]
    assert choice.differences["r4"].interval is None


def test_of_losses_within_a_hundredth_the_cheapest_is_taken(cell: Cell) -> None:
    nothing: dict[str, Any] = {"rows": [], "before": [], "scores": lambda rows: {}, "task": "causal_lm"}
    runs = [cell("r4", 0.895, seconds=50, **nothing), cell("r8", 0.9, **nothing, **{"peft.r": 8})]
    _comparison, choice = compared(*runs)
    assert choice.take is not None and choice.take.name == "r4"
    assert "r4 is within 1 % of the lowest loss" in english(choice)


def test_no_loss_is_advised_that_is_not_below_the_base_models(cell: Cell) -> None:
    nothing: dict[str, Any] = {"rows": [], "before": [], "scores": lambda rows: {}, "task": "causal_lm"}
    _comparison, choice = compared(cell("r4", -1.6, **nothing))
    assert choice.take is None
    assert english(choice) == (
        "No run has a loss on 120 held-out rows that is more than 1 % below that of the base model: 1.800 of r4 against 1.790."
    )


NOTHING: dict[str, Any] = {"rows": [], "before": [], "scores": lambda rows: {}, "task": "causal_lm"}
HARD = [1 + i / ROWS for i in range(ROWS)]  # the losses of the base model's rows, from 1 to 2
Change = Callable[[int], float]


def by_rows(cell: Cell, **runs: tuple[Change, float]) -> tuple[Comparison, Recommendation]:
    """Runs of free text by name, each with the change of row i's loss against the base model's, and seconds."""
    cells = []
    for seed, (name, (change, seconds)) in enumerate(runs.items()):
        little = noise(0.004, seed)
        losses = HARD, [loss + change(i) + little(i) for i, loss in enumerate(HARD)]
        cells.append(cell(name, 0.5, seconds=seconds, losses=losses, **NOTHING, **{"peft.r": int(name[1:])}))
    return compared(*cells)


def noise(size: float, seed: int) -> Change:
    """A change of a row that is chance, from -size to size, always the same."""
    source = random.Random(seed)
    drawn = [source.uniform(-size, size) for _ in range(ROWS)]
    return lambda i: drawn[i]


def test_losses_of_rows_tell_the_best_from_the_others(cell: Cell) -> None:
    comparison, choice = by_rows(cell, r4=(lambda i: -0.3, 100), r32=(lambda i: -0.6, 100))
    assert (comparison.metric, comparison.measured_rows) == ("held_out_loss", ROWS)
    assert comparison.value(comparison.tuned[0]) == pytest.approx(sum(HARD) / ROWS - 0.3, abs=0.001)
    assert choice.best is choice.take is comparison.tuned[1]
    behind = choice.differences["r4"]
    assert behind.value == pytest.approx(0.3, abs=0.001)
    assert behind.low is not None and behind.low > 0
    text = english(choice)
    assert text.startswith(
        "r32 is the best on 120 held-out rows: Held-out loss 0.896. r4 follows with +0.3 (95 % interval"
    )
    assert "Held-out loss of r32 against the base model: −0.6 (95 % interval" in text and "less is better" in text


def test_differences_row_by_row_see_what_the_spread_of_rows_hides(cell: Cell) -> None:
    comparison, choice = by_rows(cell, r4=(lambda i: -0.30, 50), r8=(lambda i: -0.35, 100))
    low, high = comparison.estimates["r8"]["held_out_loss"].interval or (0, 0)
    assert low < comparison.estimates["r4"]["held_out_loss"].value < high, "rows differ by far more than the runs"
    assert choice.tied == (comparison.tuned[1],)


def test_losses_that_can_be_chance_are_no_difference(cell: Cell) -> None:
    first, second = noise(0.5, 1), noise(0.5, 2)
    _comparison, choice = by_rows(cell, r4=(lambda i: first(i) - 0.5, 60), r8=(lambda i: second(i) - 0.55, 100))
    assert choice.take is not None and choice.take.name == "r4"
    assert [candidate.name for candidate in choice.tied] == ["r8", "r4"]
    assert "as far as 120 held-out rows can tell" in english(choice)
    assert "Differences below 0." in english(choice)


def test_losses_within_one_percent_are_the_same_however_sure(cell: Cell) -> None:
    _comparison, choice = by_rows(cell, r4=(lambda i: -0.5, 50), r8=(lambda i: -0.505, 100))
    assert choice.take is not None and choice.take.name == "r4"
    text = english(choice)
    assert text.startswith(
        "r4 is within 1 % of the lowest loss on 120 held-out rows, 0.996 against 0.991 of r8: +0.005"
    )
    _comparison, choice = by_rows(cell, r16=(lambda i: -0.500, 100), r32=(lambda i: -0.505, 100))
    assert choice.best is not None and choice.best.name == "r32"


def test_no_run_is_advised_whose_loss_can_be_the_base_models(cell: Cell) -> None:
    wild = noise(1.0, 5)
    _comparison, choice = by_rows(cell, r4=(lambda i: wild(i) - 0.05, 50))
    assert choice.take is None
    assert english(choice).startswith("No run is shown to be better than the base model on 120 held-out rows.")


def ask_with_examples(run: RunDir, share: float, shots: int = 3) -> None:
    """What a base model with examples in its prompt reached on the rows of a run that tells intents apart."""
    rows = intent_rows(ROWS, right(share))
    run.write_test(file_names.PROMPTED, samples(rows), [])
    scores = {"held_out_loss": 1.5, "accuracy": share_right(rows)}
    path = run.path / file_names.EVAL / f"{file_names.PROMPTED}.json"
    atomic_io.write_json(path, {"shots": shots, "asked": shots, "scores": scores})


def test_examples_in_a_prompt_stand_beside_the_base_and_count_like_it(cell: Cell) -> None:
    runs = ranks(cell, r4=(0.6, 80), r16=(0.85, 100))
    ask_with_examples(runs[0], 0.5)
    comparison, choice = compared(*runs)
    assert [line.name for line in lines(comparison, choice)] == [
        "untrained head",
        "base, examples in prompt",
        "r4",
        "r16",
    ]
    assert choice.take is comparison.tuned[1]
    assert "Against the base model with examples in its prompt, r16 gains" in english(choice)
    assert "The base model was also evaluated with 3 training rows in its prompt." in notes(comparison, choice)
    assert [row["name"] for row in to_json(comparison, choice)["rows"]][1:] == ["prompted", "r4", "r16"]
    assert "base, examples in prompt" in comparison_page.render(comparison, choice)


def test_nothing_is_taken_that_examples_in_a_prompt_reach_as_well(cell: Cell) -> None:
    runs = ranks(cell, r4=(0.6, 80), r16=(0.85, 100))
    ask_with_examples(runs[0], 0.84)
    comparison, choice = compared(*runs)
    assert choice.best is comparison.tuned[1] and choice.take is None
    text = "No run is shown to be better than the base model with examples in its prompt on 120 held-out rows."
    assert english(choice).startswith(text)


def test_chinese_sentences_stand_without_blanks(cell: Cell) -> None:
    _comparison, choice = compared(*ranks(cell, r4=(0.5, 80), r16=(0.85, 100)))
    with speaking("zh"):
        text = choice.verdict()
    assert text.count("。") >= 2 and "。 " not in text


def test_the_intervals_hold_for_all_differences_at_once(cell: Cell) -> None:
    runs = ranks(cell, r4=(0.6, 80), r16=(0.85, 100))
    alone, _choice = compared(*runs)
    ask_with_examples(runs[0], 0.5)
    more, _choice = compared(*runs)
    few, many = (comparison.difference(*comparison.tuned) for comparison in (alone, more))
    assert few is not None and many is not None and few.interval is not None and many.interval is not None
    assert few.value == many.value
    assert many.interval[0] < few.interval[0] and few.interval[1] < many.interval[1]
    back = more.difference(more.tuned[1], more.tuned[0])
    assert back == Estimate(-many.value, (-many.interval[1], -many.interval[0]))


def test_the_examples_that_were_asked_for_are_compared(cell: Cell) -> None:
    runs = ranks(cell, r4=(0.6, 80), r16=(0.85, 100))
    ask_with_examples(runs[0], 0.5, shots=3)
    ask_with_examples(runs[1], 0.6, shots=5)
    assert [compare(runs, shots).shots for shots in (None, 0, 3, 5, 7)] == [3, 0, 3, 5, 0]
    assert compare(runs, 0).prompted is None


def test_the_same_model_twice_is_a_tie_and_no_doubt(cell: Cell) -> None:
    _comparison, choice = by_rows(cell, r4=(lambda i: -0.6, 100))
    again = [row.loss / 5 for row in RunDir(choice.take.records[0].run.path).losses("after")]  # type: ignore[union-attr]
    twin = cell("r8", 0.5, seconds=50, losses=(HARD, again), **NOTHING, **{"peft.r": 8})
    _comparison, choice = compared(choice.take.records[0].run, twin)  # type: ignore[union-attr]
    assert choice.take is not None and choice.take.name == "r8", "the faster of the two"
    assert {candidate.name for candidate in choice.tied} == {"r4", "r8"}


def test_a_base_of_before_losses_were_kept_leaves_the_old_sentences(cell: Cell) -> None:
    first = cell("r4", 0.5, losses=((), [loss - 0.3 for loss in HARD]), **NOTHING)
    other = cell("r8", 0.9, losses=((), [loss - 0.6 for loss in HARD]), **NOTHING, **{"peft.r": 8})
    _comparison, choice = compared(first, other)
    assert choice.take is not None and choice.take.name == "r8"
    assert "cannot be said" in english(choice)
    with_losses = cell("r16", 0.7, losses=(HARD, [loss - 0.45 for loss in HARD]), **NOTHING, **{"peft.r": 16})
    comparison, _choice = compared(first, other, with_losses)
    assert comparison.base.losses[0], "the run that kept them tells the base's"


def test_a_faster_run_is_not_taken_unless_it_beats_what_costs_no_training(cell: Cell) -> None:
    """Within one percent of the best, and within one percent of the base model too."""
    _comparison, choice = by_rows(cell, r4=(lambda i: -0.011, 10), r8=(lambda i: -0.02, 100))
    assert choice.best is not None and choice.best.name == "r8"
    assert choice.take is choice.best
    assert {candidate.name for candidate in choice.tied} == {"r4", "r8"}
    text = english(choice)
    assert text.startswith("r8 scores best on 120 held-out rows: Held-out loss 1.476. Take r8.")
    assert (
        "Not distinguishable from r8 on these rows, but not shown to be better than what needs no training either: r4."
        in text
    )
    assert "clearly faster" not in text


def test_a_faster_run_is_not_taken_unless_it_beats_one_answer_for_all(cell: Cell) -> None:
    most = {"baseline": {"name": "majority class", "scores": {"accuracy": 0.8}}}
    runs = [cell("r4", 0.8, seconds=50, **most), cell("r8", 0.86, seconds=100, **most, **{"peft.r": 8})]
    _comparison, choice = compared(*runs)
    assert choice.take is choice.best is not None and choice.best.name == "r8"
    alone = compared(runs[0])[1]
    assert alone.take is None and "giving every row the same answer" in english(alone)


def test_examples_asked_of_another_base_model_are_not_compared(cell: Cell) -> None:
    runs = ranks(cell, r4=(0.6, 80), r16=(0.85, 100))
    ask_with_examples(runs[1], 0.5)
    assert compare(runs).prompted is not None
    plan = json.loads(runs[1].file(file_names.PLAN).read_text())
    plan["facts"]["model"]["digest"] = "0" * 16
    atomic_io.write_json(runs[1].file(file_names.PLAN), plan)
    assert compare(runs).prompted is None


def test_losses_of_other_data_are_not_compared_row_by_row(cell: Cell) -> None:
    runs = [cell(f"r{r}", 0.5 + r / 100, losses=(HARD, [loss - r / 10 for loss in HARD]), **NOTHING,
                 **{"peft.r": r}) for r in (4, 8)]  # fmt: skip
    rows = {"rows": intent_rows(ROWS, right(0.5))}
    assert compare(runs).marks(compare(runs).tuned[0], "held_out_loss")
    plan = json.loads(runs[1].file(file_names.PLAN).read_text())
    plan["facts"]["data"]["fingerprint"] = "b" * 64
    atomic_io.write_json(runs[1].file(file_names.PLAN), plan)
    for run in runs:
        atomic_io.write_jsonl(run.path / file_names.EVAL / "after.jsonl", rows["rows"])
    assert not compare(runs).marks(compare(runs).tuned[0], "held_out_loss")


def test_losses_of_other_rows_or_units_are_not_compared_row_by_row(cell: Cell) -> None:
    first = cell("r4", 0.5, losses=(HARD, [loss - 0.3 for loss in HARD]), **NOTHING)
    other = cell("r8", 0.6, losses=(HARD, [loss - 0.6 for loss in HARD]), **NOTHING, **{"peft.r": 8})
    path = other.path / file_names.EVAL / "after.losses.jsonl"
    path.write_text(path.read_text().replace('"units": 5', '"units": 6'))
    comparison, choice = compared(first, other)
    assert choice.differences["r4"].interval is None
    assert comparison.value(comparison.tuned[1]) == pytest.approx(0.7), "the run's own figure"


def test_a_mean_of_few_rows_gets_no_interval_and_no_advice(cell: Cell) -> None:
    scores = {"scores": lambda rows: {"rmse": rmse(rows)}, "before": number_rows(ROWS, lambda i: -1.0 - i % 5)}
    runs = [
        cell(
            f"r{rank}",
            0.5,
            rows=number_rows(count, lambda i, rank=rank: (i % 7 - 3) / rank),
            **scores,
            **{"peft.r": rank},
        )
        for rank, count in ((4, ROWS), (8, 9))
    ]
    comparison, choice = compared(*runs)
    assert comparison.rows == 9 and choice.take is None
    assert "have no interval" in english(choice) and "95 %" not in english(choice)


def test_of_errors_the_lowest_is_the_best(cell: Cell) -> None:
    scores = {"scores": lambda rows: {"rmse": rmse(rows)}, "before": number_rows(ROWS, lambda i: -1.0 - i % 5)}
    near = number_rows(ROWS, lambda i: (i % 7 - 3) / 5)
    far = number_rows(ROWS, lambda i: (i % 7 - 3) / 2)
    comparison, choice = compared(
        cell("r4", 0.5, rows=far, **scores), cell("r8", 0.5, rows=near, **scores, **{"peft.r": 8})
    )
    assert comparison.metric == "rmse" and choice.take is not None and choice.take.name == "r8"
    low = choice.differences["r4"].low
    assert low is not None and low > 0


def test_runs_are_compared_on_the_rows_that_all_of_them_answered(cell: Cell) -> None:
    rows = intent_rows(ROWS, right(0.8))
    comparison, choice = compared(cell("r4", 0.8, rows=rows[:70]), cell("r8", 0.8, rows=rows, **{"peft.r": 8}))
    assert comparison.rows == 70
    assert any("Only the 70 rows" in note for note in notes(comparison, choice))


def test_runs_with_other_rows_are_not_compared(cell: Cell) -> None:
    other = [{**row, "prompt": "another " + row["prompt"]} for row in intent_rows(ROWS, right(0.8))]
    with pytest.raises(ConfigError, match="E125"):
        compare([cell("r4", 0.8), cell("r8", 0.8, rows=other)])


def test_a_run_that_has_not_ended_is_left_out_and_named(cell: Cell, start: Callable[..., Story]) -> None:
    broken = start("broken", state="failed").run
    comparison, choice = compared(cell("r4", 0.8), broken)
    assert [candidate.name for candidate in comparison.tuned] == ["r4"] and comparison.left_out == (broken,)
    assert any("broken (failed)" in note for note in notes(comparison, choice))
    with pytest.raises(ConfigError, match="E116"):
        compare([broken])


def test_the_table_says_what_each_took(cell: Cell) -> None:
    comparison, choice = compared(*ranks(cell, r8=(0.84, 80), r32=(0.86, 100)))
    base, small, large = lines(comparison, choice)
    assert (base.name, base.seconds, base.adapter) == ("untrained head", "", "")
    assert small.is_recommended and not large.is_recommended
    assert large.difference == "best" and ".." in small.difference
    assert small.seconds == "1\u00a0min 20\u00a0s" and small.speed == "288"


def page(*runs: RunDir) -> Page:
    comparison, choice = compared(*runs)
    return Page(comparison_page.render(comparison, choice))


def test_the_page_has_everything_and_asks_for_nothing(cell: Cell) -> None:
    shown = page(*ranks(cell, r4=(0.5, 70), r8=(0.84, 80), r32=(0.86, 100)))
    ids = [section["id"] for section in shown.all("section")]
    assert ids == ["verdict", "table", "charts", "losses", "rows", "settings", "runs"]
    for words in ("Take r8", "peft.r", "Rows that some have right and others wrong", "right before, now wrong", "288"):
        assert words in shown.text.replace("\u00a0", " "), words
    assert shown.scripts == [] and len(shown.all("svg")) == 3 + 3
    for _tag, attributes in shown.elements:
        assert not {"src", "href", "style", "action"} & set(attributes), attributes
    policy = next(m["content"] or "" for m in shown.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert "script-src 'none'" in policy and "unsafe" not in policy


def test_the_page_says_short_times_and_keeps_the_order_of_the_settings(cell: Cell) -> None:
    r4, ia3 = cell("r4", 0.5, seconds=70, **{"peft.r": 4}), cell("a-ia3", 0.4, seconds=40, method="ia3")
    shown = page(r4, ia3)
    assert "0:00 0:10 0:20" in shown.text and "min 00" not in shown.text
    assert "peft.r 4 –" in shown.text and "null" not in shown.text
    assert shown.text.index("step r4 a-ia3") > 0, "the legend below the losses"


def test_hostile_rows_names_and_labels_stay_text(cell: Cell) -> None:
    def hostile(answer: str) -> list[dict[str, Any]]:
        return [{"row": i, "prompt": HOSTILE, "reference": HOSTILE, "answer": answer} for i in range(ROWS)]

    runs = [
        cell("r4", 0.5, rows=hostile(HOSTILE), before=hostile("b"), **{"data.system": HOSTILE}),
        cell("r8", 0.5, rows=hostile("<b>no</b>"), before=hostile("b"), **{"peft.r": 8}),
    ]
    shown = page(*runs)
    assert shown.scripts == [] and shown.all("img", "b") == []
    assert shown.text.count("<script>alert(1)</script><img src=x onerror=") >= 3


def test_points_are_drawn_where_they_belong(cell: Cell) -> None:
    shown = page(*ranks(cell, r4=(0.5, 50), r8=(0.84, 100)))
    circles = [(float(c["cx"] or 0), float(c["cy"] or 0)) for c in shown.all("circle")][:2]
    assert circles[0][0] < circles[1][0] and circles[0][1] > circles[1][1]


def test_texts_are_compared_too(cell: Cell) -> None:
    from tests.unit.report.conftest import text_scores

    options: dict[str, Any] = {"task": "causal_lm", "scores": lambda rows: text_scores(0.5, rows)}
    before = sample_rows(ROWS, right_from=115)
    runs = [
        cell("r4", 0.5, rows=sample_rows(ROWS, right_from=60), before=before, **options),
        cell("r8", 0.5, rows=sample_rows(ROWS, right_from=20), before=before, **options, **{"peft.r": 8}),
    ]
    comparison, choice = compared(*runs)
    assert comparison.metric == "exact_match" and choice.take is comparison.tuned[1]
    assert comparison.estimates["r8"]["field_f1"].low is not None


def test_the_verdict_speaks_the_language_of_the_process(cell: Cell) -> None:
    _comparison, choice = compared(*ranks(cell, r8=(0.84, 80), r32=(0.86, 100)))
    with speaking("en"):
        assert choice.verdict() == choice.in_english()
