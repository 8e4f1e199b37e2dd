"""csv, tsv: separators, headers, quotes, ends of lines."""

from tests.shapes.shape import Shape

PAIRS = (("is the lamp here", "yes, 2"), ("is the vase here", "no"), ("is the bell here", "yes"))
ANSWERS = tuple(answer for _question, answer in PAIRS)
GROUP = "Tables"

SHAPES = (
    Shape("csv-prompt-completion", GROUP, "a.csv",
          'prompt,completion\nis the lamp here,"yes, 2"\nis the vase here,no\nis the bell here,yes\n',
          "the header names prompt and answer", ANSWERS),
)  # fmt: skip
