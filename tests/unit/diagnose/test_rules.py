"""Each rule on numbers made up: it speaks where the fault is, and is silent beside it."""

import math
from collections.abc import Callable
from typing import Any

import pytest

from tests.records import event
from tunewright.diagnose.evidence import Evidence
from tunewright.diagnose.rules import LAST_RULES, RULES, Diagnosis, judge
from tunewright.errors import ConfigError, Problem
from tunewright.errors.catalogue import load_catalogue
from tunewright.planning.memory_fallback import remedied
from tunewright.rundir.finding import Finding
from tunewright.rundir.records import BaselineRecord, RunResult

from .conftest import GIB, STEPS, answers, falling, logged, measured, plan_of, summary

Sick = Callable[..., Evidence]


def codes(evidence: Evidence) -> list[str]:
    return [finding.code for finding in judge(evidence)]


def only(evidence: Evidence, code: str) -> Finding:
    findings = judge(evidence)
    assert [finding.code for finding in findings] == [code]
    return findings[0]


def test_a_healthy_run_has_no_finding(healthy: Evidence) -> None:
    assert codes(healthy) == []


def test_a_run_that_has_done_nothing_yet_has_no_finding(sick: Sick) -> None:
    nothing = sick(
        summary=None, logs=[], evals=[], before={}, after={}, samples=[], result=RunResult(), state="preparing"
    )
    assert codes(nothing) == []


def test_every_diagnosis_of_the_catalogue_has_a_rule() -> None:
    docstrings = " ".join(rule.__doc__ or "" for rule in (*RULES, *LAST_RULES))
    assert [code for code in load_catalogue() if code.startswith("D") and code not in docstrings] == []


# D1


@pytest.mark.parametrize("code", ["E402", "E404", "E405"])
def test_a_run_that_died_of_memory_gets_savings_that_keep_the_effective_batch(sick: Sick, code: str) -> None:
    problem = Problem(
        code, values={"step": 7, "peak": "19 GiB", "total": "20 GiB", "name": "mita", "reason": "x", "count": 0}
    )
    settings = {"train__per_device_train_batch_size": 4, "train__gradient_accumulation_steps": 2}
    finding = only(sick(settings, state="failed", problems=[problem]), "D103")
    assert "at step 7" in finding.message()
    first = finding.remedies[0]
    assert first.patch == {"train.per_device_train_batch_size": 2, "train.gradient_accumulation_steps": 4}
    assert first.command == (
        "tunewright runs resume mita --set train.per_device_train_batch_size=2 --set train.gradient_accumulation_steps=4"
    )
    quantized = next(remedy for remedy in finding.remedies if "model.quantization" in remedy.patch)
    assert quantized.command == "tunewright train /runs/mita/config.yaml --set model.quantization=8bit"


def test_a_saving_made_on_the_way_is_told_in_the_words_of_its_alert(sick: Sick) -> None:
    values = dict.fromkeys(("evidence", "peak", "total", "what", "was", "now", "start", "batch"), "8") | {"step": 3}
    alert = Problem("D101", values=values)
    finding = only(sick(alerts=[alert]), "D101")
    assert finding.message() == alert.message()
    assert codes(sick(alerts=[Problem("D102", values={"reason": "x", "rows": 8})])) == ["D102"]


@pytest.mark.parametrize(("peak", "expected"), [(19.5, ["D104"]), (18.5, [])])
def test_a_peak_near_the_limit_is_a_hint(sick: Sick, peak: float, expected: list[str]) -> None:
    assert codes(sick(result=RunResult(peak_rss_bytes=int(peak * GIB)))) == expected


# D2


def flat(level: float = 2.6) -> list[float]:
    return [level + 0.05 * math.sin(2.3 * i) for i in range(STEPS)]


def test_a_flat_loss_with_a_tiny_learning_rate_is_named(sick: Sick) -> None:
    finding = only(sick({"train__learning_rate": 1e-6}, logs=logged(flat()), evals=measured([2.6, 2.6])), "D201")
    assert finding.problem.values["times"] == 500
    assert finding.remedies[0].command == "tunewright train /runs/mita/config.yaml --set train.learning_rate=0.0005"


def test_a_flat_loss_with_a_usual_learning_rate_says_nothing_about_it(sick: Sick) -> None:
    assert codes(sick(logs=logged(flat()), evals=measured([2.6, 2.6]))) == []


