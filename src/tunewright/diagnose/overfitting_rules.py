"""D3: the rows are memorized instead of the task learned."""

from tunewright.diagnose.evidence import Evidence
from tunewright.diagnose.suggested_changes import fewer_epochs, retrain_with
from tunewright.errors import Problem
from tunewright.i18n import N_
from tunewright.metrics import curve_statistics
from tunewright.metrics.curve_statistics import rounded
from tunewright.rundir.finding import Finding, Remedy

BY_HEART = 0.05  # nats a token: each is foreseen with more than 95 %
NOT_UNDERSTOOD = 0.5  # nats a token on rows that were not trained on: three in five, at best
TIMES = 10  # the one against the other
EPOCHS = 3.0  # rows seen fewer times are hardly memorized
SMALL_RANK = 8


def rises(evidence: Evidence) -> Finding | None:
    """D301: the held-out loss rose while the training loss went on falling."""
    overfit = curve_statistics.overfitting(evidence.held_out, evidence.train)
    if overfit is None:
        return None
    count, best = overfit
    losses = dict(evidence.held_out)
    values = {
        "count": count,
        "best": best,
        "best_loss": rounded(losses[best]),
        "last_loss": rounded(evidence.held_out[-1][1]),
    }
    return Finding(Problem("D301", values=values), "warning", "certain", _remedies(evidence, best))


def by_heart(evidence: Evidence) -> Finding | None:
    """D302: the trained rows are known word for word, rows of the same kind are not."""
    losses, held_out = evidence.losses, evidence.held_out
    if not losses or not held_out or evidence.epochs < EPOCHS:
        return None
    trained, tested = curve_statistics.end(losses), held_out[-1][1]
    if trained > BY_HEART or tested < NOT_UNDERSTOOD or tested < TIMES * trained:
        return None
    best = min(held_out, key=lambda pair: pair[1])[0]
    values = {
        "trained": rounded(trained),
        "tested": rounded(tested),
        "epochs": rounded(evidence.epochs),
        "rows": evidence.summary.used if evidence.summary else evidence.plan.facts.data.num_train,
        "best": best,
    }
    return Finding(Problem("D302", values=values), "warning", "likely", _remedies(evidence, best))


def _remedies(evidence: Evidence, best: int) -> tuple[Remedy, ...]:
    """Fewer epochs, a lower rank, dropout, early stopping: whichever is not set already."""
    run = evidence.plan.run
    peft = dict(run.peft)
    remedies = [fewer_epochs(evidence, evidence.epochs * best / evidence.logs[-1].step)]
    if isinstance(peft.get("r"), int) and peft["r"] > SMALL_RANK:
        remedies.append(retrain_with(evidence, N_("take a lower rank, which memorizes less"), {"peft.r": SMALL_RANK}))
    if peft.get("lora_dropout") == 0.0:
        remedies.append(retrain_with(evidence, N_("drop some inputs while training"), {"peft.lora_dropout": 0.1}))
    if not run.train.early_stopping_patience:
        remedies.append(retrain_with(evidence, N_("let training end by itself"), {"train.early_stopping_patience": 3}))
    return tuple(remedies)
