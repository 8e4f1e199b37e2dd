"""The licence of a base model, as its own card states it: it also binds what is derived from the model."""

import re
from pathlib import Path

from tunewright.inspection.builtin_models import BUNDLED
from tunewright.security import front_matter

_IDENTIFIER = re.compile(r"[a-z0-9][a-z0-9.+-]{0,63}")
_NAME = re.compile(r"[\w][\w .+-]{0,99}")
_LINK = re.compile(r"https://[^\s<>\"'`]{1,300}")


def license_of(folder: Path, name: str) -> dict[str, str]:
    """`license`, and `license_name` and `license_link` where it is none of the Hub's list; empty if it is not stated.

    Links into the base's own repository are left out: they would lead nowhere from another folder.
    """
    if name in BUNDLED:
        return {"license": BUNDLED[name].licence.lower()}
    metadata = front_matter(folder / "README.md")
    forms = {"license": _IDENTIFIER, "license_name": _NAME, "license_link": _LINK}
    fields = {key: str(metadata[key]) for key, form in forms.items() if form.fullmatch(str(metadata.get(key, "")))}
    return fields if "license" in fields else {}