def test_a_small_learning_rate_that_learns_is_fine(sick: Sick) -> None:
    assert codes(sick({"train__learning_rate": 2e-5})) == []


@pytest.mark.parametrize(("rate", "confidence"), [(0.05, "likely"), (5e-4, "possible")])
def test_a_training_loss_that_rises_is_named(sick: Sick, rate: float, confidence: str) -> None:
    rising = [2.6 + 3 * i / STEPS for i in range(STEPS)]
    finding = only(sick({"train__learning_rate": rate}, logs=logged(rising), evals=measured([4.0, 5.0])), "D202")
    assert (finding.severity, finding.confidence) == ("error", confidence)
    assert finding.remedies[0].patch == {"train.learning_rate": 5e-4 if rate > 5e-4 else 5e-5}


def test_a_loss_that_jumped_at_once_and_stays_there_is_named(sick: Sick) -> None:
    """As seen with a huge scale: the model answers at random from the third step on."""
    stuck = [2.5, 2.6, 35.9, *[10.803] * 17]
    assert codes(sick({"train__learning_rate": 0.9}, logs=logged(stuck), evals=measured([10.8] * 4, steps=20))) == [
        "D202"
    ]


def test_a_scale_far_above_the_usual_is_left_to_the_plan_as_well(sick: Sick) -> None:
    rising = [2.6 + 3 * i / STEPS for i in range(STEPS)]
    for alpha, scale in ((32, {}), (1000, {"peft.lora_alpha": "auto"})):
        settings = {"train__learning_rate": 0.9, "peft__r": 16, "peft__lora_alpha": alpha}
        finding = only(sick(settings, logs=logged(rising), evals=measured([4.0, 5.0])), "D202")
        assert finding.remedies[0].patch == {"train.learning_rate": 5e-4, **scale}


def test_a_jump_counts_only_with_a_learning_rate_far_above_the_usual(sick: Sick) -> None:
    jumping = [2.6, 2.6, 2.5] + [6.0] * 12 + falling(STEPS - 15, start=6.0, end=1.5)
    assert codes(sick({"train__learning_rate": 0.02}, logs=logged(jumping), evals=measured([4.0, 2.0]))) == ["D202"]
    assert codes(sick(logs=logged(jumping), evals=measured([4.0, 2.0]))) == []


def test_an_adapter_without_gradient_is_named_whatever_the_learning_rate(sick: Sick) -> None:
    for settings in ({}, {"train__learning_rate": 1e-6}):
        finding = only(sick(settings, logs=logged(flat(), norm=0.0), evals=measured([2.6, 2.6])), "D203")
        assert finding.confidence == "certain"
    assert codes(sick(logs=logged([1e-4] * STEPS, norm=1e-9, epochs=20.0), evals=measured([0.01, 0.01]))) == []


@pytest.mark.parametrize(
    ("settings", "patches"),
    [
        ({"peft__target_modules": ["q_proj"]}, [{"peft.target_modules": "auto"}]),
        ({"preset": "simple"}, [{"preset": "complex"}]),
        ({"preset": "complex"}, []),
        ({"method": "prompt_tuning"}, []),
    ],
)
def test_without_gradient_other_layers_are_taken_than_before(
    sick: Sick, settings: dict[str, Any], patches: list[dict[str, Any]]
) -> None:
    finding = only(sick(settings, logs=logged(flat(), norm=0.0), evals=measured([2.6, 2.6])), "D203")
    assert [remedy.patch for remedy in finding.remedies] == patches


def test_rows_that_lost_their_answers_are_named(sick: Sick) -> None:
    cut = summary(masked_out=100).model_copy(update={"max_length": 48})
    finding = only(sick(summary=cut), "D204")
    assert "100 of 628 rows" in finding.message()
    assert finding.remedies[0].patch == {"data.max_length": 100}
    assert codes(sick(summary=summary(masked_out=20))) == []


def test_rows_that_teach_only_an_end_token_are_named(sick: Sick) -> None:
    assert codes(sick(summary=summary().model_copy(update={"label_tokens": 480}))) == ["D204"]
    assert codes(sick(summary=summary().model_copy(update={"label_tokens": 960}))) == [], (
        "an answer of one token is an answer"
    )


