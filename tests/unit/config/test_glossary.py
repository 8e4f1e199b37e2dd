"""`explain WORD`: codes, keys, presets and terms."""

import shlex

import pytest

from tunewright.config.deprecated_keys import deprecated_keys
from tunewright.config.glossary import explain
from tunewright.config.load_config import load
from tunewright.config.methods import METHODS
from tunewright.config.schema_keys import SECTIONS, options, upstream
from tunewright.config.terms import load_terms
from tunewright.errors import ConfigError
from tunewright.errors.catalogue import load_catalogue
from tunewright.i18n import speaking


def test_every_code_is_explained_without_placeholders() -> None:
    for code in load_catalogue():
        explained = explain(code.lower())
        assert (explained.kind, explained.title[:4]) == ("code", code)
        assert "{" not in explained.title + "".join(explained.fixes)


def test_a_key_inside_a_value_is_explained_as_the_value_is() -> None:
    for path in (
        "data.train[0].weight",
        "peft.rank_pattern.q_proj",
        "train.lr_scheduler_kwargs.x",
        "launch.job.account",
    ):
        assert explain(path).kind == "key"
    assert explain("peft.rank_pattern.q_proj").title == "peft.rank_pattern"
    with pytest.raises(ConfigError):
        explain("train.rank_pattern.q_proj")


def test_every_key_is_explained_by_its_path_and_by_its_last_part() -> None:
    for path, field in options():
        for word in (path, path.rpartition(".")[2]):
            explained = explain(word)
            if word not in SECTIONS:
                assert field.description in explained.paragraphs, word


def test_every_other_word_that_messages_send_people_to_is_known() -> None:
    for word in ("config", *SECTIONS, "peft.target_modules[1]", "data.map.prompt", "fast_paths.answer_loss"):
        assert explain(word).kind == "key"
    for section in SECTIONS:
        for name in upstream(section):
            assert explain(f"{section}.{name}").title == f"{section}.{name}"
    keys = deprecated_keys()
    for table in (keys.renamed, keys.removed, keys.owned):
        for names in table.values():
            assert all(explain(name).paragraphs for name in names)


def test_every_term_is_found_by_its_name_in_any_spelling() -> None:
    assert len(load_terms()) >= 30
    for term in load_terms():
        for word in (term.name, term.name.upper(), term.name.replace(" ", "_"), term.name.replace("-", " ")):
            assert any(term.text in paragraph for paragraph in explain(word).paragraphs), word
        assert 2 <= term.text.count(". ") + term.text.count("? ") + 1 <= 4, term.name


def test_a_key_brings_its_term_with_it() -> None:
    explained = explain("r")
    assert (explained.title, explained.fixes) == ("peft.r", ("--set peft.r=VALUE",))
    assert any("thin matrices" in paragraph for paragraph in explained.paragraphs)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_explained_by_its_name_and_its_title(name: str) -> None:
    row = METHODS[name]
    for word in (name, row.title):
        explained = explain(word)
        assert (explained.title, explained.fixes) == (f"{name}: {row.title}", (f"--method {name}",))
        assert explained.paragraphs[0] == row.about
    declared = [key for key, field in row.model.model_fields.items() if not field.exclude]
    assert all(key in explained.paragraphs[1] for key in declared)


@pytest.mark.parametrize(
    ("word", "meant"), [("overfiting", "overfitting"), ("E1022", "E1"), ("learnig_rate", "learning")]
)
def test_an_unknown_word_gets_a_suggestion(word: str, meant: str) -> None:
    with pytest.raises(ConfigError) as caught:
        explain(word)
    (problem,) = caught.value.problems
    assert problem.code == "E111"
    assert meant in problem.values["suggestion"]


def test_a_word_like_no_other_gets_no_suggestion() -> None:
    with pytest.raises(ConfigError) as caught:
        explain("qqqqqq")
    assert caught.value.problems[0].fixes() == []


