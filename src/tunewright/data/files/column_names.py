"""Names of columns as people write them, for each task and role, best first."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tunewright.config.tasks import Task

# Role -> names of its column, best first; compared without case, with "_" for blanks and hyphens.
_SPELLINGS: Mapping[str, str] = {
    "messages": "messages conversations conversation dialogue dialog 对话 contents turns chat chats dialogs data",
    "prompt": "prompt instruction question query problem user human q ask source input input_text source_text"
    " inputs 指令 问题 提问 题目 问 输入 article document sentence text content",
    "completion": "completion response output answer reply solution assistant bot gpt a target output_text target_text"
    " 输出 回答 答案 回复 答 summary highlights targets label answers",
    "system": "system system_prompt system_instruction systeminstruction system_message 系统 系统提示",
    "input": "input context passage 输入 上下文",
    "history": "history 历史",
    "tools": "tools functions available_tools 工具",
    "reasoning": "reasoning_content reasoning thinking thought rationale complex_cot cot chain_of_thought 思考 推理 思维链",
    "text": "text content sentence document 文本 内容",
}
SPELLINGS_OF: Mapping[Task, Mapping[str, str]] = {
    "causal_lm": _SPELLINGS,
    "seq2seq": {
        **_SPELLINGS,
        "reasoning": "",
        "prompt": _SPELLINGS["prompt"] + " src dialogue dialog passage 原文 正文 文章 对话 文本 内容",
        "completion": _SPELLINGS["completion"] + " tgt translation abstract title headline 译文 摘要 标题 目标",
    },
    "seq_cls": {
        "text": "text sentence content review comment message utterance tweet document article body"
        " description question query input inputs title"
        " prompt text_a text1 sentence1 premise 文本 内容 句子 评论 正文 文章 问题 输入 标题",
        "label": "label_text label_name label labels gold_label class category intent sentiment emotion topic rating stars"
        " score similarity similarity_score is_duplicate target y tags genre genres topics"
        " 标签 类别 分类 意图 情感 评分 分数 相似度 标注",
    },
    "token_cls": {
        "words": "tokens words token word text sentence 词语 词 单词 分词 字 文本 句子",
        # Entities before parts of speech, which tables of both also have.
        "tags": "tags ner_tags ner tag labels label entity entities ner_tag pos_tags upos pos xpos chunk_tags 标签 标注 实体 词性",
        "sentence": "sentence_# sentence_id sentence_no sentence_number sentence_idx sent_id sent_no sentence_index sentid sent"
        " sentence 句子编号 句子序号 句子id 句子",
    },
}
# Names of conversations that may be something else: their content decides.
VAGUE = frozenset(("dialogue", "dialog", "contents", "turns", "chat", "chats", "dialogs", "data"))
# Columns of two texts that belong together.
PAIRS = (
    ("sentence1", "sentence2"), ("sentence_1", "sentence_2"), ("sentence_a", "sentence_b"), ("premise", "hypothesis"),
    ("question1", "question2"), ("text", "text_pair"), ("text_a", "text_b"), ("text1", "text2"), ("text_1", "text_2"),
    ("question", "sentence"), ("question", "answer"), ("query", "passage"), ("query", "document"),
    ("句子1", "句子2"), ("文本1", "文本2"),
    ("问题1", "问题2"), ("前提", "假设"), ("文本", "文本对"),
)  # fmt: skip

# Columns that hold a class and nothing else: beside a text they make a classification, whatever the model is.
_CLASSES = "label labels label_text label_name gold_label class category intent sentiment emotion is_duplicate"
_CHINESE_CLASSES = "标签 类别 分类 意图 情感 标注"
CLASSES = frozenset((*_CLASSES.split(), *_CHINESE_CLASSES.split()))

# Columns and keys that mean something elsewhere and are not used here, by the warning that says so.
UNUSED: Mapping[str, frozenset[str]] = {
    "W225": frozenset(["images", "image", "videos", "video", "audios", "audio", "image_path", "image_url"]),
    "W242": frozenset(["choices", "options", "endings", "candidates", "选项"]),
    "W226": frozenset(
        [
            "weight",
            "weights",
            "sample_weight",
            "loss_weight",
            "loss_scale",
            "loss_mask",
            "train",
            "trainable",
            "should_train",
        ]
    ),
}


def normal(column: str) -> str:
    """A name of a column to be compared: without case, "_" for blanks and hyphens."""
    return re.sub(r"[\s-]+", "_", column.strip().casefold())


# A single letter may be a cell as well.
_ROLE_NAMES = frozenset(
    name for roles in SPELLINGS_OF.values() for names in roles.values() for name in names.split() if len(name) > 1
)


def is_role_name(name: str) -> bool:
    """Whether a name is that of a column, such as prompt, text or label."""
    return normal(name) in _ROLE_NAMES - VAGUE


def are_names(cells: Sequence[Any]) -> bool:
    """Whether these cells are the names of columns: texts that differ, at least two of them names of roles."""
    if not all(isinstance(cell, str) for cell in cells) or len(set(cells)) < len(cells):
        return False
    return sum(normal(cell) in _ROLE_NAMES for cell in cells) > 1
