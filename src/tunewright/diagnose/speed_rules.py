"""D5: time that was lost: padding, needless savings, the slower precision, busy neighbours, waiting for rows."""

from tunewright.config.load_config import patch
from tunewright.diagnose.evidence import Evidence
from tunewright.diagnose.suggested_changes import retrain_with, smaller_batches
from tunewright.errors import Problem
from tunewright.i18n import N_, gib
from tunewright.inspection.machine_info import BUSY_SHARE
from tunewright.planning.memory_fallback import wishes
from tunewright.planning.resolve import CPU_MIXED_GAIN, GPU_BF16_GAIN, SHARE_OF_FREE, estimate_for
from tunewright.rundir.finding import Finding, Remedy

ENOUGH_STEPS = 5
PADDED = 0.4  # without it the same rows would take little more than half of the time
WORTH_IT = 1.3  # times faster; measurements of half a second differ by a tenth
WAITED = 0.2  # rows are encoded before training: handing them out takes far below a hundredth


def padding(evidence: Evidence) -> Finding | None:
    """D501: much of what was computed is padding."""
    share = (evidence.last_log.padding_share if evidence.last_log else None) or 0.0
    if len(evidence.logs) < ENOUGH_STEPS or share < PADDED:
        return None
    run, lengths = evidence.plan.run, evidence.plan.facts.data.lengths
    values = {"percent": round(100 * share), "median": lengths["median"], "longest": lengths["longest"]}
    remedies: list[Remedy] = []
    if run.fast_paths.get("packing") is False:
        text = N_("pack rows into one sequence without padding")
        remedies.append(retrain_with(evidence, text, {"fast_paths.packing": True}))
    remedies += smaller_batches(evidence)
    return Finding(Problem("D501", values=values), "hint", "certain", tuple(remedies))


def needless_checkpointing(evidence: Evidence) -> Finding | None:
    """D502: activations are recomputed, and there is room to keep them."""
    plan = evidence.plan
    if not plan.run.train.activation_checkpointing or "train.activation_checkpointing" not in wishes(plan):
        return None
    without = patch(plan.run, {"train.activation_checkpointing": False})
    peak = estimate_for(without, plan.facts).peak_bytes
    if peak > SHARE_OF_FREE * evidence.room_bytes:
        return None
    values = {"peak": gib(peak), "room": gib(evidence.room_bytes)}
    remedy = retrain_with(evidence, N_("keep the activations"), {"train.activation_checkpointing": False})
    return Finding(Problem("D502", values=values), "hint", "certain", (remedy,))


def slow_precision(evidence: Evidence) -> Finding | None:
    """D503: another precision was measured to be faster on this device than the one that was asked for."""
    probe, precision = evidence.plan.facts.machine.probe, evidence.plan.run.model.precision
    if (
        probe is None
        or probe.is_doubtful
        or probe.rate(precision) is None
        or "model.precision" not in wishes(evidence.plan)
    ):
        return None
    # As the plan chooses.
    is_cpu = probe.device == "cpu"
    other, gain = ("mixed", CPU_MIXED_GAIN) if is_cpu else ("bf16", GPU_BF16_GAIN)
    is_known = not is_cpu or "mixed" in probe.training
    rates = {name: probe.rate(name) or 0.0 for name in ("fp32", other, precision)}
    best = other if is_known and rates[other] > gain * rates["fp32"] else "fp32"
    if rates[best] < WORTH_IT * rates[precision]:
        return None
    slow, fast = (round(rates[name] / 1e9) for name in (precision, best))
    values = {"precision": precision, "slow": slow, "best": best, "fast": fast}
    remedy = retrain_with(evidence, N_("compute in {best}"), {"model.precision": best}, best=best)
    return Finding(Problem("D503", values=values), "hint", "certain", (remedy,))


def busy_neighbours(evidence: Evidence) -> Finding | None:
    """D504: other processes had the cores that this run wanted."""
    share = (evidence.last_log.core_wait_share if evidence.last_log else None) or 0.0
    if len(evidence.logs) < ENOUGH_STEPS or share < BUSY_SHARE:
        return None
    remedy = retrain_with(evidence, N_("end the other programs, then train again with the same settings"), {})
    return Finding(Problem("D504", values={"percent": round(100 * share)}), "hint", "certain", (remedy,))


def waiting_for_rows(evidence: Evidence) -> Finding | None:
    """D505: training waited for rows to be loaded."""
    share = (evidence.last_log.row_wait_share if evidence.last_log else None) or 0.0
    if len(evidence.logs) < ENOUGH_STEPS or share < WAITED:
        return None
    workers = evidence.plan.run.train.extra.get("dataloader_num_workers", 0)
    text = N_("load the rows in the same process; they are encoded already")
    remedies = (retrain_with(evidence, text, {"train.dataloader_num_workers": 0}),) if workers else ()
    values = {"percent": round(100 * share), "workers": workers}
    return Finding(Problem("D505", values=values), "hint", "certain", remedies)
