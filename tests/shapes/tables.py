"""csv, tsv and others: separators, headers and their absence, quotes, ends of lines, encodings."""

from tests.shapes.shape import Shape

QUESTIONS = ("is the lamp here", "is the vase here", "is the bell here", "is the cup here")
ANSWERS = ("yes, 2", "no", "yes", "no, sold")
GROUP, CODES = "Tables", "Encodings"
GERMAN = "frage,antwort\nGehört die Lampe dazu,nein\nIst die Tür geöffnet,ja\n"
LABELLED = (
    ("where is it", "track"),
    ("money back", "refund"),
    ("is it late", "track"),
    ("pay me", "refund"),
    ("my parcel", "track"),
    ("return it", "refund"),
    ("still nothing", "track"),
)
LABELS = tuple(label for _text, label in LABELLED)


def rows(separator: str, end: str = "\n", header: tuple[str, ...] = ("prompt", "completion")) -> str:
    quoted = [
        [f'"{cell}"' if separator in cell else cell for cell in pair] for pair in zip(QUESTIONS, ANSWERS, strict=True)
    ]
    return end.join(separator.join(cells) for cells in [*([header] if header else []), *quoted]) + end


def labelled(separator: str = ",", header: str = "text,label") -> str:
    lines = [separator.join(pair) for pair in LABELLED]
    return "\n".join([*([header] if header else []), *lines]) + "\n"


def table(
    name: str, file: str, content: str | bytes, what: str, *, learned: tuple[str, ...] = ANSWERS, **more: object
) -> Shape:
    return Shape(name, GROUP, file, content, what, learned, **more)  # type: ignore[arg-type]


def coded(name: str, content: bytes, what: str, learned: tuple[str, ...], file: str = "a.csv", **more: object) -> Shape:
    return Shape(name, CODES, file, content, what, learned, **more)  # type: ignore[arg-type]


CHINESE = "问题,答案\n什么时候发货,三天内\n可以退货吗,可以\n"
CHINESE_ANSWERS = ("三天内", "可以")
JAPANESE = "question,answer\nこの商品はありますか,はい\n送料はいくらですか,五百円です\n"

