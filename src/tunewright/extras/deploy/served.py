"""What is served where: the result of `extras/deploy/serve_runs.py`, for people and for programs."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.errors import Problem
from tunewright.rundir import file_names

if TYPE_CHECKING:
    from tunewright.extras.serve.open_front import OpenFront


@dataclass(frozen=True)
class Served:
    """What is served where. `problem` is why llama.cpp cannot serve it, where the run's own session does instead."""

    url: str
    """Without /v1."""
    engine: str
    models: tuple[str, ...]
    """The names that requests choose between."""
    context: int
    """Tokens of prompt and answer together."""
    precision: str
    """Of the weights, as `extras/proof/exactness.py` names it."""
    writes: bool
    """Whether it answers in text; it labels texts otherwise."""
    key_file: Path | None
    problem: Problem | None
    front: "OpenFront"

    def run(self, beside: Callable[[], None] | None = None) -> None:
        """Serve in this thread until SIGINT or SIGTERM; `beside` runs in another one meanwhile, and ends serving if it fails."""
        self.front.run(beside)

    def to_json(self) -> dict[str, object]:
        """For `serve --json`."""
        return {
            "schema": file_names.SCHEMA, "url": self.url, "engine": self.engine, "models": list(self.models),
            "context": self.context, "key_file": str(self.key_file) if self.key_file else None,
            "problem": self.problem.to_json() if self.problem else None,
        }  # fmt: skip
