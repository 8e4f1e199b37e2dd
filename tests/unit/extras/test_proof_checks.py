"""The judgements of the checks, one fault at a time; tests/deploy runs them against real engines."""

from dataclasses import replace

import pytest

from tunewright.extras.proof import checks
from tunewright.extras.proof.checks import Compared
from tunewright.extras.proof.endpoint_client import Answer, LikelyToken, NextToken
from tunewright.extras.proof.exactness import exactness_of
from tunewright.extras.proof.observed import Observed, ObservedPrompt, ObservedRow
from tunewright.extras.proof.reference import Reference, ReferencePrompt, ReferenceRow, spread
from tunewright.rundir.records import ProofCheck

IDS = [1, 10, 11]
PROMPT = ReferencePrompt(turns=[{"role": "user", "content": "Hi"}], text="<s>Hi", ids=IDS)
TOP = [[(20, -0.01), (21, -4.9)], [(2, -0.02), (21, -4.0)]]


def row(number: int, base: str = "no") -> ReferenceRow:
    return ReferenceRow(
        number=number, prompt=PROMPT, reference="yes", answer="yes", answer_ids=[20], end_id=2, base=base,
        next_tokens=TOP, base_logprobs=[-3.0, -2.0],
    )  # fmt: skip


REFERENCE = Reference(
    rows=[row(number) for number in range(8)], is_held_out=True, prompts={"plain": PROMPT}, end_tokens={2: "</s>"}, bos="<s>",
    vocabulary={20: "yes", 21: "no", 2: "</s>"}, max_new_tokens=8, precision="fp32",
)  # fmt: skip


def written(token: str, token_id: int, logprob: float, *top: tuple[int, float]) -> NextToken:
    likely = [LikelyToken(id=i, token=REFERENCE.vocabulary[i], logprob=value) for i, value in top]
    return NextToken(id=token_id, token=token, logprob=logprob, top_logprobs=likely)


GOOD = Answer("yes", True, 3, (written("yes", 20, -0.01, (21, -4.9)), written("</s>", 2, -0.02, (21, -4.0))))
BASE = Answer("no", True, 3, (written("no", 21, -0.1, (20, -3.0)),))
SEEN = ObservedPrompt("<s>Hi", IDS, 3)


def compared(
    answer: Answer | None = GOOD, seen: ObservedPrompt = SEEN, precision: str = "f16", **more: object
) -> Compared:
    rows = [ObservedRow(seen, answer) for _row in REFERENCE.rows]
    return Compared(REFERENCE, Observed(rows, {"plain": seen}), exactness_of(precision), **more)  # type: ignore[arg-type]


def outcome(check: ProofCheck) -> tuple[str, int, int]:
    return check.outcome, check.held, check.total


def test_what_answers_as_the_run_holds_in_all_checks() -> None:
    assert {check.name: check.outcome for check in checks.all_checks(compared(file_ends={2}))} == dict.fromkeys(
        ("template", "ids", "end", "answers", "logits", "tuned", "score"), "ok"
    )


def test_a_beginning_token_that_the_engine_adds_itself_is_no_other_template() -> None:
    assert checks.template(compared(seen=ObservedPrompt("Hi", IDS, 3))).outcome == "ok"
    assert checks.template(compared(seen=ObservedPrompt("<s><s>Hi", IDS, 3))).outcome == "failed"


@pytest.mark.parametrize(
    "seen",
    [
        ObservedPrompt("<s>Hi", [1, *IDS], 4),
        ObservedPrompt("<s>Hi", IDS, 4),
        ObservedPrompt("<s>Hi", [1, 11, 10], 3),
        ObservedPrompt(None, None, 4),
    ],
    ids=["two beginning tokens", "one more in the answering request", "other tokens", "another number"],
)
def test_other_tokens_of_a_prompt_fail(seen: ObservedPrompt) -> None:
    check = checks.ids(compared(seen=seen))
    assert check.outcome == "failed" and check.rows == list(range(8)) and check.prompts == ["plain"]


def test_a_server_that_tells_nothing_of_prompts_is_not_judged_by_them() -> None:
    silent = compared(seen=ObservedPrompt(None, None, None))
    assert checks.template(silent).outcome == checks.ids(silent).outcome == "not_applicable"


def test_answers_without_end_fail_and_so_does_a_file_without_the_end_token() -> None:
    assert outcome(checks.end(compared(replace(GOOD, is_ended=False)))) == ("failed", 0, 8)
    assert checks.end(compared(file_ends={0})).figures == {"missing_end_id": 2.0}
    assert checks.end(compared(file_ends={0, 2})).outcome == "ok"


