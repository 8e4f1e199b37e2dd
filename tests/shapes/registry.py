"""All shapes, group by group."""

from tests.shapes import tables
from tests.shapes.shape import Shape

SHAPES: tuple[Shape, ...] = (*tables.SHAPES,)
