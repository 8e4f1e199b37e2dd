"""Texts that were read in another encoding than theirs are known by their look; sound ones of any language are not."""

import pytest

from tunewright.data.mojibake import is_mojibake

SOUND = [
    "Le café est à côté de la forêt, « naturellement ».", "Die Straße führt über Köln, 20 °C, 5 £ – schön.",
    "São Paulo, amanhã, às três", "“It’s fine,” she said – and left…",
    "你好，我要两个红色的杯子。", "これは何ですか。", "안녕하세요, 반갑습니다.",
    "Привет, как дела?", "¿Dónde está? ¡Aquí!",
]  # fmt: skip
TRICKY = [
    "AMANHÃ…", "«IRMû", "IRMÃ – SÃO", "“café…”", "«\u00a0À\u00a0«\u00a0Paris\u00a0»\u00a0»",
    "PÂÂ»", "Τι κάνεις;", "Tiếng Việt Ả Ạ Ã Â",
    "price: 5 €, rate ±2", "Ã and Â are letters", "плюс", "plain ASCII", "",
]  # fmt: skip


def read_as_cp1252(text: str) -> str:
    """As a program for Windows shows it; bytes that cp1252 lacks as Latin-1 has them."""
    return "".join(
        bytes([byte]).decode("cp1252") if byte not in b"\x81\x8d\x8f\x90\x9d" else chr(byte) for byte in text.encode()
    )


@pytest.mark.parametrize("text", SOUND)
def test_a_text_is_sound_until_it_is_misread(text: str) -> None:
    assert not is_mojibake(text)
    assert is_mojibake(read_as_cp1252(text)) and is_mojibake(text.encode().decode("latin-1"))


@pytest.mark.parametrize("text", TRICKY)
def test_what_only_looks_a_little_like_it_is_sound(text: str) -> None:
    assert not is_mojibake(text)


@pytest.mark.parametrize("text", ["lost \ufffd one", "锟斤拷", "烫手 锟斤拷 了"])
def test_characters_that_were_lost_are_seen(text: str) -> None:
    assert is_mojibake(text)
