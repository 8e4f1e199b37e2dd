"""Keeps the Chinese catalogue whole: extract every text, update the .po file, compile the .mo file.

`python tools/messages.py` updates both and lists what lacks Chinese; `--check` exits 1 if anything is missing, unused,
has other placeholders than its English, or is not compiled.

Terms of the Chinese, one for each thing:

    row, example        样本            held-out row         留出样本         row number           样本编号
    micro-batch         微批次          effective batch      有效批次大小     gradient accumulation 梯度累积
    activation checkpointing            梯度检查点（激活重计算）             checkpoint           检查点
    quantization        量化            how weights are stored 权重精度       precision            精度
    precision (metric)  精确率          recall               召回率           accuracy             准确率
    token               词元（token）    tokenizer            分词器           end token            结束符（EOS）
    tokens in the loss  计入损失的词元  base (model)         基座（模型）     tuned                微调后
    adapter             适配器          rank                 秩               head                 输出头
    run                 运行            plan                 计划             preset               预设
    to evaluate         评估            benchmark            基准测试         interval             区间
    left out            剔除            found by a tagger    检出             labels, tags         标签、标注
    examples in a prompt few-shot 提示  traceback            错误堆栈         epoch                轮次
    to pack, packing    打包            shared prefix        共享前缀         initialization       初始化
    to generate         生成            parameter            参数             held-out loss        留出损失

Chinese marks between Chinese words (，；：（）“”), a blank between Chinese and Latin letters or digits, none before %.
What a person types or may find in a file (keys, commands, codes, column names) stays as it is.
"""

import ast
import io
import re
import sys
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import IO, Any

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir, extract_from_file
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src/tunewright"
PAGES = ROOT / "tools/docs.py"
FOLDER = SOURCE / "locale/zh/LC_MESSAGES"
PO, MO = FOLDER / "tunewright.po", FOLDER / "tunewright.mo"
KEYWORDS = {"_": None, "N_": None, "ngettext": (1, 2), "counted": (1, 2)}
TOML_KEYS = {"sentence", "singular", "cause", "fixes", "name", "text", "reason", "instead"}  # of resources/*.toml
FIXED = datetime(2026, 1, 1, tzinfo=UTC)
PLACEHOLDER = re.compile(r"\{(\w*)[^{}]*\}")


def extract_python(
    file: IO[bytes], keywords: Any, comment_tags: Any, options: Any
) -> Iterator[tuple[int, str, str | tuple[str, ...], list[str]]]:
    """Texts of a Python file, those inside f-strings too, which babel's own extractor passes over."""
    for node in ast.walk(ast.parse(file.read())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in keywords:
            texts = tuple(a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str))
            if texts:
                yield node.lineno, node.func.id, texts if len(texts) > 1 else texts[0], []


def extract_toml(
    file: IO[bytes], keywords: Any, comment_tags: Any, options: Any
) -> Iterator[tuple[int, str, str, list[str]]]:
    """Texts of a resource file: what stands under one of `TOML_KEYS`."""
    for text in texts_of(tomllib.load(file)):
        yield 0, "_", text, []


def texts_of(content: Any) -> Iterator[str]:
    """Texts to translate in a table or an array of TOML, at any depth."""
    if isinstance(content, list):
        for item in content:
            yield from texts_of(item)
    elif isinstance(content, dict):
        for key, value in content.items():
            if key in TOML_KEYS and isinstance(value, str):
                yield value
            elif key in TOML_KEYS:
                yield from value
            else:
                yield from texts_of(value)


METHODS: Any = [("**/templates/**.j2", "jinja2"), ("**.py", extract_python), ("resources/**.toml", extract_toml)]


def template() -> Catalog:
    """Every text of the sources, without places, so that moving a line changes nothing."""
    catalog = Catalog(project="tunewright", charset="utf-8")
    sources = (message for _file, _line, message, *_ in extract_from_dir(SOURCE, METHODS, keywords=KEYWORDS))
    pages = (message for _line, message, *_ in extract_from_file(extract_python, PAGES, keywords=KEYWORDS))
    for message in chain(sources, pages):
        if message and message != ("", ""):
            catalog.add(message)
    return catalog


def updated() -> Catalog:
    """The Chinese catalogue brought up to date with the sources; texts that are gone are dropped."""
    with PO.open("rb") as file:
        catalog = read_po(file, locale="zh")
    catalog.update(template(), no_fuzzy_matching=True)
    catalog.obsolete.clear()
    return catalog


def as_po(catalog: Catalog) -> bytes:
    buffer = io.BytesIO()
    write_po(buffer, catalog, width=0, sort_output=True, omit_header=False, no_location=True)
    text = buffer.getvalue().decode()
    return re.sub(
        r'"(POT-Creation-Date|PO-Revision-Date|Generated-By|Last-Translator|Language-Team).*\n', "", text
    ).encode()


def as_mo(catalog: Catalog) -> bytes:
    catalog.creation_date = catalog.revision_date = FIXED  # the header must not change with the day
    buffer = io.BytesIO()
    write_mo(buffer, catalog)
    return buffer.getvalue()


def faults(catalog: Catalog) -> list[str]:
    """Texts without Chinese, and translations whose placeholders differ."""
    found = []
    for message in catalog:
        if not message.id:
            continue
        ids = message.id if isinstance(message.id, tuple) else (message.id,)
        texts = message.string if isinstance(message.string, tuple) else (message.string,)
        if not all(texts):
            found.append(f"no Chinese: {ids[0]!r}")
        elif any(set(PLACEHOLDER.findall(text)) != set(PLACEHOLDER.findall(ids[-1])) for text in texts):
            found.append(f"other placeholders: {ids[-1]!r} -> {texts[0]!r}")
    return found


def main() -> int:
    catalog = updated()
    wrong = faults(catalog)
    if "--check" in sys.argv:
        if PO.read_bytes() != as_po(catalog):
            wrong.append(f"{PO.name} is not up to date: make messages")
        if not MO.is_file() or MO.read_bytes() != as_mo(read_po(io.BytesIO(PO.read_bytes()), locale="zh")):
            wrong.append(f"{MO.name} is not compiled from {PO.name}: make messages")
    else:
        PO.write_bytes(as_po(catalog))
        MO.write_bytes(as_mo(read_po(io.BytesIO(PO.read_bytes()), locale="zh")))
    print("\n".join(wrong) or f"{len(catalog)} texts, all in Chinese")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
