"""The result of a comparison, for scripts and commands: scores, recommendation and report."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from tunewright.extras.comparison import comparison_page
from tunewright.extras.comparison.aligned_runs import Comparison
from tunewright.extras.comparison.comparison_table import HEADS, ComparisonRow, lines, notes, to_json
from tunewright.extras.comparison.recommendation import Recommendation
from tunewright.i18n import _


@dataclass(frozen=True)
class ComparisonResult:
    """Several runs side by side, with a recommendation."""

    comparison: Comparison
    choice: Recommendation

    @property
    def verdict(self) -> str:
        """Which run is recommended and why, claiming no more than the intervals show; in this process's language."""
        return self.choice.verdict()

    @property
    def lines(self) -> list[ComparisonRow]:
        """The rows of the table as people read them."""
        return lines(self.comparison, self.choice)

    @property
    def headings(self) -> dict[str, str]:
        """The heading of each column, in this process's language."""
        return {name: _(heading) for name, heading in HEADS.items()}

    @property
    def notes(self) -> list[str]:
        """What a careful reader should know about the table."""
        return notes(self.comparison, self.choice)

    def to_json(self) -> dict[str, object]:
        """Rows, best and verdict for programs."""
        return to_json(self.comparison, self.choice)

    def report(self, path: str | Path, *, importance: Mapping[str, float] = MappingProxyType({})) -> Path:
        """One self-contained HTML file; `importance` of each searched setting, in shares, is what a sweep adds."""
        return comparison_page.write_page(self.comparison, self.choice, Path(path), importance=importance)
