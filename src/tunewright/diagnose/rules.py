"""All rules, and what they find in a run. A rule that is not sure stays silent: a healthy run has no finding."""

from collections.abc import Callable
from dataclasses import dataclass

from tunewright.diagnose import (
    convergence_rules,
    generation_rules,
    learning_rules,
    memory_rules,
    numerics_rules,
    overfitting_rules,
    speed_rules,
)
from tunewright.diagnose.evidence import Evidence, read
from tunewright.errors import error
from tunewright.rundir.file_names import SCHEMA
from tunewright.rundir.finding import Finding, Remedy
from tunewright.rundir.run_dir import RunDir
from tunewright.rundir.run_history import RunHistory

Rule = Callable[[Evidence], Finding | None]

RULES: tuple[Rule, ...] = (
    memory_rules.died,
    memory_rules.saved_in_training,
    memory_rules.saved_in_tests,
    memory_rules.nearly_full,
    learning_rules.too_small_rate,
    learning_rules.too_large_rate,
    learning_rules.no_gradient,
    learning_rules.answers_cut_away,
    learning_rules.templated_twice,
    learning_rules.too_small_adapter,
    learning_rules.contradictory,
    learning_rules.repeated,
    overfitting_rules.rises,
    overfitting_rules.by_heart,
    numerics_rules.not_finite,
    numerics_rules.zero_loss,
    numerics_rules.exploded,
    speed_rules.padding,
    speed_rules.needless_checkpointing,
    speed_rules.slow_precision,
    speed_rules.busy_neighbours,
    speed_rules.waiting_for_rows,
    generation_rules.endless,
    generation_rules.foreign_template,
)
# Checked only if no problem of learning or numerics explains the result of a run.
LAST_RULES: tuple[Rule, ...] = (learning_rules.no_better_than_constant, convergence_rules.still_falling)


@dataclass(frozen=True)
class Diagnosis:
    """The findings of a run, what matters most first, and what was checked."""

    evidence: Evidence
    findings: tuple[Finding, ...]

    def looked_at(self) -> dict[str, int]:
        """How much evidence there was."""
        seen = self.evidence
        return {
            "steps": len(seen.logs),
            "evaluations": len(seen.evals),
            "rows": seen.rows,
            "answers": len(seen.samples),
        }

    def first_remedy(self) -> tuple[Finding, Remedy]:
        """What to do first: the finding that matters most of those with remedies, and the first of these.

        It may be one without settings, which a person has to carry out before training again is worth it.
        Raises: ConfigError E148 where there is none.
        """
        finding = next((finding for finding in self.findings if finding.remedies), None)
        if finding is None:
            raise error("E148", name=self.evidence.handle)
        return finding, finding.remedies[0]

    def to_json(self) -> dict[str, object]:
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
    findings = _ask(RULES, evidence)
    if not any(finding.code.startswith(("D2", "D4")) for finding in findings):
        findings += _ask(LAST_RULES, evidence)
    return sorted(findings, key=lambda finding: finding.rank)


def diagnose(run: RunDir, history: RunHistory | None = None) -> Diagnosis:
    """The findings in a run's folder; of a live run, up to now. `history` is what its events told who followed them."""
    evidence = read(run, history)
    return Diagnosis(evidence, tuple(judge(evidence)))


def _ask(rules: tuple[Rule, ...], evidence: Evidence) -> list[Finding]:
    return [finding for rule in rules if (finding := rule(evidence))]
