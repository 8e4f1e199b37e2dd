"""Does the plan hold for runs that its constants were not set by? `python benchmarks/plan/fresh.py [NAME ...] [--only-missing]`

The runs of run.py are those by which the formula was made. These were chosen afterwards: other data (shared/data beside the
checkout: Alpaca in English and Chinese, intents), lengths, ranks, methods and shapes. The plan promises, then the run is made, and
nothing is fitted. What they showed mended the formula (LOG.md), and ten others judged it after that. Writes fresh-*.json for this
kind of processor and FRESH.md. Linux; run it on an idle machine; about an hour and a half.
"""

import argparse
import json
import re
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

from run import ALL, CHECKPOINTING, HERE, _dotted, batch, case, measure, table

SHARED = HERE.parents[2] / "shared/data"
EN, ZH, INTENTS = (str(SHARED / name) for name in ("alpaca_en_demo.json", "alpaca_zh_demo.json", "clinc20_train.jsonl"))

FEW_HELD_OUT = {"data__holdout": "0.02"}  # the answers to all rows of the Chinese data would take six minutes a run
# A row a step: the question is what so large a model holds.
SEVEN_BILLION = {"data.holdout": "0.004", "eval.rows": "0", "train.max_steps": "2", **batch(1)}


def on(data: str, model: str = "smollm2", method: str = "lora", **sets: str) -> dict[str, Any]:
    """A run on a file of the shared data."""
    return {**case(model, method, 1, **sets), "data": data}


def first_cases() -> dict[str, dict[str, Any]]:
    """Runs by name; three steps each unless they say otherwise."""
    few = FEW_HELD_OUT
    return {
        "english": on(EN),
        "english r=32, MLP alone": on(EN, peft__r="32", peft__target_modules="[gate_proj,up_proj,down_proj]"),
        "english to 256 tokens, 4 x 4 rows": on(
            EN, data__max_length="256", data__max_truncated="1", **_dotted(batch(4, 4))
        ),
        "english to 1,024 tokens, 8 rows": on(EN, data__max_length="1024", **_dotted(batch(8))),
        "english dora": on(EN, peft__use_dora="true", **_dotted(batch(4))),
        "english adalora": on(EN, method="adalora"),
        "english, 8 rows, checkpointing": on(EN, **_dotted(batch(8) | CHECKPOINTING)),
        "english 8 bit, 3 x 5 rows": on(EN, model__quantization="8bit", **_dotted(batch(3, 5))),
        "english mixed": on(EN, model__precision="mixed"),
        "english mixed, 8 rows, checkpointing": on(EN, model__precision="mixed", **_dotted(batch(8) | CHECKPOINTING)),
        "chinese": on(ZH, **few),
        "chinese r=128, all layers": on(ZH, **few, peft__r="128", peft__target_modules=ALL),
        "chinese p_tuning": on(ZH, method="p_tuning", **few, **_dotted(batch(2, 4))),
        "chinese padded, 6 rows": on(ZH, fast_paths__packing="false", **few, **_dotted(batch(6))),
        "chinese bf16": on(ZH, model__precision="bf16", **few, **_dotted(batch(2, 8))),
        "intents by smollm2": on(INTENTS, task="seq_cls"),
        "intents by minilm, 24 rows": on(INTENTS, "minilm", task="seq_cls", **_dotted(batch(24))),
        "intents by minilm, loha": on(INTENTS, "minilm", "loha", task="seq_cls"),
        "250M english": on(EN, "250M", **_dotted(batch(2, 2))),
        "0.8B chinese mixed": on(ZH, "0.8B", model__precision="mixed", **few, eval__rows="0", **_dotted(batch(2))),
        "360M english prefix_tuning": on(EN, "360M", "prefix_tuning", **few, eval__rows="0", **_dotted(batch(2))),
        "0.5B chinese 4 bit": on(ZH, "0.5B", model__quantization="4bit", **few, eval__rows="0", **_dotted(batch(2))),
        "7B mixed": on(EN, "7B", model__precision="mixed", **_dotted(SEVEN_BILLION)),
        "7B 4 bit": on(EN, "7B", model__quantization="4bit", **_dotted(SEVEN_BILLION)),
    }


