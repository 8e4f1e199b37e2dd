"""All shapes, group by group."""

from tests.shapes import conversations, tables
from tests.shapes.shape import Shape

SHAPES: tuple[Shape, ...] = (*tables.SHAPES, *conversations.SHAPES)
