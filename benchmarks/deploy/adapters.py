"""What do more adapters on one base cost? `python benchmarks/deploy/adapters.py RUN [--rounds 5] [--rows 24]`

The run's adapter once, twice and eight times on its base, behind the front, each under a name of its own, as with several
runs of one base; and the run merged in `q8_0`. Eight clients ask, all for one name, and then each for a name of its own:
llama.cpp does not batch requests for different adapters together (#10994). Written tokens per second, and the engine's own
memory. Results go to adapters.json.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

import psutil
from clients import Target, ask_all
from serve import measured_on, prompts_of

from tunewright import api
from tunewright.extras.serve.backend import ServedModel
from tunewright.extras.serve.llama_engine import LlamaModel
from tunewright.extras.serve.open_front import llama_front
from tunewright.extras.serve.serve_options import ServeOptions
from tunewright.rundir import atomic_io

RESULTS = Path(__file__).parent / "adapters.json"
CLIENTS = 8
Prompts = Sequence[list[dict[str, str]]]


async def ask(url: str, names: Sequence[str], prompts: Prompts) -> tuple[int, float]:
    """Every prompt once by eight clients, the names in turns; written tokens and seconds."""
    share = CLIENTS // len(names)
    parts = (ask_all(Target(url, "none", name), prompts[i :: len(names)], share) for i, name in enumerate(names))
    outcomes = await asyncio.gather(*parts)
    return sum(each.tokens for each in outcomes), max(each.wall_seconds for each in outcomes)


def measured(model: LlamaModel, names: Sequence[str], prompts: Prompts) -> dict[str, float]:
    ids = range(len(names)) if model.adapters else [None]
    models = [ServedModel(name, adapter) for name, adapter in zip(names, ids, strict=True)]
    with (
        tempfile.TemporaryDirectory() as folder,
        llama_front(model, models, ServeOptions(port=0), log=Path(folder) / "engine.log") as front,
        front.in_background(),
    ):
        asyncio.run(ask(front.url, names, prompts[:CLIENTS]))
        results = {}
        for what, asked in {"one_name": names[:1], "all_names": names}.items():
            tokens, seconds = asyncio.run(ask(front.url, asked, prompts))
            results[what] = tokens / seconds
        return {**results, "engine_bytes": psutil.Process(front.front.backend.engine.pid).memory_full_info().uss}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=24)
    asked = parser.parse_args()
    run = api.open_run(asked.run)
    prompts = prompts_of(run, asked.rows)
    models = {}
    for quant in (None, "q8_0"):
        with api.serve(run, quant=quant) as served:
            models[quant] = served.front.front.backend.engine.model
    one = models[None]
    cases = {"merged, q8_0": (models["q8_0"], ["merged"])}
    for count in (1, 2, 8):
        model = LlamaModel(one.path, one.adapters[:1] * count, one.context, one.slots)
        cases[f"{count} adapters"] = (model, [f"adapter-{number}" for number in range(count)])
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in cases}
    for number in range(asked.rounds):
        for name in cases if number % 2 else reversed(cases):
            rounds[name].append(measured(*cases[name], prompts))
            print(name, json.dumps(rounds[name][-1]), flush=True)
    middle = {
        name: {what: round(statistics.median(each[what] for each in results), 2) for what in results[0]}
        for name, results in rounds.items()
    }
    atomic_io.write_json(RESULTS, {**measured_on(), "rows": asked.rows, "middle": middle, "rounds": rounds})
    print(json.dumps(middle, indent=1))


if __name__ == "__main__":
    main()
