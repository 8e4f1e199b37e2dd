"""Rows as data sets are published and as tools write them: other spellings of turns, rankings, exports, question answering."""

import json
from typing import Any

from tests.shapes.conversations import ANSWER, CALL, HERMES, TOOL, USER, WRITTEN, lines
from tests.shapes.json_forms import COLUMNS, LEARNED, ROWS
from tests.shapes.shape import Content, Shape

TURNS, RANKED, ASKED, TABLES = "Turns as published", "Rankings", "Question answering", "Files of tools"
ASK, YES, NO = "Is it?", "Yes.", "No."
SPLITS = {"train": ROWS[:2], "test": ROWS[2:]}
CLASSED = (("a good lamp", "good"), ("a bad vase", "bad"), ("a fine cup", "good"), ("a poor bell", "bad"))
GOOD_BAD = tuple(label for _text, label in CLASSED)
FEW = {"warns": ("W217",)}  # one of the two rows of a class is held out


def row_shape(name: str, what: str, row: Any, *learned: str, group: str = TURNS, **more: Any) -> Shape:
    return Shape(name, group, "a.jsonl", lines(*(row if isinstance(row, list) else [row])), what, learned, **more)


def file(name: str, path: str, content: Content, what: str, *learned: str, **more: Any) -> Shape:
    return Shape(name, TABLES, path, content, what, learned, **more)


def spoken(user: str, assistant: str, text: str) -> list[dict[str, str]]:
    return [{user: "user", text: ASK}, {assistant: "assistant", text: YES}]


def gemini(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "parts": [{"text": ASK}]}, {"role": "model", "parts": list(parts)}]


def task(text: str, *choices: list[str]) -> dict[str, Any]:
    results = [
        {"result": [{"from_name": "mood", "type": "choices", "value": {"choices": choice}}]} for choice in choices
    ]
    return {"id": 1, "data": {"text": text}, "annotations": results}


