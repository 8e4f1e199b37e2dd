"""D4: values that are not finite, a loss of zero, gradients that explode."""

from statistics import fmean, median

from tunewright.diagnose.evidence import Evidence
from tunewright.diagnose.learning_rules import ENOUGH_STEPS, JUMPED
from tunewright.diagnose.suggested_changes import change, look_at_rows, lower_rate, retrain_with
from tunewright.errors import Problem
from tunewright.i18n import N_
from tunewright.metrics import curve_statistics
from tunewright.metrics.curve_statistics import rounded
from tunewright.rundir.finding import Finding, Remedy

NOTHING = 1e-3  # nats a token: each is foreseen with 99.9 %, which no answer that depends on its question allows
FEW_EPOCHS = 3.0  # with more, rows may be memorized, which is another problem
EXPLODED = 100  # times the typical norm; single odd rows stay below twenty
NOT_FINITE = ("E501", "E511")
CLIPPED = 1.0  # transformers' own limit of the gradient norm


def not_finite(evidence: Evidence) -> Finding | None:
    """D401: the loss or a gradient became NaN or infinite."""
    stopped = next((problem for problem in evidence.problems if problem.code in NOT_FINITE), None)
    lost = [log.step for log in evidence.logs if log.loss is None]
    if stopped is None and not lost:
        return None
    stopped_at = {"value": "nan", "step": lost[0]} if stopped is None else {"value": "nan", **stopped.values}
    values = {
        "step": stopped_at["step"],
        "value": stopped_at["value"],
        "rate": evidence.rate,
        "usual": evidence.usual_rate,
    }
    return Finding(Problem("D401", values=values), "error", "certain", tuple(_calmer(evidence)))


def _calmer(evidence: Evidence) -> list[Remedy]:
    """A smaller learning rate, shorter gradients, a wider number format: whichever is not set already.

    Where numbers are learned at no unusual rate, one of them is the likelier cause.
    """
    is_of_numbers = evidence.plan.facts.data.problem_type == "regression"
    remedies = [lower_rate(evidence, change)]
    if is_of_numbers and evidence.rate <= evidence.usual_rate:
        remedies.insert(0, look_at_rows(evidence, N_("look for a number that is far from all others")))
    if evidence.plan.run.train.max_grad_norm == 0:
        remedies.append(change(evidence, N_("clip long gradients"), {"train.max_grad_norm": CLIPPED}))
    if evidence.plan.run.model.precision == "fp16":
        remedies.append(change(evidence, N_("compute in fp32, whose range is wider"), {"model.precision": "fp32"}))
    return remedies


def zero_loss(evidence: Evidence) -> Finding | None:
    """D402: within few epochs the loss is nothing: there is nothing to learn in the answers."""
    losses = evidence.losses
    if len(losses) < ENOUGH_STEPS or evidence.epochs >= FEW_EPOCHS or curve_statistics.end(losses) >= NOTHING:
        return None
    values = {"last": rounded(curve_statistics.end(losses)), "epochs": rounded(evidence.epochs)}
    remedy = look_at_rows(evidence, N_("see whether the answers differ, and whether the question holds them"))
    return Finding(Problem("D402", values=values), "error", "likely", (remedy,))


def exploded(evidence: Evidence) -> Finding | None:
    """D403: one gradient was far longer than all others, and the loss was worse after it than before."""
    norms = evidence.norms
    if len(norms) < ENOUGH_STEPS:
        return None
    typical = median(norm for _step, norm in norms)
    step, norm = max(norms, key=lambda pair: pair[1])
    earlier = [loss for at, loss in evidence.train if at < step][-curve_statistics.SMOOTHED :]
    later = [loss for at, loss in evidence.train if at > step][: curve_statistics.SMOOTHED]
    if norm < EXPLODED * typical or not earlier or not later or fmean(later) < JUMPED * fmean(earlier):
        return None
    values = {
        "step": step,
        "norm": rounded(norm),
        "typical": rounded(typical),
        "before": rounded(fmean(earlier)),
        "later": rounded(fmean(later)),
    }
    remedies = [lower_rate(evidence)]
    if evidence.plan.run.train.max_grad_norm == 0:
        remedies.append(retrain_with(evidence, N_("clip long gradients"), {"train.max_grad_norm": CLIPPED}))
    return Finding(Problem("D403", values=values), "error", "likely", tuple(remedies))
