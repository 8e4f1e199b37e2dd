"""Conversations: turns with calls of tools, thinking, switches, in every order; and rows of preferences."""

import json
from typing import Any

from tests.shapes.shape import Shape

GROUP = "Conversations"
Row = dict[str, Any]
USER, ANSWER = {"role": "user", "content": "Is the lamp here?"}, {"role": "assistant", "content": "Yes, 2."}
AGAIN, LAST = {"role": "user", "content": "And the vase?"}, {"role": "assistant", "content": "No."}
SYSTEM = {"role": "system", "content": "You run a shop."}
TOOL = {"type": "function", "function": {"name": "stock", "parameters": {"type": "object", "properties": {}}}}
CALL = {"id": "c0", "type": "function", "function": {"name": "stock", "arguments": {"item": "lamp"}}}
TEXT_CALL = {**CALL, "function": {"name": "stock", "arguments": '{"item": "lamp"}'}}
RESULT = {"role": "tool", "tool_call_id": "c0", "content": "2"}
WRITTEN = '<tool_call>\n{"name": "stock", "arguments": {"item": "lamp"}}\n</tool_call>'
THOUGHT = "<think>\nI count two.\n</think>\n\n"
HERMES = {"model.chat_template": "hermes"}


def lines(*rows: Row) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def chat(name: str, what: str, turns: list[Row], *learned: str, beside: Row | None = None, **options: Any) -> Shape:
    content = lines(*({"messages": row, **(beside or {})} for row in (turns, *options.pop("more", []))))
    return Shape(name, options.pop("group", GROUP), "a.jsonl", content, what, learned, **options)


def calling(first: Row) -> list[Row]:
    return [USER, first, RESULT, ANSWER]