OF_TURNS = (
    row_shape("human-assistant-columns", "columns called human and assistant", {"human": ASK, "assistant": YES}, YES),
    row_shape("user-assistant-columns", "columns called user and assistant", {"user": ASK, "assistant": YES}, YES),
    row_shape("ultrachat", "texts in turn under data (UltraChat)", {"id": "0", "data": [ASK, YES, "And?", NO]}, f"{YES}<|im_end|>{NO}",
        warns=("W241",)),
    row_shape("texts-as-messages", "texts in turn under messages", {"messages": [ASK, YES]}, YES, warns=("W241",)),
    row_shape("pairs-as-conversation", "pairs of texts (Baize)", {"conversations": [[ASK, YES], ["And?", NO]]}, f"{YES}<|im_end|>{NO}",
        warns=("W241",)),
    row_shape("data-that-is-no-conversation", "data beside prompt and answer is not used",
        {"prompt": ASK, "completion": YES, "data": ["x", "y"]}, YES),
    row_shape("pairs-with-speakers", "pairs of speaker and text", {"messages": [["user", ASK], ["assistant", YES]]}, YES),
    row_shape("speakers-as-keys", "an object with both sides (Firefly)", {"conversation": [{"human": ASK, "assistant": YES}]}, YES),
    row_shape("speakers-as-keys-in-turn", "an object for each side", {"messages": [{"system": "S"}, {"user": ASK}, {"assistant": YES}]}, YES),
    row_shape("question-answer-turns", "an object with question and answer (COIG)", {"conversations": [{"question": ASK, "answer": YES}]}, YES),
    row_shape("gemini", "Gemini's contents and parts", {"contents": gemini({"text": YES})}, YES),
    row_shape("gemini-system", "with its instruction to the system",
        {"systemInstruction": {"role": "system", "parts": [{"text": "S"}]}, "contents": gemini({"text": YES})}, YES),
    row_shape("gemini-thought", "a part that is a thought", {"contents": gemini({"text": "Hm.", "thought": True}, {"text": YES})},
        f"<think>\nHm.\n</think>\n\n{YES}", settings=HERMES, warns=("W223",)),
    row_shape("gemini-call", "a call in a part is refused by name", {"contents": gemini({"functionCall": {"name": "f"}})}, code="E206"),
    row_shape("bedrock", "Bedrock's parts", {"system": [{"text": "S"}], "messages": [
        {"role": "user", "content": [{"text": ASK}]}, {"role": "assistant", "content": [{"text": YES}]}]}, YES),
    row_shape("vertex-author", "author and content", {"messages": spoken("author", "author", "content")}, YES),
    row_shape("capital-role-content", "keys in capitals", {"messages": spoken("Role", "Role", "Content")}, YES),
    row_shape("capital-from-value", "ShareGPT's keys in capitals",
        {"conversations": [{"From": "human", "Value": ASK}, {"From": "gpt", "Value": YES}]}, YES),
    Shape("capital-list-of-turns", TURNS, "a.json", json.dumps(spoken("Role", "Role", "Content")), "one conversation with such keys", (YES,)),
    Shape("capital-one-conversation", TURNS, "a.json", json.dumps({"messages": spoken("Role", "Role", "Content")}), "inside an object", (YES,)),
    row_shape("refusal-key", "OpenAI's refusal beside an empty content",
        {"messages": [USER, {"role": "assistant", "content": None, "refusal": "I cannot."}]}, "I cannot."),
    row_shape("refusal-null", "no refusal", {"messages": [USER, {**ANSWER, "refusal": None}]}, "Yes, 2."),
    row_shape("refusal-part", "a part that is a refusal",
        {"messages": [USER, {"role": "assistant", "content": [{"type": "refusal", "refusal": "I cannot."}]}]}, "I cannot."),
    row_shape("tools-by-name", "tools under their names",
        {"messages": [USER, {"role": "assistant", "tool_calls": [CALL]}],
         "tools": {"stock": {"description": "d", "parameters": {"type": "object", "properties": {}}}, "pay": {"type": "object"}}},
        WRITTEN, settings=HERMES),
    row_shape("tools-of-gemini", "functionDeclarations",
        {"messages": [USER, {"role": "assistant", "tool_calls": [CALL]}], "tools": [{"functionDeclarations": [TOOL["function"]]}]},
        WRITTEN, settings=HERMES),
    Shape("rows-are-turns", TURNS, "a.csv", "conversation_id,role,content\n1,user,Is it?\n1,assistant,Yes.\n", "a row for each turn",
          code="E251", learned=(ASK, YES), fix="--map text=content"),
    row_shape("rows-are-turns-of-trees", "messages of OASST", [
        {"text": ASK, "role": "prompter", "parent_id": None}, {"text": YES, "role": "assistant", "parent_id": "1"}],
        ASK, YES, code="E251", fix="--map text=text"),
    row_shape("turns-inside", "a request as it was sent", {"custom_id": "1", "method": "POST", "body": {"messages": [USER, ANSWER]}},
        "Yes, 2.", code="E211", fix="--map messages=body.messages"),
)  # fmt: skip

PKU = {"prompt": ASK, "response_0": YES, "response_1": NO, "is_response_0_safe": True}
ARENA = {"conversation_a": [USER, ANSWER], "conversation_b": [USER, {**ANSWER, "content": NO}]}
SCORED = [{"response": NO, "overall_score": 2.0}, {"response": YES, "overall_score": 8.5}]
OF_RANKS = (
    row_shape("pku-saferlhf", "two responses and the better one's number", {**PKU, "better_response_id": 0}, YES, group=RANKED,
        code="E252", fix="--map prompt=prompt --map completion=response_0"),
    row_shape("arena", "two conversations and a winner", {**ARENA, "winner": "model_b"}, "Yes, 2.", group=RANKED,
        code="E252", fix="--map messages=conversation_a"),
    row_shape("shp", "a choice that names neither", {"history": ASK, "human_ref_A": YES, "human_ref_B": NO, "labels": 0}, group=RANKED,
        code="E252"),
    row_shape("webgpt", "a score for each", {"question": ASK, "answer_0": YES, "answer_1": NO, "score_0": 1.0, "score_1": -1.0}, YES, group=RANKED,
        code="E252", fix="--map prompt=question --map completion=answer_0"),
    row_shape("two-answers-without-a-choice", "two answers of which none is called better", {"prompt": ASK, "response_a": YES, "response_b": NO},
        YES, group=RANKED, code="E211", fix="--map prompt=prompt --map completion=response_a"),
    row_shape("llama-factory-ranking", "a good and a bad output", {"instruction": ASK, "input": "", "output": [YES, NO]}, '["Yes.", "No."]',
        group=RANKED, code="E253", fix="--map prompt=instruction --map completion=output", warns=("W238",)),
    row_shape("llama-factory-lists", "outputs of unlike length are lists", [
        {"instruction": ASK, "output": ["a", "b"]}, {"instruction": "Which?", "output": ["c"]}], '["a", "b"]', '["c"]', group=RANKED,
        warns=("W238",)),
    row_shape("ultrafeedback", "answers with scores", {"instruction": ASK, "completions": SCORED}, group=RANKED, code="E253"),
    row_shape("nectar", "answers with ranks", {"prompt": ASK, "answers": [{"answer": YES, "rank": 1}, {"answer": NO, "rank": 2}]},
        group=RANKED, code="E253"),
    row_shape("chosen-in-a-list", "a better answer in a list of its own", {"prompt": ASK, "chosen": [YES], "rejected": [NO]},
        group=RANKED, code="E233"),
    row_shape("scores-not-used", "a reward beside an answer is not used", {"prompt": ASK, "completion": YES, "reward": -1, "score": 0.5}, YES,
        group=RANKED),
)  # fmt: skip

