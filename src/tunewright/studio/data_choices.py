"""What can be trained on: data that somebody brought to the page, and the generated rows of each task."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tunewright import api
from tunewright.errors import error
from tunewright.i18n import N_, _
from tunewright.security import home
from tunewright.studio import data_store
from tunewright.studio.data_store import DataEntry

DEMO = "demo-"
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
    """Title by id, for a list to choose from: what was brought last comes first."""
    brought = {entry.id: entry.name for entry in data_store.every()}
    return brought | {DEMO + task: _(title) for task, title in DEMOS.items()}


def choice(id: str) -> DataChoice:
    """What an id names, with all changes that were made to its rows. Raises: ConfigError E134 for one that was not listed."""
    titles = choices()
    if id not in titles:
        raise error("E134", what=N_("rows"), name=id)
    is_demo = id.startswith(DEMO)
    return DataChoice(id, titles[id], _demo(id.removeprefix(DEMO)) if is_demo else data_store.settings(id))


def bring_demo(task: str) -> DataEntry:
    """The generated rows of a task as data with an id of their own, to be looked at and changed. Raises: TrainingError E517."""
    settings = _demo(task)
    return data_store.add(
        str(settings["data.train"]), f"demo {task}", model=settings["model.name"], task=settings["task"],
        holdout=settings["data.holdout"],
    )  # fmt: skip


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