PLAIN = (
    chat("openai-messages", "role and content", [USER, ANSWER, AGAIN, LAST], "Yes, 2.<|im_end|>No."),
    chat("openai-system", "a system turn first", [SYSTEM, USER, ANSWER], "Yes, 2."),
    chat("openai-developer", "a developer turn is the system's", [{**SYSTEM, "role": "developer"}, USER, ANSWER], "Yes, 2."),
    chat("content-parts", "content as a list of text parts", [
        {"role": "user", "content": [{"type": "text", "text": "Is the lamp "}, {"type": "text", "text": "here?"}]}, ANSWER,
    ], "Yes, 2."),
    Shape("sharegpt", GROUP, "a.jsonl", lines({"conversations": [
        {"from": "human", "value": "Is it?"}, {"from": "gpt", "value": "Yes."}], "system": "Be brief."}),
        "from and value, a system column", ("Yes.",)),
    Shape("messages-in-a-csv-cell", GROUP, "a.csv", 'messages\n"' + json.dumps([USER, ANSWER]).replace('"', '""') + '"\n',
          "a conversation as JSON text in a cell", ("Yes, 2.",)),
    Shape("prompt-completion-turns", GROUP, "a.jsonl", lines({
        "prompt": [USER, {"role": "assistant", "content": "FEWSHOT"}, AGAIN], "completion": [LAST]}),
        "a prompt of turns: only the completion is in the loss", ("No.",)),
    Shape("completion-one-turn", GROUP, "a.jsonl", lines({"prompt": [USER], "completion": ANSWER}),
          "a completion that is one turn, not a list", ("Yes, 2.",)),
    Shape("messages-by-key", GROUP, "a.jsonl", lines({"messages": {"role": ["user", "assistant"], "content": ["Is it?", "Yes."]}}),
          "a list of speakers beside a list of what they say", ("Yes.",)),
    Shape("messages-of-numpy", GROUP, "a.csv", "id,messages\n1,\"[{'role': 'user', 'content': 'Is } {it?'}\n {'role': 'assistant', "
          "'content': 'Yes.'}]\"\n", "an array of turns as pandas writes it to csv", ("Yes.",)),
    Shape("history-of-turns", GROUP, "a.json", json.dumps([{"instruction": "And?", "output": "No.", "history": [
          {"role": "user", "content": "Is it?"}, {"role": "assistant", "content": "Yes."}]}]), "earlier turns with their speakers",
          ("Yes.<|im_end|>No.",)),
    chat("system-null", "a system turn that says nothing", [{"role": "system", "content": None}, USER, ANSWER], "Yes, 2."),
    chat("systems", "several system turns", [SYSTEM, {**SYSTEM, "content": "Be brief."}, USER, ANSWER], "Yes, 2."),
    chat("parts-of-responses", "parts as OpenAI's responses have them, and plain texts", [
        {"role": "user", "content": [{"type": "input_text", "text": "Is it?"}]},
        {"role": "assistant", "content": [{"type": "output_text", "text": "Yes, "}, "2."]}], "Yes, 2."),
    chat("keys-mixed", "role with value, from with content, role with text", [
        {"role": "prompter", "value": "Is it?"}, {"from": "gpt", "content": "Yes."}, {"role": "user", "text": "And?"},
        {"speaker": "assistant", "text": "No."}], "Yes.<|im_end|>No."),
    chat("keys-filled-with-null", "keys of two forms in one table", [
        {"role": "user", "content": "Is it?", "from": None, "value": None},
        {"role": None, "content": None, "from": "gpt", "value": "Yes."}], "Yes."),
    Shape("alpaca-only-input", GROUP, "a.jsonl", lines({"instruction": "", "input": "Is it?", "output": "Yes."},
          {"instruction": "Say it.", "input": None, "output": "It."}), "the request is only in the input", ("Yes.", "It.")),
    Shape("alpaca-history", GROUP, "a.json", json.dumps([{"instruction": "And?", "input": "", "output": "No.",
          "history": [["Is it?", "Yes."]]}]), "earlier turns in a history column are in the loss too", ("Yes.<|im_end|>No.",)),
)  # fmt: skip
ORDERS = (
    chat("two-users-in-a-row", "passed to the template as it is", [USER, AGAIN, LAST], "No."),
    chat("two-assistants-in-a-row", "both are in the loss", [USER, ANSWER, LAST], "Yes, 2.<|im_end|>No."),
    chat("assistant-first", "its first turn has no prompt but the template's own beginning", [ANSWER, AGAIN, LAST],
         "Yes, 2.<|im_end|>No."),
    chat("assistant-alone", "one turn, the assistant's", [ANSWER], "Yes, 2."),
    chat("ends-with-user", "what follows the last answer is cut, counted", [USER, ANSWER, AGAIN], "Yes, 2."),
    chat("ends-with-tool", "as above", [USER, ANSWER, {"role": "tool", "content": "2"}], "Yes, 2."),
    chat("system-in-the-middle", "passed to the template as it is", [USER, ANSWER, SYSTEM, AGAIN, LAST], "Yes, 2.<|im_end|>No."),
    chat("user-behind-tool", "passed to the template as it is", [USER, ANSWER, RESULT, AGAIN, LAST], "Yes, 2.<|im_end|>No."),
    chat("joined", "`data.turns=join`: neighbours are one turn", [USER, AGAIN, ANSWER, LAST], "Yes, 2.\n\nNo.",
         settings={"data.turns": "join"}),
    chat("roles-must-alternate", "a template that refuses neighbours", [USER, AGAIN, LAST], "No.<end_of_turn>",
         template="gemma", code="E219", fix="make one turn of neighbours, and put system turns into the next user turn: "
         "--set data.turns=join"),
    chat("no-system-role", "a template that refuses a system turn", [SYSTEM, USER, ANSWER], "Yes, 2.<end_of_turn>",
         template="gemma", code="E219", fix="make one turn of neighbours, and put system turns into the next user turn: "
         "--set data.turns=join"),
    chat("no-assistant", "nothing to learn", [USER, AGAIN], code="E208"),
    chat("unknown-speaker", "a role that is none", [USER, {"role": "narrator", "content": "x"}, ANSWER], code="E208"),
)  # fmt: skip
SWITCHES = (
    chat("weight-0", "OpenAI's weight", [USER, {**ANSWER, "weight": 0}, AGAIN, {**LAST, "weight": 1}], "No."),
    chat("train-false", "Axolotl's train", [USER, {**ANSWER, "train": False}, AGAIN, LAST], "No."),
    chat("loss-false", "ms-swift's loss", [USER, {**ANSWER, "loss": False}, AGAIN, {**LAST, "loss": True}], "No."),
    chat("mask-true", "mask: true is not in the loss", [USER, {**ANSWER, "mask": True}, AGAIN, LAST], "No."),
    chat("weight-as-text", "the same as text", [USER, {**ANSWER, "weight": "0"}, AGAIN, LAST], "No."),
    chat("last-switched-off", "what follows the last answer in the loss is cut", [USER, ANSWER, AGAIN, {**LAST, "weight": 0}],
         "Yes, 2."),
    chat("all-switched-off", "no turn to learn", [USER, {**ANSWER, "weight": 0}], code="E232"),
    chat("weight-half", "a weight between is refused by name", [USER, {**ANSWER, "weight": 0.5}], code="E206"),
    chat("last-answer", "`data.train_on=last_answer`", [USER, ANSWER, AGAIN, LAST], "No.",
         settings={"data.train_on": "last_answer"}),
    chat("loss_scale", "loss_scale: 0 is not in the loss", [USER, {**ANSWER, "loss_scale": 0.0}, AGAIN, {**LAST, "loss_scale": 1.0}], "No."),
    chat("loss_mask", "loss_mask: 0 is not in the loss", [USER, {**ANSWER, "loss_mask": 0}, AGAIN, {**LAST, "loss_mask": 1}], "No."),
    chat("ignore", "ignore: true is not in the loss", [USER, {**ANSWER, "ignore": True}, AGAIN, LAST], "No."),
    chat("weight-of-a-user", "switches of other turns change nothing", [{**USER, "weight": 0}, ANSWER, AGAIN, LAST],
         "Yes, 2.<|im_end|>No."),
    chat("switch-of-a-row", "a switch of a whole row is not used, with a warning", [USER, ANSWER], "Yes, 2.",
         beside={"train": False}, warns=("W226",)),
    chat("unused-keys", "other keys of turns are counted and named", [{**USER, "emotion": "calm"}, ANSWER], "Yes, 2."),
)  # fmt: skip
CALLS = (
    chat("calls-beside-text", "tool_calls with a text", calling({**LAST, "content": "I look.", "tool_calls": [CALL]}),
         f"I look.\n{WRITTEN}<|im_end|>Yes, 2.", beside={"tools": [TOOL]}, settings=HERMES),
    chat("calls-content-null", "tool_calls, content null", calling({"role": "assistant", "content": None, "tool_calls": [CALL]}),
         f"{WRITTEN}<|im_end|>Yes, 2.", beside={"tools": [TOOL]}, settings=HERMES),
    chat("calls-content-empty", "content empty", calling({"role": "assistant", "content": "", "tool_calls": [CALL]}),
         f"{WRITTEN}<|im_end|>Yes, 2.", beside={"tools": [TOOL]}, settings=HERMES),
    chat("calls-no-content", "no content key", calling({"role": "assistant", "tool_calls": [CALL]}),
         f"{WRITTEN}<|im_end|>Yes, 2.", beside={"tools": [TOOL]}, settings=HERMES),
    chat("calls-text-arguments", "arguments as JSON text", calling({"role": "assistant", "tool_calls": [TEXT_CALL]}),
         f"{WRITTEN}<|im_end|>Yes, 2.", beside={"tools": [TOOL]}, settings=HERMES),
    chat("calls-last", "the call is the last turn", [USER, {"role": "assistant", "tool_calls": [CALL]}], WRITTEN,
         beside={"tools": [TOOL]}, settings=HERMES),
    chat("calls-two", "two calls at once", [USER, {"role": "assistant", "tool_calls": [CALL, CALL]}], f"{WRITTEN}\n{WRITTEN}",
         beside={"tools": [TOOL]}, settings=HERMES),
    chat("calls-as-text", "tool_calls and tools as JSON text", [
        USER, {"role": "assistant", "tool_calls": json.dumps([CALL])}], WRITTEN, beside={"tools": json.dumps([TOOL])},
        settings=HERMES),
    chat("function_call-key", "OpenAI's older function_call and functions", [
        USER, {"role": "assistant", "content": None, "function_call": {"name": "stock", "arguments": '{"item": "lamp"}'}},
        {"role": "function", "name": "stock", "content": "2"}, ANSWER,
    ], f"{WRITTEN}<|im_end|>Yes, 2.", beside={"functions": [TOOL["function"]]}, settings=HERMES),
    Shape("sharegpt-calls", GROUP, "a.jsonl", lines({"conversations": [
        {"from": "human", "value": "Is it?"},
        {"from": "function_call", "value": '{"name": "stock", "arguments": {"item": "lamp"}}'},
        {"from": "observation", "value": "2"}, {"from": "gpt", "value": "Yes."}], "tools": json.dumps([TOOL["function"]])}),
        "function_call and observation", (f"{WRITTEN}<|im_end|>Yes.",), settings=HERMES),
    Shape("sharegpt-calls-other-names", GROUP, "a.jsonl", lines({"conversations": [
        {"from": "human", "value": "Is it?"}, {"from": "function-call", "value": json.dumps(CALL["function"])},
        {"from": "tool_results", "value": "2"}, {"from": "gpt", "value": "Yes."}], "tools": json.dumps([TOOL["function"]])}),
        "the same under other names", (f"{WRITTEN}<|im_end|>Yes.",), settings=HERMES),
    Shape("sharegpt-calls-broken", GROUP, "a.jsonl", lines({"conversations": [
        {"from": "human", "value": "Is it?"}, {"from": "function_call", "value": '{"name": "stock", "arguments": {"item": lamp}}'},
        {"from": "observation", "value": "2"}, {"from": "gpt", "value": "Yes."}]}), "a call that is broken JSON is refused",
        code="E206", settings=HERMES),
    chat("tools-in-the-system-turn", "tools inside a turn", [{**SYSTEM, "tools": [TOOL]}, USER, ANSWER], "Yes, 2.",
         warns=("W221",)),
    chat("calls-unknown-to-the-template", "a template without tools", calling({"role": "assistant", "tool_calls": [CALL]}),
         f"{WRITTEN}<|im_end|>Yes, 2.", beside={"tools": [TOOL]}, code="E231",
         fix="write them in ChatML with tools: --set model.chat_template=hermes"),
    chat("tools-unknown-to-the-template", "tools that the template does not show, no calls", [USER, ANSWER], "Yes, 2.",
         beside={"tools": [TOOL]}, warns=("W221",)),
    *(chat(f"calls-in-{key}", f"calls under {key}", calling({**LAST, "content": "I look.", key: CALL}),
           f"I look.\n{WRITTEN}<|im_end|>Yes, 2.", beside={"tools": [TOOL]}, settings=HERMES)
      for key in ("tool_call", "toolCalls", "function_calls")),
    chat("calls-differ", "rows that differ only in their calls are not duplicates", [
        USER, {"role": "assistant", "tool_calls": [CALL]}], WRITTEN, WRITTEN.replace("lamp", "vase"), WRITTEN.replace("lamp", "cup"),
        beside={"tools": [TOOL]}, settings=HERMES, warns=("W212",),
        more=[[USER, {"role": "assistant", "tool_calls": [{**CALL, "function": {"name": "stock", "arguments": {"item": item}}}]}]
              for item in ("vase", "cup")]),
    chat("calls-no-arguments", "a call without arguments", [
        USER, {"role": "assistant", "tool_calls": [{"function": {"name": "stock", "arguments": ""}}]}],
        WRITTEN.replace('{"item": "lamp"}', "{}"), beside={"tools": [TOOL]}, settings=HERMES),
    *(chat(f"calls-{key}", f"arguments under the name {key}", calling({"role": "assistant", "tool_calls": [
        {"name": "stock", key: {"item": "lamp"}, "id": "c0", "type": "tool_call"}]}), f"{WRITTEN}<|im_end|>Yes, 2.", settings=HERMES)
      for key in ("parameters", "input", "args")),
    chat("calls-unknown-arguments", "arguments under another name are not lost", [
        USER, {"role": "assistant", "tool_calls": [{"name": "stock", "kwargs": {"item": "lamp"}}]}], code="E206", settings=HERMES),
    chat("calls-broken-arguments", "arguments that are broken JSON are refused", [
        USER, {"role": "assistant", "content": "I look.", "tool_calls": [{"function": {"name": "stock", "arguments": '{"item": lamp'}}]}],
        beside={"tools": [TOOL]}, code="E206", settings=HERMES),
    chat("result-object", "an object as the result of a tool", [
        USER, {"role": "assistant", "tool_calls": [CALL]}, {**RESULT, "content": {"n": 2}}, ANSWER], f"{WRITTEN}<|im_end|>Yes, 2.",
        beside={"tools": [TOOL]}, settings=HERMES),
    chat("result-null", "a tool that gives nothing back", [
        USER, {"role": "assistant", "tool_calls": [CALL]}, {**RESULT, "content": None}, ANSWER], f"{WRITTEN}<|im_end|>Yes, 2.",
        beside={"tools": [TOOL]}, settings=HERMES),
    chat("call-without-a-name", "refused by name", [USER, {"role": "assistant", "tool_calls": [{"id": "c"}]}], code="E206"),
    chat("tools-not-a-list", "refused by name", [USER, ANSWER], beside={"tools": 3}, code="E206"),
)  # fmt: skip
THINKING = (
    chat("think-tags", "thinking in the content", [USER, {**ANSWER, "content": f"{THOUGHT}Yes, 2."}], f"{THOUGHT}Yes, 2.",
         template="qwen3"),
    chat("reasoning_content", "thinking in a key", [USER, {**ANSWER, "reasoning_content": "I count two."}], f"{THOUGHT}Yes, 2.",
         template="qwen3"),
    chat("thinking-key", "the same, another name", [USER, {**ANSWER, "thinking": "I count two."}], f"{THOUGHT}Yes, 2.",
         template="qwen3"),
    chat("thinking-part", "a part of the content", [USER, {"role": "assistant", "content": [
        {"type": "thinking", "thinking": "I count two."}, {"type": "text", "text": "Yes, 2."}]}], f"{THOUGHT}Yes, 2.",
         template="qwen3"),
    chat("no-thinking", "the empty block is what the model has to write", [USER, ANSWER], "<think>\n\n</think>\n\nYes, 2.",
         template="qwen3"),
    chat("no-thinking-two-answers", "each after the prompt of its turn, in two texts", [USER, ANSWER, AGAIN, LAST],
         "<think>\n\n</think>\n\nYes, 2.", "<think>\n\n</think>\n\nNo.", template="qwen3"),
    chat("tag-mentioned", "an answer that mentions a tag", [USER, {**ANSWER, "content": "The tag </think> ends it."}],
         "<think>\n\n</think>\n\nThe tag </think> ends it.", template="qwen3"),
    chat("tag-mentioned-first", "also one that begins with it", [USER, {**ANSWER, "content": "<think> opens a thought."}],
         "<think>\n\n</think>\n\n<think> opens a thought.", template="qwen3"),
    chat("template-cuts-thinking", "a template that cuts it, and opens it in the prompt",
         [USER, {**ANSWER, "content": f"{THOUGHT}Yes, 2."}], "I count two.\n</think>\n\nYes, 2.", template="deepseek-r1",
         warns=("W223",)),
    chat("template-opens-thinking", "no thinking after a prompt that opens it", [USER, ANSWER], "\n</think>\n\nYes, 2.",
         template="deepseek-r1"),
    chat("template-knows-no-thinking", "a key that the template does not read", [
        USER, {**ANSWER, "reasoning_content": "I count two."}], f"{THOUGHT}Yes, 2.", warns=("W223",)),
    chat("thinking-masked", "`data.thinking=mask`", [USER, {**ANSWER, "content": f"{THOUGHT}Yes, 2."}], "Yes, 2.",
         template="qwen3", settings={"data.thinking": "mask"}),
    chat("thinking-dropped", "`data.thinking=drop`", [USER, {**ANSWER, "content": f"{THOUGHT}Yes, 2."}],
         "<think>\n\n</think>\n\nYes, 2.", template="qwen3", settings={"data.thinking": "drop"}),
    *(chat(f"thinking-{name}", what, [USER, {**ANSWER, "content": content}], code="E206", template="qwen3")
      for name, what, content in (("alone", "no answer after it", THOUGHT), ("cut", "thinking that has no end", "<think>\nI count"))),
    chat("thinking-differs", "rows that differ only in their thinking are not duplicates", [
        USER, {**ANSWER, "reasoning_content": "I count two."}], f"{THOUGHT}Yes, 2.", f"{THOUGHT}Yes, 2.".replace("two", "2"),
        "<think>\nI see.\n</think>\n\nYes, 2.", template="qwen3", warns=("W212",),
        more=[[USER, {**ANSWER, "reasoning_content": reason}] for reason in ("I count 2.", "I see.")]),
    *(Shape(f"thinking-column-{column}", GROUP, "a.jsonl", lines({"question": "Is it?", column: "I count two.", "response": "Yes, 2."}),
            "thinking in a column of its own", (f"{THOUGHT}Yes, 2.",), template="qwen3")
      for column in ("reasoning", "Complex_CoT", "思考")),
    Shape("thinking-column-of-lists", GROUP, "a.jsonl", lines({"question": "Is it?", "reasoning": ["x", "y"], "response": "Yes, 2."}),
          "a column of that name that holds no text is not used, and counted", ("Yes, 2.",)),
    Shape("thinking-column-and-tags", GROUP, "a.jsonl", lines({"question": "Is it?", "cot": "x", "response": f"{THOUGHT}Yes, 2."}),
          "thinking that is in the answer already", (f"{THOUGHT}Yes, 2.",), template="qwen3"),
    Shape("thinking-in-half", GROUP, "a.jsonl", lines(
        {"messages": [USER, ANSWER]}, {"messages": [AGAIN, {**LAST, "content": f"{THOUGHT}No."}]}),
        "reported with a count", ("Yes, 2.", f"{THOUGHT}No."), warns=("W222",)),
)  # fmt: skip
PREFERENCES = (
    Shape("dpo", "Preferences", "a.jsonl", lines({"prompt": "Is it?", "chosen": "Yes.", "rejected": "No."}),
          "a better and a worse answer", ("Yes.",), code="E233",
          fix="train on the better answers: --map prompt=prompt --map completion=chosen"),
    Shape("dpo-turns", "Preferences", "a.jsonl", lines({"chosen": [USER, ANSWER], "rejected": [USER, LAST]}),
          "the same as conversations", ("Yes, 2.",), code="E233", fix="train on the better answers: --map messages=chosen"),
    Shape("dpo-answers-as-turns", "Preferences", "a.jsonl", lines({"prompt": [USER], "chosen": [ANSWER], "rejected": [LAST]}),
          "prompt and answers as turns", ("Yes, 2.",), code="E233",
          fix="train on the better answers: --map prompt=prompt --map completion=chosen"),
    Shape("dpo-sharegpt", "Preferences", "a.jsonl", lines({"conversations": [{"from": "human", "value": "Is it?"}],
          "chosen": {"from": "gpt", "value": "Yes."}, "rejected": {"from": "gpt", "value": "No."}}),
          "LLaMA-Factory's form", ("Yes.",), code="E233",
          fix="train on the better answers: --map prompt=conversations --map completion=chosen"),
    Shape("dpo-rejected_response", "Preferences", "a.jsonl", lines({"messages": [USER, ANSWER], "rejected_response": "No."}),
          "ms-swift's form", ("Yes, 2.",), code="E233", fix="train on the better answers: --map messages=messages"),
    Shape("dpo-texts", "Preferences", "a.jsonl", lines({"chosen": "Human: Is it? Assistant: Yes.", "rejected": "Human: Is it?"}),
          "whole texts", ("Human: Is it? Assistant: Yes.",), code="E233", fix="train on the better answers: --map text=chosen"),
    Shape("kto", "Preferences", "a.jsonl", lines({"prompt": "Is it?", "completion": "Yes.", "label": True},
          {"prompt": "And?", "completion": "BAD", "label": False}), "an answer, and whether it is good", code="E234"),
    Shape("kto-tag", "Preferences", "a.jsonl", lines({"messages": [USER, ANSWER], "kto_tag": False}), "LLaMA-Factory's form",
          code="E234"),
    Shape("kto-numbers", "Preferences", "a.csv", "prompt,completion,label\nIs it?,Yes.,1\nAnd?,BAD,0\n", "1 and 0", code="E234"),
    *(Shape(f"kto-{column}-{good}", "Preferences", "a.jsonl", lines({"prompt": "Is it?", "completion": "Yes.", column: good},
            {"prompt": "And?", "completion": "BAD", column: bad}), f"{good} and {bad}", code="E234")
      for column, good, bad in (("label", "Good", "bad"), ("label", 1.0, 0.0), ("feedback", "positive", "negative"),
                                ("is_correct", True, False), ("thumbs", "up", "down"), ("标签", "好", "差"),
                                ("rating", 1, -1), ("chosen", 1, 0), ("quality", "good", "bad"), ("is_bad", False, True))),
    Shape("score-of-many", "Preferences", "a.jsonl", lines(*({"prompt": f"Is it {n}?", "completion": "Yes.", "score": n} for n in range(3))),
          "numbers that are more than good and bad", ("Yes.",) * 3, settings={"data.holdout": 0}),
    Shape("dpo-openai", "Preferences", "a.jsonl", lines({"input": {"messages": [USER], "tools": [TOOL]}, "preferred_output": [ANSWER],
          "non_preferred_output": [LAST]}), "OpenAI's form", ("Yes, 2.",), code="E233", warns=("W221",),
          fix="--map prompt=input.messages --map tools=input.tools --map completion=preferred_output"),
    Shape("dpo-response", "Preferences", "a.jsonl", lines({"question": "Is it?", "answer": "Yes.", "rejected": "No."}),
          "the better answer under a usual name", ("Yes.",), code="E233", fix="--map prompt=question --map completion=answer"),
    Shape("dpo-winner", "Preferences", "a.jsonl", lines({"prompt": "Is it?", "winner": "Yes.", "loser": "No."}),
          "other names", ("Yes.",), code="E233", fix="--map prompt=prompt --map completion=winner"),
    Shape("rejected-is-a-mark", "Preferences", "a.jsonl", lines({"prompt": "Is it?", "completion": "Yes.", "rejected": False}),
          "true and false are not answers", ("Yes.",)),
    Shape("kto-all-good", "Preferences", "a.jsonl", lines({"prompt": "Is it?", "completion": "Yes.", "label": True}),
          "none is bad: a column that is not used", ("Yes.",)),
)  # fmt: skip
PICTURES = (
    Shape("images-column", GROUP, "a.jsonl", lines({"prompt": "<image> What is it?", "completion": "A lamp.", "images": ["a.png"]}),
          "pictures are not read, and that is said", ("A lamp.",), warns=("W225",)),
    chat("image-part", "a picture inside a turn is refused by name", [
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}, ANSWER], code="E206"),
)  # fmt: skip
SHAPES: tuple[Shape, ...] = (*PLAIN, *ORDERS, *SWITCHES, *CALLS, *THINKING, *PREFERENCES, *PICTURES)
