"""What was deployed, in the report, its JSON and the model card; outcomes are in words, and foreign names are only text."""

from tests.proofs import proof_of
from tests.unit.report.test_model_card import card_of
from tunewright.diagnose.rules import diagnose
from tunewright.report import proof_table, run_record, run_report
from tunewright.rundir import atomic_io
from tunewright.rundir.records import Proof, ProofsRecord
from tunewright.rundir.run_dir import RunDir


def stored(run: RunDir, *proofs: Proof) -> None:
    record = ProofsRecord(proofs={proof.what: proof for proof in proofs})
    atomic_io.make_folder(run.proofs_path.parent)
    atomic_io.write_json(run.proofs_path, {"schema": 1, **record.to_stored()})


def test_a_check_is_told_in_words_with_its_figures() -> None:
    cells = {check.name: proof_table.cells(check) for check in proof_of(answers="failed").checks}
    assert cells["template"] == ("text of the prompt", "holds", "40 of 40", "")
    assert cells["answers"] == (
        "answers of the run", "DOES NOT HOLD", "38 of 40", "answers differ from the run's; rows: 7, 9"
    )  # fmt: skip
    assert cells["logits"][2:] == ("40", "largest difference 0.012, mean 0.0004")
    assert cells["score"][3] == "0.875 (0.739 to 0.945); the run 0.900"


def test_the_report_shows_what_was_proved(finished: RunDir) -> None:
    assert 'id="proofs"' not in run_report.render(run_record.read(finished), diagnose(finished).findings)
    assert run_report.summary(finished, diagnose(finished).findings)["proofs"] == []
    stored(finished, proof_of(), proof_of("<b>far</b>", tuned="failed"))
    page = run_report.render(run_record.read(finished), diagnose(finished).findings)
    assert '<section id="proofs">' in page and '<a href="#proofs">' in page
    assert "DOES NOT HOLD" in page and "gguf q8_0, merged" in page
    assert "&lt;b&gt;far&lt;/b&gt;" in page and "<b>far</b>" not in page
    proofs = run_report.summary(finished, diagnose(finished).findings)["proofs"]
    assert isinstance(proofs, list) and [proof["what"] for proof in proofs] == ["gguf q8_0, merged", "<b>far</b>"]


def test_the_card_has_a_line_for_each_export(finished: RunDir) -> None:
    assert "## Deployed" not in card_of(finished)
    stored(finished, proof_of(), proof_of("gguf q4_0, merged", score="failed", logits="not_applicable"))
    lines = card_of(finished).split("## Deployed")[1].splitlines()
    assert "| deployed as | template | ids | end | answers | logits | tuned | score |" in lines
    good = "| `gguf q8_0, merged` | 40 of 40 | 40 of 40 | 40 of 40 | 40 of 40 | within 0.0123 | 40 of 40 | 0.875 (run 0.9) |"
    assert good in lines
    assert any(line.endswith("|  | 40 of 40 | **not held**: 0.875 (run 0.9) |") for line in lines)
