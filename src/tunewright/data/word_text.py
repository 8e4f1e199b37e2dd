"""Words and the text they form: joined as they would be written, and split again.

Chinese and Japanese are written without blanks; everything else has one between two words.
"""

import re
from collections.abc import Sequence

# Han, kana, their punctuation and full-width forms. Hangul is not among them: Korean puts blanks between words.
CJK = "\u2e80-\u30ff\u31c0-\u31ff\u3200-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"
_CJK = re.compile(f"[{CJK}]")
# A Chinese character; a run of letters and digits, over an apostrophe, a hyphen or a decimal sign; any other character.
_WORD = re.compile(
    rf"[{CJK}]|[^\W{CJK}]+(?:(?:['’-]|(?<=\d)[.,](?=\d))[^\W{CJK}]+)*|[^\w\s]",
)


def join_words(words: Sequence[str], *, is_spaced: bool = False) -> tuple[str, list[tuple[int, int]]]:
    """The words as one text, and the characters of each; there is no blank between two of Chinese unless `is_spaced`."""
    text = ""
    spans = []
    for word in words:
        if text and (is_spaced or not (_CJK.match(text[-1]) and _CJK.match(word))):
            text += " "
        spans.append((len(text), len(text) + len(word)))
        text += word
    return text, spans


def split_words(text: str) -> list[str]:
    """Words and punctuation marks of a text; every Chinese character is a word of its own."""
    return _WORD.findall(text)
