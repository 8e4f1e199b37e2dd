"""D210: training ended before there was nothing more to learn.

A schedule lets the learning rate fall to zero, and with it the loss comes to rest in every run, finished or not. So what
the loss fell is compared with the learning rate that was spent on it, not against steps.
"""

import math
import shlex
from statistics import fmean

from tunewright.diagnose.evidence import Evidence
from tunewright.diagnose.suggested_changes import retrain_with
from tunewright.errors import Problem
from tunewright.i18n import N_
from tunewright.metrics import curve_statistics
from tunewright.metrics.curve_statistics import rounded
from tunewright.rundir.finding import Finding, Remedy

FEWEST_STEPS = 5
ENOUGH_MEASURED = 3  # held-out losses that make a curve
FALLEN = 0.03  # of the loss before: less is D201's, or there is nothing to learn
LEARNED = 0.1  # of the loss before: what is left then is mostly the wording, and never stops falling
LITTLE = 0.5  # of the loss before: most of it is still there
AS_FAST = 1.0  # the end's fall for the learning rate spent, as a share of the whole run's
FELL_LATELY = 0.1  # of the training loss, from the third fifth to the last: noise of rows is mostly below that
MIDDLE = 0.6  # of the steps: what comes later is the end
AGAIN = 4  # times the epochs: a loss that still falls usually has a long way to go


def still_falling(evidence: Evidence) -> Finding | None:
    """D210: the loss still fell when training ended, and much of it was left."""
    losses, held_out = evidence.losses, evidence.held_out
    if evidence.state != "finished" or len(losses) < FEWEST_STEPS or not _has_a_scale(evidence):
        return None
    is_falling = _is_falling_by_rows(losses) if not held_out else _is_falling(evidence)
    if not is_falling:
        return None
    before, last = (
        (_before(evidence), held_out[-1][1])
        if held_out
        else (curve_statistics.start(losses), curve_statistics.end(losses))
    )
    values = {
        "before": rounded(before),
        "last": rounded(last),
        "steps": len(losses),
        "epochs": rounded(evidence.epochs),
        "trained": rounded(curve_statistics.end(losses)),
    }
    return Finding(Problem("D210", values=values), "warning", "likely", (_more_epochs(evidence),))


def _has_a_scale(evidence: Evidence) -> bool:
    """Whether the loss may come close to zero: that of plain text never does, and that of numbers has its own unit."""
    data = evidence.plan.facts.data
    return data.format != "text" and data.problem_type != "regression"


def _before(evidence: Evidence) -> float:
    """The held-out loss of the untrained model, else the training loss at the start."""
    held_out = evidence.before.get("held_out_loss")
    return curve_statistics.start(evidence.losses) if held_out is None else held_out


def _is_falling(evidence: Evidence) -> bool:
    """By the held-out rows, which are the same each time: the last measurement is the best, and the fall went on."""
    held_out, before = evidence.held_out, _before(evidence)
    last = held_out[-1][1]
    if last > min(loss for _step, loss in held_out) or last > (1 - FALLEN) * before or last < LEARNED * before:
        return False
    is_fast = len(held_out) >= ENOUGH_MEASURED and _pace(evidence) >= AS_FAST
    return is_fast or (last > LITTLE * before and _is_falling_by_rows(evidence.losses))


def _is_falling_by_rows(losses: list[float]) -> bool:
    """By the training rows: most of their loss is still there, and the last fifth is clearly below the third."""
    fifth = len(losses) // 5
    middle, last = fmean(losses[2 * fifth : 3 * fifth]), fmean(losses[4 * fifth :])
    return last > LITTLE * curve_statistics.start(losses) and last < (1 - FELL_LATELY) * middle


def _pace(evidence: Evidence) -> float:
    """How fast the held-out loss fell at the end for the learning rate that was spent, as a share of the whole run's."""
    steps, before = evidence.logs[-1].step, _before(evidence)
    spent, earlier = 0.0, {0: 0.0}
    for log in evidence.logs:
        spent += log.learning_rate or 0.0
        earlier[log.step] = spent
    step, middle = max(((s, loss) for s, loss in evidence.held_out if s <= MIDDLE * steps), default=(0, before))
    last = evidence.held_out[-1][1]
    rest = spent - earlier.get(step, spent)
    return 0.0 if not rest or not spent else (middle - last) / rest / ((before - last) / spent)


def _more_epochs(evidence: Evidence) -> Remedy:
    """The run once more, with several times the epochs."""
    run, text = evidence.plan.run, N_("train {times} times as long")
    if run.train.max_steps > 0:
        return retrain_with(evidence, text, {"train.max_steps": AGAIN * run.train.max_steps}, times=AGAIN)
    count = max(2, math.ceil(AGAIN * evidence.epochs))
    command = shlex.join(["tunewright", "train", evidence.config, "--epochs", str(count)])
    return Remedy(text, command, {"train.num_train_epochs": float(count)}, {"times": AGAIN})