def test_texts_that_were_written_in_a_template_before_are_named(sick: Sick) -> None:
    assert codes(sick(summary=summary(control_tokens=400))) == ["D205"]
    assert codes(sick(summary=summary(control_tokens=20))) == []


def test_a_very_small_adapter_that_came_to_rest_is_named(sick: Sick) -> None:
    resting = falling(STEPS, start=2.6, end=2.0)
    finding = only(sick({"peft__r": 1}, logs=logged(resting, epochs=5.0), evals=measured([2.2, 2.1])), "D206")
    assert finding.confidence == "possible"
    assert finding.remedies[0].patch == {"peft.r": "auto"}
    assert codes(sick({"peft__r": 8}, logs=logged(resting, epochs=5.0), evals=measured([2.2, 2.1]))) == []
    assert codes(sick({"peft__r": 1}, logs=logged(falling(), epochs=5.0))) == [], "it learned all the same"
    assert codes(sick({"peft__r": 1}, logs=logged(resting, epochs=1.0), evals=measured([2.2, 2.1]))) == [], "one pass"


def test_contradictory_rows_are_certain_for_labels_and_possible_for_texts(sick: Sick) -> None:
    assert only(sick(summary=summary(conflict=200)), "D207").confidence == "possible"
    assert only(sick({"task": "seq_cls"}, summary=summary(conflict=200)), "D207").confidence == "certain"
    assert codes(sick(summary=summary(conflict=40))) == []


def test_repeated_rows_are_named(sick: Sick) -> None:
    assert codes(sick(summary=summary(duplicate=200))) == ["D208"]
    assert codes(sick(summary=summary(duplicate=60))) == []


def classified(sick: Sick, accuracy: float, **changes: Any) -> Evidence:
    baseline = BaselineRecord(name="majority class", scores={"accuracy": 0.4, "macro_f1": 0.19})
    scores = {"accuracy": accuracy, "macro_f1": accuracy - 0.21, "held_out_loss": 1.1}
    return sick({"task": "seq_cls"}, after=scores, result=RunResult(baseline=baseline, rows=48), **changes)


def test_a_model_no_better_than_one_answer_for_all_is_named_if_nothing_else_is(sick: Sick) -> None:
    assert codes(classified(sick, 0.4)) == ["D209"]
    assert codes(classified(sick, 0.7)) == []
    assert codes(classified(sick, 0.4, evals=measured([0.8, 0.9, 1.0, 1.1]))) == ["D209", "D301"]
    assert codes(classified(sick, 0.4, summary=summary(conflict=200))) == ["D207"]


# D3

REMEMBERING = [*falling(40), *[0.02] * 20]


def test_a_rising_held_out_loss_is_named_with_the_step_that_was_best(sick: Sick) -> None:
    evidence = sick(logs=logged(falling(), epochs=10.0), evals=measured([1.0, 0.8, 0.9, 1.0, 1.2]))
    finding = only(evidence, "D301")
    assert (finding.problem.values["best"], finding.problem.values["count"]) == (24, 3)
    assert finding.remedies[0].patch == {"train.num_train_epochs": 4.0}
    assert finding.remedies[1].patch == {"peft.r": 8}


@pytest.mark.parametrize(
    "held_out", [[1.0, 0.8, 0.81, 0.82, 0.83], [1.0, 0.9, 0.8, 0.75, 0.9], [1.0, 0.8, 0.9, 0.85, 0.79]]
)
def test_a_held_out_loss_that_rests_or_slips_once_is_fine(sick: Sick, held_out: list[float]) -> None:
    assert codes(sick(evals=measured(held_out))) == []


def test_a_held_out_loss_that_rises_with_the_training_loss_is_another_fault(sick: Sick) -> None:
    rising = [2.6 + 3 * i / STEPS for i in range(STEPS)]
    assert codes(sick(logs=logged(rising), evals=measured([2.6, 3.0, 4.0, 5.0]))) == ["D202"]


def test_rows_known_by_heart_are_named(sick: Sick) -> None:
    evidence = sick(logs=logged(REMEMBERING, epochs=12.0), evals=measured([1.2, 1.1, 1.1, 1.1]))
    assert codes(evidence) == ["D302"]
    assert codes(sick(logs=logged(REMEMBERING, epochs=12.0), evals=measured([0.5, 0.2, 0.15]))) == []
    assert codes(sick(logs=logged(REMEMBERING, epochs=1.0), evals=measured([1.2, 1.1, 1.1]))) == [], "one pass"


