"""docs/security.md and docs/faults.md name tests that are there, and all that are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize(("document", "folder"), [("security.md", "tests/trust"), ("faults.md", "tests/faults")])
def test_every_test_that_the_document_names_is_there(document: str, folder: str) -> None:
    text = (ROOT / "docs" / document).read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text)
    assert len(named) >= 15
    for file, test in named:
        assert (ROOT / file).is_file(), file
        assert not test or f"def {test}(" in (ROOT / file).read_text(encoding="utf-8"), test
    present = {path.name for path in (ROOT / folder).glob("test_*.py")} - {Path(__file__).name}
    assert present == {Path(file).name for file, _test in named if file.startswith(folder)}