SPAN = {"text": ["brass"], "answer_start": [15]}
LAMP = {"title": "Lamp", "context": "The lamp is of brass.", "question": "Of what is it?"}
SQUAD = {"version": "1.1", "data": [{"title": "Lamp", "paragraphs": [{"context": LAMP["context"], "qas": [
    {"id": "1", "question": LAMP["question"], "answers": [{"text": "brass", "answer_start": 15}]},
    {"id": "2", "question": "And who?", "answers": [{"text": "it", "answer_start": 4}]}]}]}]}  # fmt: skip
OF_QUESTIONS = (
    row_shape("squad-flat", "the context comes after the question", {**LAMP, "answers": SPAN}, "brass", group=ASKED),
    Shape("squad-csv", ASKED, "a.csv", "context,question,answers\nThe lamp is of brass.,Of what?,\"{'text': ['brass'], 'answer_start': "
          "[15]}\"\nIt is red.,What?,\"{'text': array(['red'], dtype=object), 'answer_start': array([6], dtype=int32)}\"\n",
          "answers as pandas writes them to csv", ("brass", "red")),
    row_shape("squad-several", "of several answers the first", {**LAMP, "answers": {"text": ["brass", "of brass"], "answer_start": [15, 12]}},
        "brass", group=ASKED, warns=("W245",)),
    row_shape("squad-unanswerable", "a question without an answer", [
        *({**LAMP, "question": f"Of what {n}?", "answers": SPAN} for n in range(3)), {**LAMP, "answers": {"text": [], "answer_start": []}}],
        "brass", "brass", "brass", group=ASKED, left_out=1, code="E203", fix="--skip-bad", settings={"data.max_bad": 1}),
    Shape("squad-file", ASKED, "a.json", json.dumps(SQUAD), "articles, paragraphs, questions, as SQuAD's own files", ("brass", "it")),
    row_shape("dialogue-as-text", "a dialogue that is a text is not a list of turns", {"dialogue": "A: hi B: yo", "summary": "They greet."},
        "They greet.", group=ASKED, code="E211", fix="--map prompt=dialogue --map completion=summary"),
    row_shape("boolq", "a passage is shown with the question", [
        {"question": "is it", "passage": "It is.", "answer": True}, {"question": "is it not", "passage": "It is.", "answer": False}],
        "true", "false", group=ASKED),
    row_shape("mmlu", "choices that the prompt does not show", {"question": ASK, "choices": [YES, NO], "answer": 0}, "0", group=ASKED,
        warns=("W242",)),
    row_shape("arc", "an answer under another name", {"id": "x", "question": ASK, "choices": {"text": [YES, NO]}, "answerKey": "A"}, "A",
        group=ASKED, code="E211", fix="--map prompt=question --map completion=answerKey", warns=("W242",)),
    row_shape("drop", "a question is never proposed as an answer", {"passage": "3.", "question": ASK, "spans": {"spans": ["3"]}},
        '{"spans": ["3"]}', group=ASKED, code="E211", fix="--map prompt=question --map completion=spans", warns=("W238",)),
    row_shape("inputs-targets", "inputs and targets (Aya, xP3)", {"inputs": ASK, "targets": YES}, YES, group=ASKED),
)  # fmt: skip

