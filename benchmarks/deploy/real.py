"""Rows that people have, through OpenAI's own client: `python benchmarks/deploy/real.py NAME=RUN [NAME=RUN...]`

Each run is exported as GGUF (which is compared with it on the way), served, and asked for all its held-out rows by the package
`openai`, every second one as a stream. The score of what comes back stands beside the run's own with its 95 % interval, and the
number of answers that are the run's to the letter beside those. Results go to real.json.
"""

import argparse
import json
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

from openai import OpenAI
from serve import processor

from tunewright import api
from tunewright.metrics.confidence_intervals import wilson
from tunewright.metrics.rouge_bleu import rouge
from tunewright.metrics.scoring import exact_match
from tunewright.rundir import atomic_io

RESULTS = Path(__file__).parent / "real.json"


def answer(client: OpenAI, run: api.TrainedRun, prompt: str, *, stream: bool) -> str:
    messages: Any = run.as_prompt(prompt)
    limit = run.plan.run.eval.max_new_tokens
    if not stream:
        reply = client.chat.completions.create(model=run.name, messages=messages, max_tokens=limit)
        return reply.choices[0].message.content or ""
    chunks = client.chat.completions.create(model=run.name, messages=messages, max_tokens=limit, stream=True)
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def measured(run: api.TrainedRun) -> dict[str, Any]:
    samples = run.dir.samples("after")
    with tempfile.TemporaryDirectory() as folder:
        export = run.export(Path(folder) / "out", to="gguf", rows=40)
        proof = export.proof
    assert proof
    with api.serve(run) as served:
        client = OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0)
        answers = [answer(client, run, sample.prompt, stream=number % 2 == 1) for number, sample in enumerate(samples)]
    references, own = [sample.reference for sample in samples], [sample.answer for sample in samples]
    right = round(exact_match(own, references) * len(own))
    low, high = wilson(right, len(own))
    return {
        "rows": len(samples),
        "same_text": sum(a.strip() == b.strip() for a, b in zip(answers, own, strict=True)),
        "run": {"exact_match": exact_match(own, references), "interval": [low, high], **_rouge(own, references)},
        "endpoint": {"exact_match": exact_match(answers, references), **_rouge(answers, references)},
        "export": {check.name: f"{check.outcome} {check.held}/{check.total}" for check in proof.checks},
    }


def _rouge(answers: list[str], references: list[str]) -> dict[str, float]:
    return {"rouge1": rouge(answers, references)["rouge1"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", metavar="NAME=RUN")
    stored = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    for word in parser.parse_args().runs:
        name, _, path = word.partition("=")
        run = api.open_run(path)
        stored[name] = {"date": date.today().isoformat(), "processor": processor(), **measured(run)}
        run.close()
        atomic_io.write_json(RESULTS, stored)
        print(name, json.dumps(stored[name], indent=1), flush=True)


if __name__ == "__main__":
    main()