# D4


def test_numbers_that_broke_are_named(sick: Sick) -> None:
    values = {"what": "the loss", "value": "nan", "step": 12, "learning_rate": "0.9", "lower": "0.09", "config": "c"}
    settings = {"train__learning_rate": 0.9, "train__max_grad_norm": 0}
    finding = only(
        sick(settings, state="failed", logs=logged([2.6] * 5), evals=[], problems=[Problem("E501", values=values)]),
        "D401",
    )
    assert finding.remedies[0].command == "tunewright runs resume mita --set train.learning_rate=0.0005"
    assert finding.remedies[1].patch == {"train.max_grad_norm": 1.0}


def test_where_numbers_are_learned_at_a_usual_rate_one_of_them_is_looked_for_first(sick: Sick) -> None:
    problem = Problem("E501", values={"what": "the loss", "value": "inf", "step": 3, "learning_rate": "0.0005"})
    plan = plan_of(task="seq_cls")
    data = plan.facts.data.model_copy(update={"problem_type": "regression"})
    numbers = plan.model_copy(update={"facts": plan.facts.model_copy(update={"data": data})})
    finding = only(sick(plan=numbers, state="failed", logs=logged([2.6] * 5), evals=[], problems=[problem]), "D401")
    assert [bool(remedy.patch) for remedy in finding.remedies] == [False, True]
    assert finding.remedies[0].command.startswith("tunewright data check my.jsonl ")


def test_a_logged_loss_that_is_no_number_is_named(sick: Sick) -> None:
    assert codes(sick(logs=logged([*falling(30), None, *falling(29)]))) == ["D401"]


def test_a_loss_of_nothing_within_one_pass_is_named(sick: Sick) -> None:
    empty = [*falling(20, end=0.2), *[1e-5] * 40]
    assert codes(sick(logs=logged(empty), evals=measured([1e-5, 1e-5]))) == ["D402"]
    assert codes(sick(logs=logged(empty, epochs=10.0), evals=measured([1e-5, 1e-5]))) == []


def test_a_gradient_that_exploded_and_left_damage_is_named(sick: Sick) -> None:
    losses = [*falling(40), *[3.0] * 20]
    logs = logged(losses)
    logs[40] = logs[40].model_copy(update={"grad_norm": 900.0})
    assert "D403" in codes(sick(logs=logs, evals=measured([1.2, 0.7, 2.9])))
    harmless = logged(falling())
    harmless[40] = harmless[40].model_copy(update={"grad_norm": 900.0})
    assert codes(sick(logs=harmless)) == []


# D5


def test_padding_is_a_hint_with_packing_as_remedy_where_it_was_switched_off(sick: Sick) -> None:
    finding = only(sick({"fast_paths__packing": False}, logs=logged(falling(), padding_share=0.7)), "D501")
    assert (finding.severity, finding.remedies[0].patch) == ("hint", {"fast_paths.packing": True})
    assert codes(sick(logs=logged(falling(), padding_share=0.3))) == []


def test_checkpointing_that_was_asked_for_without_need_is_a_hint(sick: Sick) -> None:
    finding = only(sick({"train__activation_checkpointing": True}), "D502")
    assert finding.remedies[0].command.endswith("--set train.activation_checkpointing=false")
    assert codes(sick(plan=remedied(plan_of(), {"train.activation_checkpointing": True}))) == [], "memory had run out"


def test_a_slow_precision_that_was_asked_for_is_a_hint(sick: Sick) -> None:
    finding = only(sick({"model__precision": "bf16"}), "D503")
    assert finding.remedies[0].patch == {"model.precision": "fp32"}
    assert codes(sick({"model__precision": "fp32"})) == []


def test_busy_neighbours_and_late_rows_are_hints(sick: Sick) -> None:
    (remedy,) = only(sick(logs=logged(falling(), core_wait_share=0.5)), "D504").remedies
    assert (remedy.patch, remedy.command) == ({}, "tunewright train /runs/mita/config.yaml")
    finding = only(sick({"train__dataloader_num_workers": 2}, logs=logged(falling(), row_wait_share=0.4)), "D505")
    assert finding.remedies[0].patch == {"train.dataloader_num_workers": 0}


