"""A page as one file that needs nothing but itself: styles, scripts and data are in it, and its policy forbids every request.

Data rows are hostile: the templates escape, and only the script whose digest the policy names may run.
"""

import base64
import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateNotFound
from markupsafe import Markup

from tunewright.i18n import _, language
from tunewright.report import formatting, sample_pairs
from tunewright.security import in_page

HERE = Path(__file__).parent
MARK = b'<meta name="generator" content="Tunewright">'  # templates/base.html.j2
MARK_WITHIN = 4096
POLICY = "default-src 'none'; style-src {style}; script-src {script}; base-uri 'none'; form-action 'none'"
HTML_LANGUAGES = {"en": "en", "zh": "zh-CN"}


def render(template: str, *, styles: Sequence[str], scripts: Sequence[str] = (), **values: Any) -> str:
    """A template with files of `static` in it, in this process's language."""
    style, script = _static(*styles), _static(*scripts)
    return (
        environment()
        .get_template(template)
        .render(
            lang=HTML_LANGUAGES[language()],
            style=Markup(style),
            script=Markup(script),
            policy=POLICY.format(style=_digest(style), script=_digest(script) if script else "'none'"),
            **values,
        )
    )


def is_ours(path: Path) -> bool:
    """Whether a file is a page that was made here, or has nothing in it to be lost."""
    with path.open("rb") as file:
        head = file.read(MARK_WITHIN)
    return not head or MARK in head


class _Templates(FileSystemLoader):
    """Templates of ours. That one is missing is our mistake; Jinja's error is an OSError too, as if the disk had failed."""

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        try:
            return super().get_source(environment, template)
        except TemplateNotFound as fault:
            raise LookupError(f"no template {template}") from fault


@cache
def environment(*folders: Path) -> Environment:
    """The templates of these folders and the report's, which know each other by their names."""
    environment = Environment(
        loader=_Templates([*folders, HERE / "templates"]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=in_page,
    )
    environment.globals.update(
        _=_, words=formatting, label=formatting.label, cut=sample_pairs.cut, local=formatting.without_folders
    )
    return environment


@cache
def _static(*names: str) -> str:
    """Files of ours as one text; a licence becomes a comment."""
    texts = {name: (HERE / "static" / name).read_text(encoding="utf-8").strip() for name in names}
    return "\n".join(f"/*\n{text}\n*/" if name.startswith("LICENSE") else text for name, text in texts.items())


def _digest(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
