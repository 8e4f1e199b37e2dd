"""D2: the model does not learn, or cannot learn from these rows."""

from tunewright.diagnose.evidence import Evidence
from tunewright.diagnose.suggested_changes import look_at_rows, lower_rate, retrain_with, usual_rate
from tunewright.errors import Problem
from tunewright.i18n import N_
from tunewright.metrics import curve_statistics
from tunewright.metrics.confidence_intervals import wilson
from tunewright.metrics.curve_statistics import rounded
from tunewright.planning.memory_fallback import wishes
from tunewright.rundir.finding import Confidence, Finding, Remedy

ENOUGH_STEPS = 10  # with fewer, the warm-up and the noise of single rows are most of the curve
FLAT = (
    0.1  # a loss that fell by less than a tenth; with a usual rate plain text may do so too, so the next line decides
)
FAR_BELOW = 10  # learning rates work within a factor of about three on both sides; ten is outside of that anywhere
FAR_ABOVE = 3
RISEN = 1.2  # a training loss that ends a fifth above its start; noise of means over a fifth of the run is below that
JUMPED = 1.5  # means of five steps; a healthy warm-up never lifts them by half
NO_GRADIENT = 1e-6  # healthy norms lie between 0.01 and 100; rounding of fp32 alone gives about 1e-7
LEARNED_ALREADY = 0.01  # nats; a loss this low has small gradients because nothing is left to learn
ROWS_LOST = 0.1
ONLY_THE_END = 2.0  # label tokens a row: an end token and one more
MARKED_ROWS = 0.05  # a few odd rows are reported by the data gate (W215); one in twenty is how the file was made
CONFLICTING = 0.2  # below, the right answer still wins by far
REPEATED = 0.25  # half of what stops a run (data.max_duplicates)
FEW_BLOCKS = 0.25  # quickstart's half of the blocks learns as much as all of them
LOWEST_RANK = 4  # the lesson's lowest, for machines under 12 GB
SEEN_OFTEN = 3.0  # epochs after which rows that fit into an adapter are learned
UNLEARNED = 0.5  # of the loss at the start
STILL_FALLING = 0.03  # from the third fifth of the steps to the fourth, while the learning rate is still high
ENOUGH_ROWS = 30  # with fewer, an interval holds nearly everything
NEAR_BASELINE = 0.1
UNEVEN = 0.8  # where one class is most of the rows, a useful model may still name it nearly always
CLOSE = 0.8  # training loss against held-out loss: what is not learned is not memorized either


def too_small_rate(evidence: Evidence) -> Finding | None:
    """D201: the loss is flat, and the learning rate far below the usual one."""
    losses = evidence.losses
    if len(losses) < ENOUGH_STEPS or evidence.rate * FAR_BELOW > evidence.usual_rate or no_gradient(evidence):
        return None
    first, last = curve_statistics.start(losses), curve_statistics.end(losses)
    if last < (1 - FLAT) * first or last > (1 + FLAT) * first:
        return None
    values = {
        "first": rounded(first),
        "last": rounded(last),
        "rate": evidence.rate,
        "usual": evidence.usual_rate,
        "times": round(evidence.usual_rate / evidence.rate),
    }
    return Finding(Problem("D201", values=values), "error", "likely", (usual_rate(evidence),))


def too_large_rate(evidence: Evidence) -> Finding | None:
    """D202: the training loss rose, or jumped on the way with a learning rate far above the usual one."""
    losses = evidence.losses
    if len(losses) < ENOUGH_STEPS:
        return None
    is_far_above = evidence.rate > FAR_ABOVE * evidence.usual_rate
    first, last, worst = (
        curve_statistics.beginning(losses),
        curve_statistics.end(losses),
        max(curve_statistics.smooth(losses)),
    )
    has_risen = last >= RISEN * curve_statistics.start(losses) or last >= JUMPED * first
    has_jumped = worst >= JUMPED * first
    if not has_risen and not (has_jumped and is_far_above):
        return None
    values = {
        "first": rounded(first),
        "worst": rounded(worst),
        "last": rounded(last),
        "rate": evidence.rate,
        "usual": evidence.usual_rate,
    }
    confidence: Confidence = "likely" if is_far_above else "possible"
    return Finding(Problem("D202", values=values), "error", confidence, (lower_rate(evidence),))


def no_gradient(evidence: Evidence) -> Finding | None:
    """D203: nothing reaches the adapter, although there is something to learn."""
    norms = [norm for _step, norm in evidence.norms]
    if (
        len(norms) < 3
        or max(norms) > NO_GRADIENT
        or not evidence.losses
        or curve_statistics.end(evidence.losses) < LEARNED_ALREADY
    ):
        return None
    values = {"norm": max(norms), "steps": len(norms), "loss": rounded(curve_statistics.end(evidence.losses))}
    return Finding(Problem("D203", values=values), "error", "certain", _other_layers(evidence))


def _other_layers(evidence: Evidence) -> tuple[Remedy, ...]:
    """The layers that the plan takes, or all where it took these itself; none for a method that adapts no layers."""
    if "target_modules" not in dict(evidence.plan.run.peft):
        return ()
    if "peft.target_modules" in wishes(evidence.plan):
        return (retrain_with(evidence, N_("let the plan choose the layers"), {"peft.target_modules": "auto"}),)
    if evidence.plan.run.preset == "complex":
        return ()
    return (retrain_with(evidence, N_("adapt all linear layers"), {"preset": "complex"}),)


