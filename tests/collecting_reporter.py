"""The reporter of tests: it keeps what it receives."""

from dataclasses import dataclass, field


@dataclass
class CollectingReporter:
    """Progress as pairs of done and total, and notes, in the order they came."""

    steps: list[tuple[int, int]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def progress(self, done: int, total: int) -> None:
        self.steps.append((done, total))

    def note(self, text: str) -> None:
        self.notes.append(text)
