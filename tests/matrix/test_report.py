"""What a real run leaves for its report: rows as the model saw them, their lengths, and how sure it is of its labels."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tunewright.diagnose.rules import diagnose
from tunewright.report.run_report import write_report

from .test_causal_lm import run_for

WRITTEN = {"train.max_steps": 2, "eval.rows": 2, "eval.max_new_tokens": 3}


@pytest.mark.parametrize(("task", "family"), [("causal_lm", "llama"), ("seq2seq", "t5"), ("token_cls", "bert")])
def test_a_run_keeps_rows_as_the_model_saw_them(
    task: str, family: str, tiny_model: Callable[..., Path], task_rows: dict[str, Path], tmp_path: Path
) -> None:
    run = run_for(tiny_model(family), task_rows[task], tmp_path / "run", task=task, **WRITTEN)
    preview, account = run.dir.preview_rows(), run.dir.data_summary()
    assert [row.full_length for row in preview] == sorted(row.full_length for row in preview)
    assert len({row.row for row in preview}) == 3
    for row in preview:
        assert row.label_tokens and any(piece.is_learned for piece in row.pieces)
    assert sum(account.histogram.rows) == account.used + account.held_out
    page = write_report(run.dir, diagnose(run.dir).findings).read_text(encoding="utf-8")
    assert 'id="seen"' in page and '<mark class="learned">' in page and "max_length" in page


def test_a_classifier_says_how_sure_it_is_of_each_label(
    tiny_model: Callable[..., Path], task_rows: dict[str, Path], tmp_path: Path
) -> None:
    run = run_for(tiny_model("bert"), task_rows["seq_cls"], tmp_path / "run", task="seq_cls", **WRITTEN)
    for which in ("before", "after"):
        assert all(0.16 < sample.probability <= 1 for sample in run.dir.samples(which))
    page = write_report(run.dir, diagnose(run.dir).findings).read_text(encoding="utf-8").replace("\u00a0", " ")
    assert "Confusion matrix" in page and "% sure" in page
