"""A shape looked at as `tunewright data check` does, and the flags of a pasted fix as settings."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunewright import api
from tunewright.config.load_config import parse_set
from tunewright.errors import Problem, TunewrightError


@dataclass(frozen=True)
class Seen:
    """What was seen: the learned text of each row, numbers of rows, and every problem and warning."""

    learned: tuple[str, ...] = ()
    held_out: int = 0
    left_out: int = 0
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()

    @property
    def code(self) -> str:
        return self.problems[0].code if self.problems else ""

    @property
    def fixes(self) -> list[str]:
        return [fix for problem in self.problems for fix in problem.fixes()]


def look(path: Path, model: Path, settings: Mapping[str, Any]) -> Seen:
    """`data check` of these data. Nothing is raised for what is a problem of the data."""
    try:
        checked = api.data_check(path, str(model), **settings)
    except TunewrightError as fault:
        return Seen(problems=fault.problems)
    validated = checked.validated
    train, held_out = (sorted(rows, key=lambda row: row.number) for rows in (validated.train, validated.held_out))
    has_own = {row.number for row in train} & {
        row.number for row in held_out
    }  # held-out rows of other files count anew
    rows = [*train, *held_out] if has_own else sorted([*train, *held_out], key=lambda row: row.number)
    texts = (checked.pieces(row) for row in rows)
    learned = tuple("".join(piece.text for piece in pieces if piece.is_learned) for pieces in texts)
    learned = tuple(text.removesuffix("<|im_end|>") for text in learned)
    summary = validated.summary
    return Seen(learned, summary.held_out, summary.dropped, checked.stopping, tuple(checked.warnings))


def settings_of(flags: str) -> dict[str, Any]:
    """What the flags of a pasted fix set, --map, --set, --task, --skip-bad; words in front of them say when to use it."""
    words, settings = iter(shlex.split(flags[flags.find("--") :])), dict[str, Any]()
    for word in words:
        if word == "--map":
            role, _equals, column = next(words).partition("=")
            settings.setdefault("data.map", {})[role] = column
        elif word == "--set":
            settings |= dict([parse_set(next(words))])
        elif word == "--task":
            settings["task"] = next(words)
        elif word == "--skip-bad":
            settings["data.skip_bad"] = True
        else:
            raise AssertionError(f"no flag of data check: {word}")
    return settings
