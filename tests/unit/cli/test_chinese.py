"""Chinese: phrases of ours are translated, the user's own words never; nothing of the parser stays English."""

import ast
import gettext
import json
import pickle
import re
import string
from pathlib import Path

import pytest
from babel.messages.pofile import read_po
from typer.core import TyperGroup
from typer.main import get_command

import tunewright
from tunewright.cli.main import app
from tunewright.cli.parser import Verb
from tunewright.config.load_config import load
from tunewright.errors import ConfigError, Problem, Where
from tunewright.errors.catalogue import load_catalogue
from tunewright.i18n import LOCALE_DIR, N_, Phrase, speaking, width
from tunewright.rundir.finding import Remedy

SOURCE = Path(tunewright.__file__).parent
CHINESE = gettext.translation("tunewright", LOCALE_DIR, languages=["zh"])
# Words of the field that stand in the catalogue and that people name columns, files and labels by.
WORDS = (
    "rank",
    "model",
    "loss",
    "preset",
    "text",
    "label tokens",
    "finished",
    "damaged",
    "answer",
    "none",
    "key",
    "median",
)


def _fields(*templates: str) -> set[str]:
    return {name for text in templates for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.fixture
def chinese(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEWRIGHT_LANG", "zh")


@pytest.mark.parametrize("word", WORDS)
def test_the_words_are_in_the_catalogue(word: str) -> None:
    assert CHINESE.gettext(word) != word


@pytest.mark.parametrize("code", load_catalogue())
def test_a_users_word_stays_as_it_is_in_every_message_and_fix(code: str) -> None:
    entry = load_catalogue()[code]
    for word in WORDS:
        problem = Problem(code, values=dict.fromkeys(_fields(entry.sentence, *entry.fixes), word))
        with speaking("zh"):
            expected = [problem.message(), *problem.fixes()]
        templates = [CHINESE.gettext(text) for text in (entry.sentence, *entry.fixes)]
        assert [
            text for text, template in zip(expected, templates, strict=True) if _fields(template) and word not in text
        ] == []
        assert [text for text in expected if CHINESE.gettext(word) in text] == [
            text
            for text, template in zip(expected, templates, strict=True)
            if CHINESE.gettext(word) in template.format_map(dict.fromkeys(_fields(template), ""))
        ]


@pytest.mark.parametrize("code", load_catalogue())
def test_a_phrase_is_translated_and_english_in_json(code: str) -> None:
    entry = load_catalogue()[code]
    for name in _fields(entry.sentence):
        values = dict.fromkeys(_fields(entry.sentence, *entry.fixes), "7") | {
            name: N_("signal 9 from another process; memory was not short")
        }
        problem = Problem(code, values=values)
        with speaking("zh"):
            assert "其他进程发来的信号 9" in problem.message()
            assert "signal 9 from another process" in problem.to_json()["message"]
        with speaking("en"):
            assert "signal 9 from another process" in problem.message()


def test_a_phrase_survives_a_file_and_another_process() -> None:
    reason = Phrase(N_("must be {what}"), what=Phrase(N_("one of {choices}"), choices="rank, loss"))
    problem = Problem("E103", Where("a.yaml", 3), {"key": "preset", "reason": reason, "value": "rank"})
    for back in (Problem.from_record(json.loads(json.dumps(problem.to_record()))), pickle.loads(pickle.dumps(problem))):
        assert back == problem
        with speaking("zh"):
            assert back.message() == "preset 必须是以下之一：rank, loss，实际为 rank"
        with speaking("en"):
            assert back.message() == "preset must be one of rank, loss, got rank"


def test_a_record_without_phrases_is_read_as_it_stands() -> None:
    """As a run stores a problem that holds only words of a person."""
    problem = Problem("E113", values={"name": "finished"})
    assert "phrases" not in problem.to_record()
    with speaking("zh"):
        assert Problem.from_record(problem.to_record()).message() == "没有名为“finished”的运行"


def test_a_remedy_translates_its_phrases_alone() -> None:
    with speaking("zh"):
        assert Remedy("compute in {best}", "", values={"best": "loss"}).message() == "用 loss 计算"
        assert Remedy("compute in {best}", "", values={"best": N_("none")}).message() == "用 无 计算"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("train", "m", "d.jsonl", "--set", "peft.rank=4"), "“rank”"),
        (("train", "m", "d.jsonl", "--preset", "rank"), "preset 必须是"),
        (("data", "check", "model"), "“model”"),
        (("train", "loss", "my.jsonl"), "“loss”不是模型"),
        (("runs", "stop", "finished"), "没有名为“finished”的运行"),
        (("explain", "median"), "“median”不是已知的"),
        (("presets", "show", "text"), "“text”不是预设"),
        (("config", "validate", "prompt"), "无法读取配置“prompt”：文件不存在"),
    ],
)
def test_the_command_line_leaves_words_as_they_were_typed(tw, chinese, words: tuple[str, ...], expected: str) -> None:
    assert expected in tw(*words).err


