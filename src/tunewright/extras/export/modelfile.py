"""Ollama's Modelfile: what the model is, how its prompts are written, and where its answers end."""

from collections.abc import Sequence
from dataclasses import dataclass

from tunewright.extras.export.go_templates import ComparedTemplate

LEAST_CONTEXT = 4096
"""Ollama's own default for num_ctx."""


@dataclass(frozen=True)
class Modelfile:
    """Its instructions. `template` is None where Ollama has to find one itself; no `system` is written if it is empty."""

    model: str
    adapter: str
    template: ComparedTemplate | None
    system: str
    stops: Sequence[str]
    context: int

    def text(self) -> str:
        """The file. Values of several lines stand in triple quotes."""
        lines = [f"FROM ./{self.model}"]
        lines += [f"ADAPTER ./{self.adapter}"] if self.adapter else []
        lines += [f"TEMPLATE {_quoted(self.template.go.source)}"] if self.template else []
        system = self.system or (self.template.default_system if self.template else "")
        lines += [f"SYSTEM {_quoted(system)}"] if system else []
        lines += [f"PARAMETER stop {_one_line(stop)}" for stop in self.stops]
        lines += ["PARAMETER temperature 0", f"PARAMETER num_ctx {self.context}"]
        return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """Ollama's parser knows no escapes: three quotes inside end the value, so a text with them cannot be written."""
    assert '"""' not in text, "refused by the plan"
    return f'"""{text}"""'


def _one_line(text: str) -> str:
    return _quoted(text) if '"' in text or "\n" in text else f'"{text}"'


def context_for(longest_row: int, positions: int) -> int:
    """num_ctx: twice the longest row, at least what is usual, and no more than the model was made for."""
    return min(positions, max(LEAST_CONTEXT, 2 * longest_row))