def test_runs_of_older_versions_that_did_not_measure_waiting_are_read(sick: Sick) -> None:
    shares = dict.fromkeys(("padding_share", "row_wait_share", "core_wait_share"))
    logs = [log.model_copy(update=shares) for log in logged(falling())]
    assert codes(sick(logs=logs)) == []


# D6

ENDLESS = '{"intent":"order"}{"intent":"order"}{"intent":"order"}'


def test_answers_without_end_are_named_with_the_rows_that_were_cut(sick: Sick) -> None:
    endless = answers(12, ENDLESS, is_cut=True) + answers(8)
    finding = only(sick(samples=endless, summary=summary(truncated=300)), "D601")
    assert "12 of 20 answers" in finding.message()
    assert finding.remedies[0].patch == {"data.max_length": 100}


def test_answers_that_are_longer_than_the_limit_get_room(sick: Sick) -> None:
    endless = answers(12, ENDLESS, is_cut=True) + answers(8)
    finding = only(sick({"eval__max_new_tokens": 36}, samples=endless, summary=summary(truncated=300)), "D601")
    assert finding.remedies[0].patch == {"data.max_length": 100, "eval.max_new_tokens": 45}


def test_few_endless_answers_short_ones_or_those_of_an_untrained_model_are_no_habit(sick: Sick) -> None:
    assert codes(sick(samples=answers(5, ENDLESS, is_cut=True) + answers(15))) == []
    assert codes(sick(samples=answers(20, "{", is_cut=True))) == [], "the limit was shorter than the reference"
    assert codes(sick(samples=answers(20, ENDLESS, is_cut=True), logs=logged(flat()), evals=measured([2.6]))) == []
    old = answers(20, ENDLESS)
    assert codes(sick(samples=old)) == []


def test_marks_of_another_template_are_named(sick: Sick) -> None:
    finding = only(sick(samples=answers(10, "[INST] hello [/INST]") + answers(10)), "D602")
    assert finding.problem.values["marks"] == "[/INST] [INST]"
    assert codes(sick(samples=answers(1, "what does [INST] mean?") + answers(19))) == []


def test_what_matters_most_comes_first(sick: Sick) -> None:
    evidence = sick(
        {"train__activation_checkpointing": True}, summary=summary(duplicate=200), samples=answers(20, "[INST] hello")
    )
    assert codes(evidence) == ["D602", "D208", "D502"]


def test_what_to_do_first_is_what_matters_most_even_where_it_is_for_a_person(sick: Sick) -> None:
    rows = sick({"train__activation_checkpointing": True}, samples=answers(20, "[INST] hello"))
    finding, remedy = Diagnosis(rows, tuple(judge(rows))).first_remedy()
    assert (finding.code, dict(remedy.patch)) == ("D602", {})
    values = dict.fromkeys(("evidence", "peak", "total", "what", "was", "now", "start", "batch"), "8") | {"step": 3}
    alerts = [Problem("D101", values=values)]
    saved = sick({"train__activation_checkpointing": True}, alerts=alerts)
    assert Diagnosis(saved, tuple(judge(saved))).first_remedy()[0].code == "D502"
    for evidence in (sick(alerts=alerts), sick()):
        with pytest.raises(ConfigError, match="E148"):
            Diagnosis(evidence, tuple(judge(evidence))).first_remedy()


# D210: real curves of runs on two cores; each with the loss before, what was measured on the way, and the training losses


def _cosine(steps: int, peak: float = 5e-4) -> list[float]:
    return [peak * (1 + math.cos(math.pi * i / steps)) / 2 for i in range(steps)]


def _curve(sick: Sick, before: float, held_out: list[tuple[int, float]], losses: list[float], **more: Any) -> Evidence:
    epochs = more.pop("epochs", 5.0)
    logs = [
        log.model_copy(update={"learning_rate": rate})
        for log, rate in zip(logged(losses, epochs=epochs), _cosine(len(losses)), strict=True)
    ]
    evals = [event("eval", step=step, held_out_loss=loss) for step, loss in held_out]
    after = {"held_out_loss": held_out[-1][1]} if held_out else {}
    return sick(logs=logs, evals=evals, before={"held_out_loss": before}, after=after, **more)


