"""Which encoding bytes are in: known by a byte-order mark, or guessed by whether the text is common in its language.

charset_normalizer, which comes with other packages, was tried on short tables and was wrong in most; what is guessed here
is only ever put into a message, never read without being asked for.
"""

import codecs
import re
from collections.abc import Mapping
from contextlib import suppress

UTF8 = "utf-8"
# UTF-32 comes first, as its mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_KANA = "".join(map(chr, range(0x3041, 0x30FB)))
_HANZI = (
    "的一是不了在有人我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事成方多经么去法学如都同"
    "现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力它与长把机十民第公此已工使情明性知全三又关点正业外将两高间由问"
    "很最重并物手应战向头文体政美相见被利什二等产或新己制身果加西斯月话合回特代内信表化老给世位次度门任常先海通教儿原东声提立及比员解水名真论"
    "处走义各入几口认条平系气题活尔更别打女变四神总何电数安少报才结反受目太量再感建务做接必场件计管期市直德资命山金指克许统区保至队形社便空决"
    "治展马科司五基眼书非则听白却界达光放强即像难且权思王象完设式色路记南品住告类求据程北边死张该交规万取拉格望觉术领共确传师观清今切院让识候"
    "带导争运退货款快递商客服付钱买卖"
)
_HANZI_OLD = (
    "的一是不了在有人我他這個們中來上大為和國地到以說時要就出會可也你對生能而子那得於著下自之年過發後作里用道行所然家種事成方多經麼去法學如都同"
    "現當沒動面起看定天分還進好小部其些主樣理心她本前開但因只從想實日軍者意無力它與長把機十民第公此已工使情明性知全三又關點正業外將兩高間由問"
    "很最重並物手應戰向頭文體政美相見被利什二等產或新己制身果加西斯月話合回特代內信表化老給世位次度門任常先海通教兒原東聲提立及比員解水名真論"
    "處走義各入幾口認條平系氣題活爾更別打女變四神總何電數安少報才結反受目太量再感建務做接必場件計管期市直德資命山金指克許統區保至隊形社便空決"
    "退貨款運費商客服付錢買賣"
)
_HANGUL = (
    "이다는가에의을고지하기은도로사한리자를어인서나그시아대해정일만있스들라적수제것여보부장으주상전구요우과았와관간세성국동유니"
    "면원화거생안오마소람조중내무신치음었경실까당같습비게말모르때더년된물두싶없품재환불배송"
)
# What is common in the language that an encoding is used for; letters of the alphabet of Europe as they are written most.
_COMMON: Mapping[str, frozenset[str]] = {
    "gb18030": frozenset(_HANZI + "，。？！：；、（）“”"),
    "big5": frozenset(_HANZI_OLD + "，。？！：；、（）「」"),
    "cp932": frozenset(_KANA + "、。「」ー日本人年月大小中出入上下品物"),
    "euc_jp": frozenset(_KANA + "、。「」ー日本人年月大小中出入上下品物"),
    "cp949": frozenset(_HANGUL),
    "cp1251": frozenset("абвгдежзийклмнопрстуфхцчшщыьэюяіїє"),
    "koi8-r": frozenset("абвгдежзийклмнопрстуфхцчшщыьэюя"),
    "cp1252": frozenset("äöüßÄÖÜéèàùçêîôûëïñóíáúâãõåæø’‘“”–—…€£°«»¿¡"),
    "cp1250": frozenset("ąćęłńśźżóčšžřůěýáíéűőůďťňŁŚŻÉÁ"),
    "cp1254": frozenset("ığşçöüİĞŞÇÖÜ"),
    "cp1253": frozenset("αβγδεζηθικλμνξοπρστυφχψωςάέήίόύώ"),
    "cp1256": frozenset("ابتثجحخدذرزسشصضطظعغفقكلمنهويىةأإآء"),
}
_LATIN = ("cp1252", "cp1250", "cp1254")
_OTHER_ALPHABETS = ("cp1251", "koi8-r", "cp1253", "cp1256")
_EASTERN = _COMMON["gb18030"] | _COMMON["big5"] | _COMMON["cp932"] | _COMMON["cp949"]
_NO_TEXT = re.compile(b"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
MOST_CONTROLS = 0.002  # of all bytes; more are not text in any encoding
_ESCAPED = ("\udc80", "\udcff")


def marked_encoding(head: bytes) -> str:
    """The encoding of a byte-order mark; "" if there is none."""
    return next((name for mark, name in _MARKS if head.startswith(mark)), "")


def foreign_encoding(head: bytes) -> str:
    """What the beginning of a file is most likely in, if that is text but not UTF-8; "" if it is, or has only a few odd bytes."""
    if wide := _without_mark(head):
        return wide
    if len(_NO_TEXT.findall(head)) > MOST_CONTROLS * len(head):
        return ""
    with suppress(UnicodeDecodeError):
        codecs.getincrementaldecoder(UTF8)().decode(head)  # the last character may be cut
        return ""
    text = head.decode(UTF8, "surrogateescape")
    odd = sum(_ESCAPED[0] <= char <= _ESCAPED[1] for char in text[:-3])  # the last character may be cut
    sound = sum(char > "\x7f" for char in text) - odd
    return likely_encoding(head) if odd > sound else ""


def _without_mark(head: bytes) -> str:
    """UTF-16 without its mark: read so, no character is NUL any more, and most are those of some text."""
    if b"\x00" not in head:
        return ""
    shares = {name: _usual(head[: len(head) // 2 * 2], name) for name in ("utf-16le", "utf-16be")}
    best = max(shares, key=lambda name: shares[name])
    return best if shares[best] > 0.5 else ""


def _usual(head: bytes, name: str) -> float:
    """The share of characters that are ASCII, or common in Chinese, Japanese or Korean."""
    try:
        text = head.decode(name)
    except UnicodeDecodeError:
        return 0.0
    if "\x00" in text:
        return 0.0
    return sum(char < "\x7f" or char in _EASTERN for char in text) / len(text)


def likely_encoding(head: bytes) -> str:
    """The encoding in which most of these bytes are common characters; "" if there is none."""
    shares = {name: _share(head, name) for name in _COMMON}
    best = max(shares, key=lambda name: shares[name])
    return best if shares[best] else ""


def _share(head: bytes, name: str) -> float:
    """How many of the characters beyond ASCII are common ones, and placed as in such a language; 0 if unreadable.

    Letters of another alphabet come side by side, those of the Latin one with a mark mostly alone.
    """
    try:
        text = codecs.getincrementaldecoder(name)().decode(head)
    except UnicodeDecodeError:
        return 0.0
    beyond = [place for place, char in enumerate(text) if char > "\x7f"]
    if not beyond:
        return 0.0
    common = sum(text[place] in _COMMON[name] for place in beyond) / len(beyond)
    beside = sum(_is_letter(text, place - 1) or _is_letter(text, place + 1) for place in beyond) / len(beyond)
    is_odd = (name in _LATIN and beside > 0.5) or (name in _OTHER_ALPHABETS and beside < 0.5)
    return 0.0 if is_odd else common


def _is_letter(text: str, place: int) -> bool:
    return 0 <= place < len(text) and text[place] > "\x7f" and text[place].isalpha()
