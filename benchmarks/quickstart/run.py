"""How good and how fast is the quickstart? `python benchmarks/quickstart/run.py SEED...` runs it for each seed, one by one.

Each seed changes the generated rows of both splits, the adapter's start values and the order of rows. Results go to
results.json beside this file, with machine and versions. Run on an idle machine.
"""

import json
import sys
from datetime import date
from pathlib import Path

from tunewright import api

RESULTS = Path(__file__).parent / "results.json"


def main(seeds: list[int]) -> None:
    runs = []
    for seed in seeds:
        result = api.quickstart(seed).result
        keep = (
            "before",
            "after",
            "rows",
            "seconds",
            "tokens_per_second",
            "peak_rss_bytes",
            "steps",
            "trainable_parameters",
        )
        runs.append({"seed": seed, **{key: result[key] for key in keep}})
        print(json.dumps(runs[-1]))
    environment = api.environment()
    RESULTS.write_text(json.dumps({"date": str(date.today()), **environment, "runs": runs}, indent=1) + "\n")


if __name__ == "__main__":
    main([int(seed) for seed in sys.argv[1:]] or [42])