def answers_cut_away(evidence: Evidence) -> Finding | None:
    """D204: of many rows nothing is left to learn, or nothing but the end token."""
    summary, has_no_labels = evidence.summary, any(problem.code == "E504" for problem in evidence.problems)
    if not summary or not evidence.writes or summary.format == "text":
        return None
    rows, lost = evidence.rows + evidence.count("masked_out"), evidence.count("masked_out")
    mean = summary.label_tokens / max(1, summary.used)
    if not has_no_labels and lost < ROWS_LOST * rows and mean >= ONLY_THE_END:
        return None
    values = {"lost": lost, "rows": rows, "mean": rounded(mean), "max_length": summary.max_length}
    longest = evidence.plan.facts.data.lengths["longest"]
    remedies: list[Remedy] = []
    if longest > summary.max_length:
        text = N_("make room for the longest row: {tokens} tokens")
        remedies.append(retrain_with(evidence, text, {"data.max_length": longest}, tokens=longest))
    remedies.append(look_at_rows(evidence, N_("see which tokens of each row are in the loss")))
    return Finding(Problem("D204", values=values), "error", "certain", tuple(remedies))


def templated_twice(evidence: Evidence) -> Finding | None:
    """D205: the texts hold control tokens, as if they had been written in a chat template before."""
    count = evidence.count("control_tokens")
    if count < 2 or count < MARKED_ROWS * evidence.rows:
        return None
    values = {"count": count, "rows": evidence.rows}
    remedy = look_at_rows(
        evidence, N_("take the marks of the template out of the texts, or give the turns as messages")
    )
    return Finding(Problem("D205", values=values), "error", "likely", (remedy,))


def too_small_adapter(evidence: Evidence) -> Finding | None:
    """D206: a very small adapter whose loss stopped falling, although it had not learned rows it saw several times."""
    small, patch = _what_is_small(evidence)
    losses = evidence.losses
    if not small or len(losses) < 5 * 3 or evidence.epochs < SEEN_OFTEN or not evidence.held_out:
        return None
    fifth = len(losses) // 5
    third, fourth = (sum(losses[i * fifth : (i + 1) * fifth]) / fifth for i in (2, 3))
    first, last = curve_statistics.start(losses), curve_statistics.end(losses)
    has_rested = fourth > (1 - STILL_FALLING) * third
    is_unlearned = UNLEARNED * first < last < first and last > CLOSE * evidence.held_out[-1][1]
    if not has_rested or not is_unlearned or evidence.rate * FAR_BELOW < evidence.usual_rate:
        return None
    values = {
        "first": rounded(first),
        "last": rounded(last),
        "epochs": rounded(evidence.epochs),
        "small": ", ".join(small),
    }
    remedy = retrain_with(evidence, N_("train more: a rank and layers of the preset"), patch)
    return Finding(Problem("D206", values=values), "warning", "possible", (remedy,))


def _what_is_small(evidence: Evidence) -> tuple[list[str], dict[str, object]]:
    """What makes an adapter very small, as settings, and what would fix it."""
    peft = {**dict(evidence.plan.run.peft), **evidence.plan.run.peft.extra}
    reasons: list[str] = []
    patch: dict[str, object] = {}
    if isinstance(peft.get("r"), int) and peft["r"] < LOWEST_RANK:
        reasons.append(f"r={peft['r']}")
        patch["peft.r"] = "auto"
    if isinstance(peft.get("target_modules"), list) and len(peft["target_modules"]) < 2:
        reasons.append(f"target_modules={','.join(peft['target_modules'])}")
        patch["peft.target_modules"] = "auto"
    blocks = peft.get("layers_to_transform")
    if isinstance(blocks, list) and len(blocks) < FEW_BLOCKS * evidence.plan.facts.model.num_layers:
        reasons.append(f"layers_to_transform={','.join(map(str, blocks))}")
        patch["peft.layers_to_transform"] = None
    return reasons, patch


def contradictory(evidence: Evidence) -> Finding | None:
    """D207: many rows ask the same and answer differently."""
    count = evidence.count("conflict")
    if not evidence.rows or count < CONFLICTING * evidence.rows:
        return None
    values = {"count": count, "rows": evidence.rows, "percent": round(100 * count / evidence.rows)}
    confidence: Confidence = "possible" if evidence.writes else "certain"  # texts may be answered in many ways
    remedy = look_at_rows(evidence, N_("keep one answer to each question"))
    return Finding(Problem("D207", values=values), "warning", confidence, (remedy,))


def repeated(evidence: Evidence) -> Finding | None:
    """D208: many rows say what another row says."""
    count = evidence.count("duplicate")
    if not evidence.rows or count < REPEATED * evidence.rows:
        return None
    values = {"count": count, "rows": evidence.rows, "percent": round(100 * count / evidence.rows)}
    remedy = look_at_rows(evidence, N_("keep each row once"))
    return Finding(Problem("D208", values=values), "warning", "certain", (remedy,))


def no_better_than_constant(evidence: Evidence) -> Finding | None:
    """D209: the labels are no better than one label for all rows; reported only where nothing else explains it."""
    baseline = evidence.result.baseline.scores.get("accuracy") if evidence.result.baseline else None
    after, rows = evidence.after.get("accuracy"), evidence.result.rows
    if evidence.plan.run.task != "seq_cls" or baseline is None or after is None or rows < ENOUGH_ROWS:
        return None
    low, _high = wilson(round(after * rows), rows)
    if low > baseline or after - baseline > NEAR_BASELINE or baseline > UNEVEN:
        return None
    values = {"after": round(100 * after), "baseline": round(100 * baseline), "rows": rows}
    remedies = (
        look_at_rows(evidence, N_("check that each row has its own label: shifted or mixed columns look like this")),
        retrain_with(evidence, N_("train longer"), {"train.num_train_epochs": max(1.0, round(2 * evidence.epochs))}),
    )
    return Finding(Problem("D209", values=values), "error", "possible", remedies)
