"""A raw row: the values of a file under the names of their columns, of any type."""

from collections.abc import Mapping

Row = Mapping[str, object]
