"""A mistake of ours is told as one, and not as what the system refused."""

import shutil
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tunewright.studio import rendering


@pytest.mark.parametrize("name", ["machine.html.j2", "page_of_the_machine.html.j2"])
def test_a_page_whose_template_is_missing_is_an_error_of_the_program(
    browser: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    templates = tmp_path / "templates"
    shutil.copytree(rendering.HERE / "templates", templates)
    (templates / "machine.html.j2").unlink()
    if name != "machine.html.j2":
        (templates / "machine.html.j2").write_text(f'{{% include "{name}" %}}')
    monkeypatch.setattr(rendering, "HERE", tmp_path)
    answer = browser.get("/machine")
    assert answer.status_code == 500
    assert "E802" in answer.text and "E523" not in answer.text and f"no template {name}" in answer.text
