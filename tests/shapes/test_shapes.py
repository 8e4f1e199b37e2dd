"""Every shape becomes what its line in docs/shapes.md says: the rows, what is learned of each, or a refusal that leads on."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.shapes.looking import look, settings_of
from tests.shapes.registry import SHAPES
from tests.shapes.shape import Reader, Shape


def test_each_shape_has_a_name_of_its_own() -> None:
    assert len({shape.name for shape in SHAPES}) == len(SHAPES)


@pytest.mark.parametrize("shape", [pytest.param(shape, id=shape.name) for shape in SHAPES])
def test_shape(shape: Shape, readers: Mapping[Reader, Path], tmp_path: Path) -> None:
    path, model = shape.write(tmp_path), readers[shape.reader]
    settings = shape.all_settings(tmp_path)
    seen = look(path, model, settings)
    assert seen.code == shape.code, [str(problem.where) + " " + problem.message() for problem in seen.problems]
    if shape.code:
        if not shape.fix:
            return
        assert any(fix.endswith(shape.fix) for fix in seen.fixes), seen.fixes
        seen = look(path, model, {**settings, **settings_of(shape.fix)})
        assert seen.code == shape.then
        if shape.then:
            return
    assert seen.learned == shape.learned
    assert seen.left_out == shape.left_out
    assert shape.held_out in (None, seen.held_out)
    assert tuple(problem.code for problem in seen.warnings) == shape.warns