TEN_ROWS = [3.35, 5.22, 4.5, 3.29, 4.05, 3.8, 3.08, 3.16, 3.39, 2.6, 3.1, 3.55, 3.06, 2.75, 1.69]
FORTY_ROWS = [2.85, 2.94, 2.51, 1.9, 1.3, 1.2, 0.81, 0.45, 0.38]


def test_ten_rows_and_fifteen_steps_ended_too_soon(sick: Sick) -> None:
    evidence = _curve(sick, 3.9, [(3, 3.58), (6, 3.346), (9, 3.305), (12, 3.291), (15, 3.285)], TEN_ROWS)
    finding = only(evidence, "D210")
    assert "3.9 before, 3.29 at the last of 15 steps" in finding.message()
    assert finding.remedies[0].command == "tunewright train /runs/mita/config.yaml --epochs 20"
    assert only(_curve(sick, 3.9, [], TEN_ROWS), "D210")  # nothing was held out
    limited = _curve(sick, 3.9, [], TEN_ROWS, settings={"train__max_steps": 15})
    assert only(limited, "D210").remedies[0].command.endswith("--set train.max_steps=60")


@pytest.mark.parametrize(
    ("before", "held_out", "losses", "epochs"),
    [
        (2.86, [(2, 2.7), (4, 2.2), (6, 1.5), (8, 0.9), (9, 0.7)], FORTY_ROWS, 1.0),
        (1.79, [(6, 1.77), (12, 1.70), (18, 1.61), (24, 1.54), (30, 1.53)], [1.79 - 0.016 * i for i in range(30)], 1.0),
    ],
)
def test_a_run_whose_loss_fell_to_its_end_is_told_so(
    sick: Sick, before: float, held_out: list[tuple[int, float]], losses: list[float], epochs: float
) -> None:
    evidence = _curve(sick, before, held_out, losses, epochs=epochs)
    assert only(evidence, "D210").remedies[0].command.endswith(f"--epochs {math.ceil(4 * epochs)}")


@pytest.mark.parametrize(
    ("before", "held_out", "end"),
    [
        (2.7, [(8, 0.657), (16, 0.255), (24, 0.201), (32, 0.135), (40, 0.130)], 0.14),
        (2.7, [(15, 0.769), (30, 0.293), (45, 0.186), (60, 0.154), (75, 0.150)], 0.1),
        (2.7, [(10, 0.839), (20, 0.333), (30, 0.159), (40, 0.139), (48, 0.134)], 0.07),
        (2.7, [(5, 0.843), (10, 0.403), (15, 0.254), (20, 0.223), (24, 0.219)], 0.26),
        (2.7, [(4, 1.021), (8, 0.464), (12, 0.315), (16, 0.292)], 0.35),
        (9.2, [(20, 4.552), (40, 3.304), (60, 2.814), (80, 2.606), (100, 2.579)], 2.8),
        (1.6, [(30, 1.31), (60, 1.25), (90, 1.22), (120, 1.21), (150, 1.208)], 1.2),
        (1.1, [(40, 0.52), (80, 0.163), (120, 0.082), (160, 0.070), (200, 0.073)], 0.03),
    ],
)
def test_a_run_that_came_to_rest_is_not(
    sick: Sick, before: float, held_out: list[tuple[int, float]], end: float
) -> None:
    losses = falling(held_out[-1][0], start=before, end=end)
    assert codes(_curve(sick, before, held_out, losses, epochs=1.0)) == []


def test_plain_text_numbers_and_runs_that_were_stopped_are_not_judged_so(sick: Sick) -> None:
    curve = (3.9, [(3, 3.58), (6, 3.346), (9, 3.305), (12, 3.291), (15, 3.285)], TEN_ROWS)
    assert codes(_curve(sick, *curve, state="stopped")) == []
    plan = plan_of()
    for change in ({"format": "text"}, {"problem_type": "regression"}):
        data = plan.facts.data.model_copy(update=change)
        other = plan.model_copy(update={"facts": plan.facts.model_copy(update={"data": data})})
        assert codes(_curve(sick, *curve, plan=other)) == []


def test_rows_known_by_heart_need_no_more_epochs(sick: Sick) -> None:
    evidence = _curve(
        sick,
        3.9,
        [(12, 3.5), (24, 3.4), (36, 3.35), (48, 3.33), (60, 3.32)],
        falling(60, start=3.9, end=0.06),
        epochs=20.0,
    )
    assert "D210" not in codes(evidence)
