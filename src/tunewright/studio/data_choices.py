"""What can be trained on: the generated rows of each task, and files that were looked at."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tunewright import api
from tunewright.errors import error
from tunewright.i18n import N_, _
from tunewright.security import home

DEMOS: Mapping[str, str] = {
    "causal_lm": N_("Generated rows: questions with answers"),
    "seq_cls": N_("Generated rows: texts with a label"),
    "token_cls": N_("Generated rows: words with tags"),
    "seq2seq": N_("Generated rows: texts to be rewritten"),
}


@dataclass(frozen=True)
class DataChoice:
    """Rows to train on, by an id that a page may name: the settings that they come with, by dotted path."""

    id: str
    title: str
    settings: Mapping[str, object]


def choices() -> dict[str, str]:
    """Title by id, for a list to choose from."""
    return {f"demo-{task}": _(title) for task, title in DEMOS.items()}


def choice(id: str) -> DataChoice:
    """What an id names. Raises: ConfigError E113 for one that was not listed."""
    if id not in choices():
        raise error("E113", name=id)
    return DataChoice(id, choices()[id], _demo(id.removeprefix("demo-")))


def _demo(task: str) -> Mapping[str, object]:
    """The settings of generated rows, which are made anew where somebody removed them."""
    settings = _generated(task, home())
    if not Path(str(settings["data.train"])).is_file():
        _generated.cache_clear()
        settings = _generated(task, home())
    return settings


@cache
def _generated(task: str, place: Path) -> Mapping[str, object]:
    """Kept: to generate the rows takes longer than to plan a run on them."""
    return api.settings_of(api.quickstart_request(task=task))
