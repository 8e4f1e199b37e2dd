"""Text that was written in one encoding and read in another before it came here: `Ã©` for é, `â€™` for an apostrophe.

It is sound UTF-8, so nothing but its look gives it away. Only what no language writes counts; a letter that such pieces begin with
and that may stand before a quotation mark or a dash, as in a word in capitals, does not.
"""

import re

# The bytes that UTF-8 goes on with, as cp1252 shows them, and as Latin-1 does; of these, what punctuation may look like.
_MARKS = "‚„…‘’“”–—\u00a0»"
_LETTERS = "\u0080-\u009f€ƒ†‡ˆ‰Š‹ŒŽ•˜™š›œžŸ¡-º¼-¿"
_NEXT = f"[{_LETTERS}{_MARKS}]"
_SPOILT = re.compile(
    f"[ÃÂ][{_LETTERS}]"  # Latin letters and signs
    f"|(?<![A-ZÀ-Þ])[ÃÂ][{_MARKS}]"
    "|â[€\u0080]"  # quotation marks, dashes
    f"|(?:[ã-í]{_NEXT}{{2}}){{2}}"  # Chinese, Japanese, Korean
    f"|(?:[ÐÑ]{_NEXT}){{3}}"  # Cyrillic
    "|\ufffd"  # what a reader puts in the place of bytes that it does not understand
    "|锟斤拷"  # the same, written in UTF-8 and read as GBK
)


def is_mojibake(text: str) -> bool:
    """Whether some of a text was read in another encoding than it was written in."""
    return not text.isascii() and _SPOILT.search(text) is not None