SHAPES = (
    table("csv-comma", "a.csv", rows(","), "the header names prompt and answer"),
    table("csv-semicolon", "a.csv", rows(";"), "the separator is the one that splits all lines equally"),
    table("csv-tab", "a.csv", rows("\t"), "tabs in a .csv are seen"),
    table("csv-pipe", "a.csv", rows("|"), "pipes are seen"),
    table("csv-caret", "a.csv", rows("^"), "rare separators are recognised where there is no usual one"),
    table("csv-hive", "a.csv", rows("\x01"), "the separator of Hive (U+0001) is seen"),
    table("csv-semicolon-with-commas", "a.csv", 'prompt;completion\na, b, c;yes\nd, e;no\n', "commas inside cells separate nothing",
          learned=("yes", "no")),
    table("csv-sep-line", "a.csv", "sep=;\n" + rows(";"), "Excel's first line names the separator"),
    table("csv-sep-line-quoted", "a.csv", '"sep=|"\n' + rows("|"), "the same in quotes"),
    table("csv-sep-line-crlf", "a.csv", "SEP=;\r\n" + rows(";", "\r\n"), "the same with Windows line ends"),
    table("csv-crlf", "a.csv", rows(",", "\r\n"), "Windows line ends"),
    table("csv-cr", "a.csv", rows(",", "\r"), "line ends of old Macs"),
    table("tsv-cr", "a.tsv", rows("\t", "\r"), "the same in a .tsv"),
    table("tsv", "a.tsv", rows("\t"), "tabs"),
    table("tsv-with-commas", "a.tsv", rows(","), "a .tsv that has commas is read by commas"),
    table("tsv-loose-quotes", "a.tsv", 'prompt\tcompletion\n"Hello" she said\t5" wide\n"open quote\tfine\n',
          "quotes that do not enclose a cell are text", learned=('5" wide', "fine")),
    table("tsv-quotes-over-rows", "a.tsv", 'prompt\tcompletion\n"one\ta\ntwo"\tb\n', "a line with all its tabs is a row",
          learned=("a", "b")),
    table("tsv-quoted-cells", "a.tsv", 'prompt\tcompletion\n"one"\t"say ""x"""\ntwo\t"b"\n', "quotes around cells go",
          learned=('say "x"', "b")),
    table("tsv-quoted-over-lines", "a.tsv", 'prompt\tcompletion\nq\t"first\nsecond"\nr\tb\n', "a quoted cell may have lines",
          learned=("first\nsecond", "b")),
    table("txt-with-tabs", "a.txt", rows("\t"), "a .txt whose lines have tabs alike is a table"),
    table("csv-quoted-lines", "a.csv", 'prompt,completion\nq,"one\n\ntwo"\nr,b\n', "a quoted cell may have blank lines",
          learned=("one\n\ntwo", "b")),
    table("csv-backslash-quotes", "a.csv", 'prompt,completion\n"say \\"a, b\\"",yes\nr,"\\"no\\""\n',
          "a backslash in front of a quote, as Spark and MySQL write", learned=("yes", '"no"')),
    table("csv-one-column", "a.csv", "text\nHello, my friend\nYes, this, too\n", "one column needs no quotes",
          learned=("Hello, my friend", "Yes, this, too")),
    table("csv-index-column", "a.csv", ",prompt,completion\n0,q,a\n1,r,b\n", "a column without a name is not used",
          learned=("a", "b")),
    table("csv-blank-lines", "a.csv", "\n\nprompt,completion\n\nq,a\n\nr,b\n\n", "blank lines are not rows", learned=("a", "b")),
    table("csv-joined-bom", "a.csv", "\ufeffprompt,completion\nq,a\n\ufeffr,b\n", "marks of byte order between joined files go",
          learned=("a", "b")),
    table("csv-joined-headers", "a.csv", "prompt,completion\nq,a\nprompt,completion\nr,b\ns,c\nt,d\nu,e\n",
          "a repeated header is not a row", learned=tuple("abcde"), left_out=1, code="E242", fix="--skip-bad"),
    table("csv-numbers", "a.csv", "question,answer\n1+1,2\n1+2,3\n", "cells are text", learned=("2", "3")),
    table("csv-header-blanks", "a.csv", " Prompt , Completion \nq,a\nr,b\n", "blanks and case of names do not matter",
          learned=("a", "b")),
    table("csv-without-header", "a.csv", rows(",", header=()), "a first line that is a row is seen, the columns get numbers",
          code="E240", fix="--map prompt=column_1 --map completion=column_2"),
    table("csv-without-header-labels", "a.csv", labelled(header=""), "the same with labels, which come again",
          learned=LABELS, code="E240", fix="--task seq_cls --map text=column_1 --map label=column_2"),
    table("csv-without-header-ids", "a.csv", "".join(f"{n},{text},{label}\n" for n, (text, label) in enumerate(LABELLED)),
          "numbers name no columns", learned=LABELS, code="E240", task="seq_cls", reader="encoder",
          fix="--map text=column_2 --map label=column_3"),
    table("tsv-without-header", "a.tsv", labelled("\t", header=""), "the same in a .tsv", learned=LABELS, task="seq_cls",
          code="E240", fix="--map text=column_1 --map label=column_2", reader="encoder"),
    table("csv-without-header-mapped", "a.csv", rows(",", header=()), "column numbers in a map mean that there is no header",
          settings={"data.map": {"prompt": "column_1", "completion": "column_2"}}),
    table("csv-same-name-twice", "a.csv", "same,same\nq,a\nr,b\n", "a name that appears twice names no column; it may be a row",
          code="E241", fix="--map prompt=column_1 --map completion=column_2",
          learned=("same", "a", "b")),
    table("csv-unknown-names", "a.csv", "frage,antwort\nwo ist es,hier\nwer kommt,niemand\n", "the fix has the columns' own names",
          learned=("hier", "niemand"), code="E211", fix="--map prompt=frage --map completion=antwort"),
    table("csv-unknown-names-with-blanks", "a.csv", "id,die frage,die antwort\n1,wo ist es,hier\n2,wer kommt,niemand\n",
          "names with blanks are quoted", learned=("hier", "niemand"), code="E211",
          fix="--map 'prompt=die frage' --map 'completion=die antwort'"),
    table("csv-lost-quote", "a.csv", 'prompt,completion\nq,"a\nr,b\ns,c\nt,d\nu,e\n', "a lost quote costs its row",
          learned=tuple("bcde"), left_out=1, code="E221", fix="--skip-bad"),
    table("csv-comma-too-many", "a.csv", "prompt,completion\nq,a,b\nr,b\ns,c\nt,d\nu,e\n", "a comma without quotes costs its row",
          learned=tuple("bcde"), left_out=1, code="E218", fix="--skip-bad"),
    table(
        "csv-blank-behind-comma", "a.csv", 'prompt, completion\n"a, x", "b, y"\nc, d\n', "blanks after separators are removed",
        learned=("b, y", "d"),
    ),
    table(
        "csv-single-quotes", "a.csv", "'prompt','completion'\n'a, x','b'\nc,'d, y'\n", "single quotes, if the header has them",
        learned=("b", "d, y"),
    ),
    table("csv-markdown", "a.csv", "| prompt | completion |\n|---|:--:|\n| q | a |\n| r | b - c |\n", "a table of Markdown", learned=("a", "b - c")),
    table("csv-title", "a.csv", "My export,,\nprompt,completion,id\nq,a,1\nr,b,2\n", "a title above the names is not a row", learned=("a", "b")),
    table("csv-comment-first", "a.csv", "# my data\nquestion;answer\nq;a\nr;b\n", "nor is a comment", learned=("a", "b")),
    table("csv-separator-at-the-end", "a.csv", "prompt,completion\nq,a,\nr,b,\n", "a separator after the last cell of each row", learned=("a", "b")),
    table("csv-empty-rows", "a.csv", "prompt,completion,\na,b,\n,,\nc,d,\n,,\n", "empty rows of spreadsheets are none", learned=("b", "d")),
    table(
        "csv-one-column-without-header", "a.csv", "love it\nhate it\nso good\n", "one column without a name",
        learned=("love it", "hate it", "so good"), code="E240", fix="--map text=column_1",
    ),
    coded("utf8-bom", b"\xef\xbb\xbf" + rows(",").encode(), "Excel's UTF-8 has a mark in front", ANSWERS),
    coded("utf16-csv", rows("\t").encode("utf-16"), "Excel's Unicode text", ANSWERS),
    coded("utf16-be-jsonl", b"\xfe\xff" + '{"prompt": "问", "completion": "答"}\n'.encode("utf-16-be") * 2,
          "UTF-16 with its mark", ("答", "答"), "a.jsonl", warns=("W211",)),
    coded("utf32-json", '[{"prompt": "q", "completion": "a"}, {"prompt": "r", "completion": "é"}]'.encode("utf-32"),
          "UTF-32 with its mark", ("a", "é"), "a.json"),
    coded("utf16-txt", "Ein Satz.\nNoch einer.\nUnd einer.\n".encode("utf-16"), "text in UTF-16", ("Ein Satz.", "Noch einer.", "Und einer."),
          "a.txt", warns=("W237",)),
    coded("utf16-without-mark", rows(",").encode("utf-16-le"), "UTF-16 without a mark is named", ANSWERS, code="E239",
          fix="--set data.encoding=utf-16le"),
    coded("gbk-csv", CHINESE.encode("gbk"), "Excel in China", CHINESE_ANSWERS, code="E239", fix="--set data.encoding=gb18030"),
    coded("gb18030-jsonl", '{"问题": "你好吗", "答案": "我很好"}\n{"问题": "你是谁", "答案": "我是人"}\n'.encode("gb18030"),
          "the same in JSON", ("我很好", "我是人"), "a.jsonl", code="E239", fix="--set data.encoding=gb18030"),
    coded("gbk-txt", "今天的天气很好。\n我们去公园。\n大家都很高兴。\n".encode("gbk"), "the same in text",
          ("今天的天气很好。", "我们去公园。", "大家都很高兴。"), "a.txt", code="E239", fix="--set data.encoding=gb18030", warns=("W237",)),
    coded("big5-csv", "問題,答案\n這個還有嗎,沒有了\n可以退貨嗎,可以的\n".encode("big5"), "Excel in Taiwan", ("沒有了", "可以的"), code="E239",
          fix="--set data.encoding=big5", settings={"data.map": {"prompt": "問題", "completion": "答案"}}),
    coded("shift-jis-csv", JAPANESE.encode("cp932"), "Excel in Japan", ("はい", "五百円です"), code="E239",
          fix="--set data.encoding=cp932"),
    coded("euc-kr-csv", "question,answer\n이 상품 있나요,네\n환불하고 싶어요,가능합니다\n".encode("cp949"), "Excel in Korea", ("네", "가능합니다"),
          code="E239", fix="--set data.encoding=cp949"),
    coded("cp1251-csv", "question,answer\nгде посылка,в пути\nможно вернуть,да\n".encode("cp1251"), "Excel in Russia",
          ("в пути", "да"), code="E239", fix="--set data.encoding=cp1251"),
    coded("cp1252-csv", GERMAN.encode("cp1252"), "Excel in western Europe", ("nein", "ja"), code="E239",
          fix="--set data.encoding=cp1252", settings={"data.map": {"prompt": "frage", "completion": "antwort"}}),
    coded("latin1-jsonl", '{"prompt": "où est-ce", "completion": "là"}\n{"prompt": "et toi", "completion": "ça va"}\n'.encode("latin-1"),
          "Latin-1", ("là", "ça va"), "a.jsonl", code="E239", fix="--set data.encoding=cp1252"),
    coded("cp1250-csv", "question,answer\nGdzie jest moja paczka,jutro będzie\nChcę zwrócić pieniądze,dobrze się złożyło\n".encode("cp1250"),
          "Excel in Poland", ("jutro będzie", "dobrze się złożyło"), code="E239", fix="--set data.encoding=cp1250"),
    coded("encoding-named", CHINESE.encode("gb18030"), "the encoding may be named at once", CHINESE_ANSWERS,
          settings={"data.encoding": "gb18030"}),
    coded("mark-before-encoding", b"\xef\xbb\xbf" + CHINESE.encode(), "a mark goes before the encoding that was named", CHINESE_ANSWERS,
          settings={"data.encoding": "gb18030"}),
    coded("one-odd-byte", '{"prompt": "问", "completion": "答"}\n'.encode() * 5 + b'{"prompt": "a\xff", "completion": "b"}\n',
          "a few odd bytes cost their rows", ("答",) * 5, "a.jsonl", left_out=1, code="E205",
          fix="--skip-bad", settings={"data.max_duplicates": 1}, warns=("W211",)),
)  # fmt: skip