def test_an_answer_that_turned_elsewhere_may_be_longer_unless_all_of_them_are() -> None:
    elsewhere, on_and_on = (
        replace(BASE, text="no, never", is_ended=False),
        replace(GOOD, text="yes, yes", is_ended=False),
    )
    rows = [ObservedRow(SEEN, elsewhere), *[ObservedRow(SEEN, GOOD)] * 7]
    assert outcome(checks.end(replace(compared(), observed=Observed(rows, {})))) == ("ok", 7, 7)
    assert outcome(checks.end(compared(elsewhere))) == ("failed", 0, 8)
    assert outcome(checks.end(compared(on_and_on))) == ("failed", 0, 8)


def test_a_tie_is_told_and_any_other_difference_fails() -> None:
    tied = [row(0).model_copy(update={"next_tokens": [[(20, -0.69), (21, -0.695)], TOP[1]]}), *REFERENCE.rows[1:]]
    reference = REFERENCE.model_copy(update={"rows": tied})
    first = replace(compared(BASE), reference=reference)
    rows = [ObservedRow(SEEN, BASE), *[ObservedRow(SEEN, GOOD)] * 7]
    check = checks.answers(replace(first, observed=Observed(rows, {})))
    assert (*outcome(check), check.figures["ties"], check.rows) == ("ok", 7, 8, 1.0, [])
    assert outcome(checks.answers(compared(BASE))) == ("failed", 0, 8)


def test_weights_in_few_bits_are_measured_by_answers_and_judged_by_their_score() -> None:
    four_bits = compared(BASE, precision="q4_0")
    assert checks.answers(four_bits).outcome == checks.logits(four_bits).outcome == "measured"
    assert checks.score(four_bits).outcome == checks.tuned(four_bits).outcome == "failed"


def test_one_answer_less_is_within_the_interval_of_the_score() -> None:
    rows = [ObservedRow(SEEN, BASE), *[ObservedRow(SEEN, GOOD)] * 7]
    check = checks.score(replace(compared(), observed=Observed(rows, {})))
    assert check.outcome == "ok" and check.rows == [0] and check.figures["score"] == 7 / 8


def test_probabilities_that_are_not_numbers_fail() -> None:
    broken = replace(GOOD, tokens=(written("yes", 20, float("nan")),))
    assert checks.logits(compared(broken)).outcome == "failed"


def test_a_small_difference_everywhere_fails_by_its_mean() -> None:
    tokens = (written("yes", 20, -0.04), written("</s>", 2, -0.05))
    check = checks.logits(compared(replace(GOOD, tokens=tokens), precision="f32"))
    assert check.outcome == "failed" and check.rows == [] and check.figures["largest_gap"] == pytest.approx(0.03)


def test_without_probabilities_and_equal_answers_nothing_is_claimed() -> None:
    silent = replace(GOOD, tokens=None)
    rows = [row(number, base="yes") for number in range(8)]
    same = replace(compared(silent), reference=REFERENCE.model_copy(update={"rows": rows}))
    assert checks.logits(same).outcome == checks.tuned(same).outcome == "not_applicable"


def test_a_run_that_answers_as_its_base_is_told_from_it_by_probabilities() -> None:
    rows = [row(number, base="yes") for number in range(8)]
    as_base = replace(GOOD, tokens=(written("yes", 20, -3.0), written("</s>", 2, -2.0)))
    same = replace(compared(as_base), reference=REFERENCE.model_copy(update={"rows": rows}))
    assert checks.tuned(same).outcome == "failed"


def test_a_tie_with_the_bases_answer_is_no_answer_of_the_base() -> None:
    tied = [row(0).model_copy(update={"next_tokens": [[(20, -0.69), (21, -0.695)], TOP[1]]}), *REFERENCE.rows[1:]]
    rows = [ObservedRow(SEEN, BASE), *[ObservedRow(SEEN, GOOD)] * 7]
    first = replace(compared(), reference=REFERENCE.model_copy(update={"rows": tied}), observed=Observed(rows, {}))
    assert outcome(checks.tuned(first)) == ("ok", 7, 7)
    assert outcome(checks.tuned(compared(BASE))) == ("failed", 0, 8)


def test_rows_without_a_text_as_answer_are_counted_out() -> None:
    assert checks.answers(compared(None)).outcome == checks.score(compared(None)).outcome == "not_applicable"


def test_precisions_are_known_by_the_names_of_llama_cpp_and_of_torch() -> None:
    assert exactness_of("F16").is_exact and exactness_of("fp32").is_exact and not exactness_of("Q4_K_M").is_exact
    of_bf16_run = exactness_of("f16", "bf16").tolerance
    assert of_bf16_run == exactness_of("bf16").tolerance


def test_rows_are_spread_evenly() -> None:
    assert spread(range(100), 4) == [0, 25, 50, 75] and spread([7], 4) == [7] and spread([], 4) == []
