"""docs/security.md names tests that are there."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_every_test_that_the_document_names_is_there() -> None:
    text = (ROOT / "docs/security.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text)
    assert len(named) >= 15
    for file, test in named:
        assert (ROOT / file).is_file(), file
        assert not test or f"def {test}(" in (ROOT / file).read_text(encoding="utf-8"), test
    folder = {path.name for path in (ROOT / "tests/trust").glob("test_*.py")} - {Path(__file__).name}
    assert folder == {Path(file).name for file, _test in named if file.startswith("tests/trust")}
