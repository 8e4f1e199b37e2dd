"""All rules, and what they find in a run. A rule that is not sure stays silent: a healthy run has no finding."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tunewright.doctor import answers, broken, learning, memory, overfitting, speed, unfinished
from tunewright.doctor.evidence import Evidence, read
from tunewright.doctor.finding import Finding
from tunewright.rundir.layout import SCHEMA
from tunewright.rundir.store import RunDir

Rule = Callable[[Evidence], Finding | None]

RULES: tuple[Rule, ...] = (
    memory.died,
    memory.saved_in_training,
    memory.saved_in_tests,
    memory.nearly_full,
    learning.too_small_rate,
    learning.too_large_rate,
    learning.no_gradient,
    learning.answers_cut_away,
    learning.templated_twice,
    learning.too_small_adapter,
    learning.contradictory,
    learning.repeated,
    overfitting.rises,
    overfitting.by_heart,
    broken.not_finite,
    broken.zero_loss,
    broken.exploded,
    speed.padding,
    speed.needless_checkpointing,
    speed.slow_precision,
    speed.busy_neighbours,
    speed.waiting_for_rows,
    answers.endless,
    answers.foreign_template,
)
# Asked only where no fault of learning or of numbers was found that explains what came of a run.
LAST_RULES: tuple[Rule, ...] = (learning.no_better_than_constant, unfinished.still_falling)


@dataclass(frozen=True)
class Diagnosis:
    """The findings of a run, what matters most first, and what was looked at."""

    evidence: Evidence
    findings: tuple[Finding, ...]

    def looked_at(self) -> dict[str, int]:
        """How much there was to judge by."""
        seen = self.evidence
        return {
            "steps": len(seen.logs),
            "evaluations": len(seen.evals),
            "rows": seen.rows,
            "answers": len(seen.samples),
        }

    def to_json(self) -> dict[str, Any]:
        """For scripts: stable names, English."""
        return {
            "schema": SCHEMA,
            "state": self.evidence.state,
            "findings": [finding.to_json() for finding in self.findings],
            "looked_at": self.looked_at(),
            "problems": [problem.to_json() for problem in self.evidence.problems],
        }


def judge(evidence: Evidence) -> list[Finding]:
    """What all rules find, what matters most first."""
    found = _ask(RULES, evidence)
    if not any(finding.code.startswith(("D2", "D4")) for finding in found):
        found += _ask(LAST_RULES, evidence)
    return sorted(found, key=lambda finding: finding.rank)


def diagnose(run: RunDir) -> Diagnosis:
    """The findings in a run's folder; of a live run, up to now."""
    evidence = read(run)
    return Diagnosis(evidence, tuple(judge(evidence)))


def _ask(rules: tuple[Rule, ...], evidence: Evidence) -> list[Finding]:
    return [finding for rule in rules if (finding := rule(evidence))]
