"""How fast are answers written? `python benchmarks/quickstart/writing.py [ALPACA_FILE]`: transformers' `generate` beside ours.

Same prompts, greedy, alternating, with as many threads as OMP_NUM_THREADS says (all cores without it); run it on an
idle machine. Answers are those of the base model to the demo's held-out rows, and with ALPACA_FILE (a JSON
list with `instruction` and `input`) to its first rows. Results, with the number of answers that differ, go to writing.json.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from tunewright import api
from tunewright.data import demo_data
from tunewright.data.examples.formats import Message
from tunewright.data.tokenized.tokenization import prompt_ids
from tunewright.data.tokenized.tokenizer import TextTokenizer, load_tokenizer
from tunewright.engine.evaluation import generation
from tunewright.inspection.machine_info import processor
from tunewright.launch.resolve_model import resolve_model
from tunewright.reporting import SILENT

# The rows of a batch of `generate`, as they were before answers were written in parts.
GENERATED_AT_ONCE = 64
RESULTS = Path(__file__).parent / "writing.json"
ROUNDS = 1
ALPACA_ROWS = 40
Prompts = list[list[int]]
Write = Callable[[Prompts, int], list[list[int]]]


@torch.inference_mode()
def main(files: Sequence[str]) -> None:
    folder, _tensors = resolve_model("smollm2", None, offline=True, reporter=SILENT)
    tokenizer = load_tokenizer(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval().requires_grad_(False)
    sets = {"demo": ([_turns(row) for row in demo_data.generate("held_out", 120, 42)], 48)}
    for file in files:
        rows = json.loads(Path(file).read_text())[:ALPACA_ROWS]
        sets[Path(file).stem] = ([[Message("user", f"{r['instruction']}\n{r['input']}".strip())] for r in rows], 128)
    ways: dict[str, Write] = {"generate": _plain(model, tokenizer), "ours": _ours(model, tokenizer)}
    results = []
    for name, (turns, longest) in sets.items():
        prompts = [prompt_ids(messages, tokenizer) for messages in turns]
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        answers: dict[str, list[list[int]]] = {}
        for _round in range(ROUNDS):
            for way, write in ways.items():
                started = time.perf_counter()
                answers[way] = write(prompts, longest)
                seconds[way].append(round(time.perf_counter() - started, 2))
        tokens = sum(map(len, answers["generate"]))
        rate = {way: round(tokens / min(taken), 1) for way, taken in seconds.items()}
        differ = sum(a != b for a, b in zip(answers["generate"], answers["ours"], strict=True))
        read = sum(map(len, prompts))
        row = {
            "rows": name,
            "prompts": len(prompts),
            "prompt_tokens": read,
            "max_new_tokens": longest,
            "tokens": tokens,
        }
        results.append({**row, "seconds": seconds, "tokens_per_second": rate, "differ": differ})
        print(json.dumps(results[-1]), flush=True)
    machine = {
        "date": str(date.today()),
        "processor": processor(),
        **api.environment(),
        "threads": torch.get_num_threads(),
    }
    RESULTS.write_text(json.dumps({**machine, "writing": results}, indent=1) + "\n")


def _turns(row: demo_data.DemoRow) -> list[Message]:
    turns: list[dict[str, str]] = demo_data.as_messages(row)["messages"][:-1]  # type: ignore[index, assignment]
    return [Message(turn["role"], turn["content"]) for turn in turns]


def _ours(model: PreTrainedModel, tokenizer: TextTokenizer) -> Write:
    def write(prompts: Prompts, longest: int) -> list[list[int]]:
        return [list(a.ids) for a in generation.generate(model, prompts, tokenizer, max_new_tokens=longest)]

    return write


def _plain(model: PreTrainedModel, tokenizer: TextTokenizer) -> Write:
    """`generate` alone, as answers were written before: in batches of 64 rows, the longest prompts first."""
    ends = tokenizer.end_ids

    def write(prompts: Prompts, longest: int) -> list[list[int]]:
        settings = generation.generation_config(model, tokenizer, longest, do_sample=False)
        order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
        answers: dict[int, list[int]] = {}
        for start in range(0, len(order), GENERATED_AT_ONCE):
            group = order[start : start + GENERATED_AT_ONCE]
            batch = generation.prompt_batch(model, [prompts[i] for i in group], ends[0])
            with generation.contiguous_head(model):
                output = model.generate(**batch.inputs, generation_config=settings)
            rows = output[:, batch.start_of_answer :].tolist()
            answers |= {i: generation.before_end(row, ends) for i, row in zip(group, rows, strict=True)}
        return [answers[i] for i in range(len(prompts))]

    return write


if __name__ == "__main__":
    main(sys.argv[1:])