def cases_after() -> dict[str, dict[str, Any]]:
    """Those that judge the formula after it was mended."""
    few = FEW_HELD_OUT
    return {
        "english ia3, 3 x 2 rows": on(EN, method="ia3", **few, **_dotted(batch(2, 3))),
        "english rslora r=16 to 384 tokens, 5 rows": on(
            EN,
            peft__r="16",
            peft__use_rslora="true",
            data__max_length="384",
            data__max_truncated="1",
            **_dotted(batch(5)),
        ),
        "english mixed r=24, 2 x 3 rows": on(EN, model__precision="mixed", peft__r="24", **few, **_dotted(batch(3, 2))),
        "english 8 bit, 2 x 4 rows": on(EN, model__quantization="8bit", **few, **_dotted(batch(4, 2))),
        "chinese to 500 tokens, 2 x 4 rows": on(
            ZH, data__max_length="500", data__max_truncated="1", **few, **_dotted(batch(4, 2))
        ),
        "chinese prompt_tuning, 3 rows": on(ZH, method="prompt_tuning", **few, **_dotted(batch(3))),
        "intents by smollm2 r=32, 6 rows": on(INTENTS, task="seq_cls", peft__r="32", **_dotted(batch(6))),
        "intents by minilm, ia3, 48 rows": on(INTENTS, "minilm", "ia3", task="seq_cls", **_dotted(batch(48))),
        "intents by minilm, adalora, 12 rows": on(INTENTS, "minilm", "adalora", task="seq_cls", **_dotted(batch(12))),
        "250M english, checkpointing, 3 rows": on(
            EN, "250M", **few, eval__rows="0", **_dotted(batch(3) | CHECKPOINTING)
        ),
        "7B mixed, checkpointing": on(EN, "7B", model__precision="mixed", **_dotted(SEVEN_BILLION | CHECKPOINTING)),
    }


def machine() -> str:
    """The processor's name, as a part of a file name."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.partition(":")[2] for line in lines if line.startswith("model name")), "unknown")
    return re.sub(r"[^a-z0-9]+", "-", name.lower().replace("(r)", "")).strip("-")


def tables(runs: dict[str, Any]) -> str:
    """The first runs, then those after the mending."""
    after = {name: run for name, run in runs.items() if name in cases_after()}
    first = {name: run for name, run in runs.items() if name not in after}
    return table({"runs": first}) + (f"\n### After the mending\n\n{table({'runs': after})}" if after else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="cases, by the beginning of their names; all without")
    parser.add_argument("--only-missing", action="store_true", help="keep what is known of this processor")
    asked = parser.parse_args()
    path, every = HERE / f"fresh-{machine()}.json", first_cases() | cases_after()
    old = json.loads(path.read_text())["runs"] if path.is_file() and (asked.only_missing or asked.names) else {}
    wanted = [n for n in every if not asked.names or n.startswith(tuple(asked.names))]
    with tempfile.TemporaryDirectory() as place:
        for name in wanted:
            if asked.only_missing and name in old:
                continue
            old[name] = measure(name, every[name], Path(place))
            error = old[name]["error"]
            print(f"{name}: memory {error['memory']:+.1%}, time {error['time']:+.0%}", file=sys.stderr, flush=True)
            runs = {n: old[n] for n in every if n in old}
            path.write_text(
                json.dumps({"date": str(date.today()), "machine": machine(), "runs": runs}, indent=1) + "\n"
            )
    pages = [json.loads(one.read_text()) for one in sorted(HERE.glob("fresh-*.json"))]
    parts = [f"## {one['machine']}, {one['date']}\n\n{tables(one['runs'])}" for one in pages]
    (HERE / "FRESH.md").write_text(
        f"# Runs that the plan did not know\n\n{__doc__.partition(chr(10))[2].strip()}\n\n" + "\n".join(parts)
    )


if __name__ == "__main__":
    main()