OF_FILES = (
    file("json-dataset-train", "a.json", json.dumps({"dataset": {"train": ROWS}}), "a list for each split inside an object", *LEARNED),
    file("json-dataset-train-test", "a.json", json.dumps({"version": 1, "dataset": SPLITS}), "beside a version: test is not used",
         *LEARNED[:2], warns=("W231",)),
    file("json-data-train-dev", "a.json", json.dumps({"data": {"train": ROWS[:2], "dev": ROWS[2:]}}), "under data: dev is held out",
         *LEARNED, held_out=2, warns=("W240",)),
    file("json-dataset-split-asked", "a.json", json.dumps({"dataset": SPLITS}), "a split that is set", *LEARNED[2:],
         settings={"data.split": "test", "data.holdout": 0}, warns=("W231",)),
    file("json-dataset-tables", "a.json", json.dumps({"dataset": {"train": COLUMNS, "test": {key: ["x"] for key in COLUMNS}}}),
         "tables by column inside an object", *LEARNED, warns=("W231",)),
    file("ndjson", "a.ndjson", lines(*ROWS), "an object on each line", *LEARNED),
    file("ndjson-in-a-folder", "data", {"train.ndjson": lines(*ROWS)}, "in a folder", *LEARNED),
    file("label-studio", "a.json", json.dumps([task(text, [label]) for text, label in CLASSED]), "Label Studio's choices", *GOOD_BAD, **FEW),
    file("label-studio-lines", "a.jsonl", lines(*(task(text, [label]) for text, label in CLASSED)), "a task on each line", *GOOD_BAD,
         **FEW),
    file("label-studio-disagreement", "a.json", json.dumps([
        *(task(text, [label]) for text, label in CLASSED), task("a plain lid", ["good"], ["bad"])]),
        "each class that people gave is a row", *GOOD_BAD, "good", "bad", warns=("W212",)),
    file("label-studio-undone", "a.json", json.dumps([*(task(text, [label]) for text, label in CLASSED), task("a lid")]),
         "a task without annotation has no label", *GOOD_BAD, code="E207", fix="--skip-bad", left_out=1,
         settings={"data.max_bad": 1}, **FEW),
    file("label-studio-spans", "a.json", json.dumps([{"data": {"text": "Ann sleeps"}, "annotations": [
        {"result": [{"value": {"start": 0, "end": 3, "labels": ["PER"]}}]}]}]), "other labels are refused by name", code="E254"),
    file("prodigy", "a.jsonl", lines(*({"text": text, "label": "good", "answer": "accept" if label == "good" else "reject"}
         for text, label in CLASSED)), "accept and reject are not answers", "accept", "reject", "accept", "reject", code="E255",
         fix="--task seq_cls --map text=text --map label=answer", **FEW),
    file("alpaca-nan-text", "a.csv", "instruction,input,output\nSay a,nan,a\nSay b,NaN,b\nSay c,x,c\n", "nan as input is none",
         *"abc", warns=("W243",)),
    file("alpaca-nan-number", "a.jsonl", '{"instruction": "Say a", "input": NaN, "output": "a"}\n', "so is the number", "a"),
    file("history-nan", "a.csv", "instruction,output,history\nq,a,nan\nr,b,[]\n", "nan as history is none", "a", "b", warns=("W243",)),
    file("alpaca-noinput", "a.jsonl", lines({"instruction": "Say a", "input": "<noinput>", "output": "a"}), "and Alpaca's own word", "a",
         warns=("W243",)),
    file("nan-as-answer", "a.csv", "prompt,completion\nq,a\nr,nan\n", "nan as answer is trained on, with a warning", "a", "nan", warns=("W244",)),
    file("csv-joined-headers-other-case", "a.csv", "prompt,completion\nq,a\nPrompt,Completion\nr,b\n", "a header again in another case",
         "a", "b", left_out=1, code="E242", fix="--skip-bad", settings={"data.max_bad": 1}),
    file("jsonl-joined-names", "a.jsonl", lines(["question", "answer"], ["q", "a"], ["question", "answer"], ["r", "b"]),
         "a list of names again", "a", "b", left_out=1, code="E242", fix="--skip-bad", settings={"data.max_bad": 1}),
)  # fmt: skip
SHAPES: tuple[Shape, ...] = (*OF_TURNS, *OF_RANKS, *OF_QUESTIONS, *OF_FILES)