COMMON = {
    "loss": "损失", "token": "词元", "batch size": "批大小", "base model": "基座模型", "GPU": "显卡", "VRAM": "显存",
    "prompt": "提示词", "label": "标签", "accuracy": "准确率", "instruct": "指令模型", "PEFT": "参数高效微调",
    "learning rate": "学习率", "checkpoint": "检查点", "merge": "合并", "early stopping": "早停",
    "chat template": "对话模板", "perplexity": "困惑度", "overfitting": "过拟合", "underfitting": "欠拟合", "epoch": "轮次",
    "gradient accumulation": "梯度累积", "quantization": "量化", "adapter": "适配器", "rank": "秩", "held-out": "留出",
    "random seed": "随机种子", "context length": "上下文长度", "packing": "打包", "tokenizer": "分词器", "fine-tuning": "微调",
    "full": "全参数微调", "inference": "推理", "gradient": "梯度", "optimizer": "优化器", "data set": "数据集",
    "validation set": "验证集", "OOM": "显存不足", "parameters": "参数", "baseline": "基线", "temperature": "温度",
    "system prompt": "系统提示词", "classification": "文本分类", "NER": "命名实体识别", "attention": "注意力", "embedding": "嵌入",
    "dropout": "随机失活", "weight decay": "权重衰减", "forgetting": "灾难性遗忘", "few-shot": "少样本", "RLHF": "强化学习",
    "gradient checkpointing": "梯度检查点", "micro-batch": "微批次", "warmup": "预热", "cross entropy": "交叉熵",
    "language model": "大语言模型", "SFT": "监督微调", "confidence interval": "置信区间", "hyperparameter": "超参数",
    "macro F1": "宏平均", "translation": "翻译", "bf16": "半精度", "exact match": "完全匹配",
}  # fmt: skip


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_commonest_words_are_explained_in_either_language_whatever_the_language_is(language: str) -> None:
    assert len(COMMON) >= 60
    with speaking(language):
        for english, chinese in COMMON.items():
            spoken = explain(english).paragraphs
            assert any(paragraph in explain(chinese).paragraphs for paragraph in spoken), (english, chinese)
            for word in ("ROUGE", "rouge-l", "BLEU", "LoRA", "QLoRA", "DoRA", "NaN", "Hugging Face", "GGUF", "seed"):
                assert explain(word).paragraphs


def test_what_other_tools_call_a_method_is_explained_and_answered_where_it_is_asked_for() -> None:
    for word in ("dora", "DoRA", "qlora", "full", "full fine-tuning", "fine tuning"):
        assert explain(word).kind == "term"
    for name, method in deprecated_keys().other_methods.items():
        for typed in (name, name.upper(), f"{name[0]}-{name[1:]}"):
            with pytest.raises(ConfigError) as caught:
                load(named={"model.name": "a model", "data.train": "my rows.jsonl", "method": typed})
            (problem,) = caught.value.problems
            assert problem.code == "E131"
        if "compare" in method.fix:
            assert problem.fixes() == ["tunewright compare 'a model' 'my rows.jsonl' --full"]
            continue
        words = shlex.split(problem.fixes()[0])
        assert words[:2] == ["--method", "lora"]
        sets = [word for word in words[2:] if word != "--set"]
        assert load(named={"model.name": "a", "data.train": "b", "method": words[1]}, sets=sets).run.method == "lora"


@pytest.mark.parametrize(
    ("named", "text"),
    [({"method": "qqq"}, "one of lora, adalora, ia3, prefix_tuning, prompt_tuning, p_tuning, vera, oft, boft, loha, lokr, "
      "ln_tuning, fourierft, hra, miss, c3a, delora, got"), ({"train.optim": "adamx"}, "one of 44 names, among them "),
     ({"preset": "hard"}, "one of simple, medium, complex")],
)  # fmt: skip
def test_choices_are_listed_whole_or_said_to_be_some(named: dict[str, str], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        load(named={"model.name": "a", "data.train": "b", **named})
