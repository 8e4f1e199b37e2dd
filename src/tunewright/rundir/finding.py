"""What a diagnosis is made of: findings with their figures, and remedies that can be pasted."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tunewright.errors import Problem
from tunewright.i18n import _, spoken

Severity = Literal["error", "warning", "hint"]  # nothing useful came of it; less than could have; time or memory lost
Confidence = Literal["certain", "likely", "possible"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "hint")
CONFIDENCES: tuple[Confidence, ...] = ("certain", "likely", "possible")


@dataclass(frozen=True)
class Remedy:
    """What can be done: a sentence, its values, the patch of the run, and the command that does it."""

    text: str
    command: str
    patch: Mapping[str, object] = field(default_factory=dict)
    values: Mapping[str, object] = field(default_factory=dict)

    def message(self) -> str:
        """The sentence, in this process's language."""
        return _(self.text).format_map(spoken(self.values))

    def to_json(self) -> dict[str, object]:
        return {"text": self.text.format_map(self.values), "patch": dict(self.patch), "command": self.command}


@dataclass(frozen=True)
class Finding:
    """One problem of a run: a code of the catalogue with the figures that show it, how sure that is, what helps."""

    problem: Problem
    severity: Severity
    confidence: Confidence
    remedies: tuple[Remedy, ...]

    @property
    def code(self) -> str:
        return self.problem.code

    @property
    def rank(self) -> tuple[int, int]:
        """Place among other findings: what matters most, and is surest, comes first."""
        return SEVERITIES.index(self.severity), CONFIDENCES.index(self.confidence)

    def message(self) -> str:
        """What was found, with its figures, in this process's language."""
        return self.problem.message()

    def cause(self) -> str:
        return _(self.problem.entry.cause)

    def to_json(self) -> dict[str, object]:
        record = self.problem.to_json()
        return {
            "code": self.code,
            "severity": self.severity,
            "confidence": self.confidence,
            "message": record["message"],
            "evidence": dict(self.problem.values),
            "cause": self.problem.entry.cause,
            "remedies": [remedy.to_json() for remedy in self.remedies],
            "docs": record["docs"],
        }