def _marked(path: Path) -> list[tuple[str, ...]]:
    """Every text that is marked for translation, in f-strings too."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    texts = [
        [a.value for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        for call in calls
        if call.func.id in ("_", "N_", "ngettext")
    ]
    return [tuple(text) for text in texts if text]


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_every_marked_text_has_chinese_inside_f_strings_too(path: Path) -> None:
    same = {"", "{fix}", "{reason}", "torch", "Hub", "GGUF", "LoRA"}
    for texts in _marked(path):
        expected = CHINESE.ngettext(*texts[:2], 2) if len(texts) > 1 else CHINESE.gettext(texts[0])
        is_command = re.fullmatch(r"[\w{}.,:/'\" ()<>=-]*", expected) and expected == texts[-1]
        assert expected != texts[-1] or texts[-1] in same or is_command, texts


def _paths(group: TyperGroup, before: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    paths = [before]
    for name, command in group.commands.items():
        paths += _paths(command, (*before, name)) if isinstance(command, TyperGroup) else [(*before, name)]
    return paths


@pytest.mark.parametrize("words", _paths(get_command(app)), ids=" ".join)
def test_no_help_page_keeps_words_of_the_parser(tw, chinese, words: tuple[str, ...]) -> None:
    out = tw(*words, "--help").out
    assert out.startswith("用法：tunewright")
    for word in (
        "Usage",
        "Options",
        "Arguments",
        "Commands",
        "[OPTIONS]",
        "COMMAND",
        "required]",
        "default:",
        "Show this",
    ):
        assert word not in out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("trian",), "没有命令“trian”；你是不是想用 'train'？"),
        (("xyzzy",), "没有命令“xyzzy”"),
        (("runs", "lst"), "没有命令“lst”；你是不是想用 'list'？"),
        (("train", "--lrr", "3"), "没有选项 --lrr（相近的选项：--lr）"),
        (("train", "--zzz"), "没有选项 --zzz"),
        (("generate",), "缺少参数 RUN"),
        (("train", "m", "d", "--epochs", "abc"), "--epochs 的值不对：应为数字"),
        (("train", "m", "d", "--rank", "1.5x"), "--rank 的值不对：应为整数"),
        (("train", "--lr"), "选项 --lr 需要一个值"),
        (("doctor", "rank"), "多余的参数：rank"),
        (("train", "--offline=1"), "选项 --offline 不带值"),
    ],
)
def test_errors_of_usage_are_chinese(tw, chinese, words: tuple[str, ...], expected: str) -> None:
    ended = tw(*words)
    assert (ended.code, expected in ended.err) == (2, True), ended.err


def test_errors_of_usage_are_english_in_json_whatever_the_language(tw, chinese) -> None:
    assert "No such command 'trian'. Did you mean 'train'?" in tw("trian", "--json").err


HAN = "[\u4e00-\u9fff]"
RULES = {
    "a mark of ASCII beside Chinese": rf"{HAN}[,;:!?()]|[,;:!?] ?{HAN}|\({HAN}|\.{HAN}",
    "no blank between Chinese and Latin letters": rf"{HAN}[A-Za-z]|[A-Za-z]{HAN}",
    "a blank before %": r"[\d}] %",
    "a term that is called otherwise (tools/messages.py)": (
        "激活检查点|留出行|训练行|数据行|评测|微批(?!次)|有效批大小|您|基础模型|存放方式|结束词元|每个样本|遗忘了什么"
    ),
}


@pytest.mark.parametrize("rule", RULES)
def test_the_chinese_is_written_by_its_rules(rule: str) -> None:
    with (LOCALE_DIR / "zh" / "LC_MESSAGES" / "tunewright.po").open("rb") as file:
        messages = [message for message in read_po(file, locale="zh") if message.id]
    texts = [text for m in messages for text in (m.string if isinstance(m.string, tuple) else (m.string,))]
    assert len(texts) > 1000
    assert [text for text in texts if re.search(RULES[rule], re.sub(r"`[^`]*`", "", text))] == []


@pytest.mark.parametrize(
    ("text", "english", "chinese"),
    [
        ("train.learning_rate=-1", "must be above 0 or one of auto", "必须是大于 0"),
        ("peft.r=rank", "must be a whole number", "必须是整数"),
        ("run.name=on", "must be text", "YAML 会把 on 读成 true"),
    ],
)
def test_a_reason_found_in_one_language_is_told_in_another(text: str, english: str, chinese: str) -> None:
    with speaking("zh"), pytest.raises(ConfigError) as caught:
        load(named={"model.name": "m", "data.train": "d"}, sets=[text])
    problem = caught.value.problems[0]
    with speaking("zh"):
        assert chinese in problem.message()
    assert english.split(" or ")[0] in problem.to_json()["message"] and problem.to_json()["message"].isascii()


@pytest.mark.parametrize("columns", range(44, 90, 3))
def test_no_word_of_latin_letters_is_broken_in_help(columns: int) -> None:
    page = Verb.context_class.formatter_class(width=columns)
    meaning = "llama：llama.cpp；transformers：该运行自己的会话。llama.cpp 能承载时默认用 llama。"
    page.write_dl([("--engine NAME", meaning), ("--host <str>", "不只限于本机时需要密钥。  [default: 127.0.0.1]")])
    shown = page.getvalue()
    assert shown.count("llama.cpp") == 2 and shown.count("transformers") == 1 and "127.0.0.1" in shown
    assert max(map(width, shown.splitlines())) <= columns
