"""All shapes, group by group."""

from tests.shapes import conversations, folders, json_forms, labels, published, tables, texts, words
from tests.shapes.shape import Shape

SHAPES: tuple[Shape, ...] = (
    *tables.SHAPES,
    *json_forms.SHAPES,
    *folders.SHAPES,
    *labels.SHAPES,
    *words.SHAPES,
    *texts.SHAPES,
    *conversations.SHAPES,
    *published.SHAPES,
)
