"""One shape of data: what lies there, what is asked for, and what must become of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tests.shapes.templates import FAMILIES
from tunewright.config.tasks import Task

Reader = Literal["decoder", "encoder", "encoder_decoder"]
Content = str | bytes | Mapping[str, str | bytes]


@dataclass(frozen=True)
class Shape:
    """A file or folder called `file`, given to a model of this kind with these settings.

    `learned` is the text that is learned of each row that is used or held out, in the order of the rows; `held_out` and
    `left_out` are numbers of rows, `warns` the codes of all warnings. A shape that is refused has the `code` of its first
    problem and, where pasting it leads on, the `fix`; `learned` is then what the rows are with that fix, and `then` the
    code of the next honest question where they are still none. `template` names a family of `templates.py`.
    """

    name: str
    group: str
    file: str
    content: Content
    what: str
    learned: tuple[str, ...] = ()
    held_out: int | None = None
    left_out: int = 0
    task: Task | None = None
    reader: Reader = "decoder"
    settings: Mapping[str, Any] = field(default_factory=dict)
    warns: tuple[str, ...] = ()
    code: str = ""
    fix: str = ""
    then: str = ""
    template: str = ""

    def all_settings(self, folder: Path) -> dict[str, Any]:
        """Everything that is set for it, with its template as a file of this folder."""
        settings = {**self.settings, **({"task": self.task} if self.task else {})}
        if self.template:
            path = folder / "family.jinja"
            path.write_text(FAMILIES[self.template].source)
            settings["model.chat_template"] = str(path)
        return settings

    def write(self, folder: Path) -> Path:
        """Put it there. Returns: the path that a person would name."""
        target = folder / self.file
        if not isinstance(self.content, Mapping):
            target.write_bytes(as_bytes(self.content))
            return target
        for name, content in self.content.items():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_bytes(as_bytes(content))
        return target


def as_bytes(content: str | bytes) -> bytes:
    return content if isinstance(content, bytes) else content.encode()
