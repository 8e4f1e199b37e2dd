"""Texts and words to the ids that an encoder or a classifier is given, special tokens as the tokenizer puts them.

Training rows and new texts both come through here. What is too long is cut so that the closing special tokens stay.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers import Encoding

from tunewright.data.tokenized.tokenizer import TextTokenizer
from tunewright.data.word_text import join_words


@dataclass(frozen=True, slots=True)
class EncoderInput:
    """What the model is given for one row; `full_length` counts the tokens before cutting.

    `prompt_length` counts the tokens in front of a second text that the tokenizer marks with type id 1 (else 0).
    `positions` has the token that answers for each word, None for a word that was cut off; `lost` are the words that had
    no token of their own in the first place.
    `is_empty`: the row has nothing but special tokens.
    """

    input_ids: list[int]
    full_length: int
    prompt_length: int = 0
    positions: tuple[int | None, ...] = ()
    lost: tuple[int, ...] = ()
    is_empty: bool = False


def text_inputs(
    texts: Sequence[tuple[str, str]], tokenizer: TextTokenizer, max_length: int | None = None
) -> list[EncoderInput]:
    """Inputs of texts, each with a second text or "".

    A pair is joined in the tokenizer's own format; where it has none, the texts are joined by a new line.
    """
    knows_pairs = any(pair for _text, pair in texts) and _knows_pairs(tokenizer)
    inputs = [(text, pair) if pair and knows_pairs else f"{text}\n{pair}" if pair else text for text, pair in texts]
    encodings = tokenizer.encode_batch(inputs, add_special_tokens=True)
    return [_text_input(encoding, max_length) for encoding in encodings]


def _text_input(encoding: Encoding, max_length: int | None) -> EncoderInput:
    positions = _positions_after_cut(encoding, max_length)
    ids, all_kinds = encoding.ids, encoding.type_ids  # each access builds the whole list again
    kinds = [all_kinds[i] for i in positions]
    return EncoderInput(
        input_ids=[ids[i] for i in positions],
        full_length=len(ids),
        prompt_length=kinds.index(1) if 1 in kinds else 0,
        is_empty=_is_empty(encoding),
    )


def _is_empty(encoding: Encoding) -> bool:
    return all(text is None for text in encoding.sequence_ids)


def _knows_pairs(tokenizer: TextTokenizer) -> bool:
    """Whether a special token parts two texts; one that every text begins with does not part them."""
    encoding = tokenizer.backend.encode("a", "b", add_special_tokens=True)
    texts = encoding.sequence_ids
    if 0 not in texts or 1 not in texts:
        return False
    opening, second = texts.index(0), texts.index(1)
    between = encoding.ids[opening + texts.count(0) : second]
    return bool(set(between) - set(encoding.ids[:opening]))


def _positions_after_cut(encoding: Encoding, max_length: int | None) -> list[int]:
    """Positions of the tokens that stay: special ones all, the end of the longer text goes first."""
    texts = encoding.sequence_ids
    if max_length is None or len(texts) <= max_length:
        return list(range(len(texts)))
    room = max(0, max_length - texts.count(None))
    num_second = min(texts.count(1), max(room // 2, room - texts.count(0)))
    room_left = {0: room - num_second, 1: num_second}
    positions = []
    for i, text in enumerate(texts):
        if text is None or room_left[text] > 0:
            positions.append(i)
            room_left |= {} if text is None else {text: room_left[text] - 1}
    return positions


def word_inputs(
    rows: Sequence[Sequence[str]], tokenizer: TextTokenizer, max_length: int | None = None, *, label_last: bool = False
) -> list[EncoderInput]:
    """Inputs of rows of words; a word's token is its first, or with `label_last` its last.

    Words are joined as they would be written. Where a token would then hold parts of two words, as it happens between
    Chinese characters, the row is written with a blank between all words; a word without any token is
    written as its unknown token.
    """
    joined = [join_words(words) for words in rows]
    encodings = tokenizer.encode_batch([text for text, _spans in joined], add_special_tokens=True)
    inputs = []
    for words, (_text, spans), encoding in zip(rows, joined, encodings, strict=True):
        tokens = _tokens_of_words(spans, encoding)
        is_empty = not any(tokens)
        if _are_shared(tokens) or not all(tokens):
            unknown = tokenizer.special_tokens.get("unk_token", "")
            known = [word if own else unknown or word for word, own in zip(words, tokens, strict=True)]
            text, spans = join_words(known, is_spaced=_are_shared(tokens))
            (encoding,) = tokenizer.encode_batch([text], add_special_tokens=True)
            tokens = _tokens_of_words(spans, encoding)
        positions = _positions_after_cut(encoding, max_length)
        places = {token: place for place, token in enumerate(positions)}
        chosen = _token_of_each_word(tokens, label_last)
        ids = encoding.ids
        inputs.append(
            EncoderInput(
                input_ids=[ids[i] for i in positions],
                full_length=len(ids),
                positions=tuple(None if token is None else places.get(token) for token in chosen),
                lost=tuple(word for word, token in enumerate(chosen) if token is None),
                is_empty=is_empty,
            )
        )
    return inputs


def _tokens_of_words(spans: Sequence[tuple[int, int]], encoding: Encoding) -> list[list[int]]:
    """The tokens that overlap the characters of each word."""
    tokens: list[list[int]] = [[] for _ in spans]
    first = 0
    for token, ((start, end), text) in enumerate(zip(encoding.offsets, encoding.sequence_ids, strict=True)):
        while first < len(spans) and spans[first][1] <= start:
            first += 1
        word = first
        while text is not None and word < len(spans) and spans[word][0] < end:
            tokens[word].append(token)
            word += 1
    return tokens


def _are_shared(tokens: Sequence[Sequence[int]]) -> bool:
    return sum(len(own) for own in tokens) > len({token for own in tokens for token in own})


def _token_of_each_word(tokens: Sequence[Sequence[int]], label_last: bool) -> list[int | None]:
    """The first or last token of each word; none answers for two words."""
    used: set[int] = set()
    chosen: list[int | None] = []
    for own in tokens:
        free = [token for token in own if token not in used]
        chosen.append(free[-1 if label_last else 0] if free else None)
        used.update(free[-1:] if label_last else free[:1])
    return chosen
