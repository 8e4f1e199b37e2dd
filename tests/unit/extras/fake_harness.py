"""Stands in for engine.benchmark: `python fake_harness.py RUN` answers one request a line, and says what it was given."""

import json
import os
import sys

for line in sys.stdin:
    request = json.loads(line)
    print(json.dumps({"kind": "progress", "done": 1, "total": 2}), flush=True)
    if "dies" in request["tasks"]:
        sys.exit(3)
    if "unknown" in request["tasks"]:
        record = {"code": "E610", "where": {}, "values": {"names": "unknown"}}
        print(json.dumps({"kind": "error", "problems": [record]}), flush=True)
        continue
    seen = {name: value for name, value in os.environ.items() if name.startswith(("HF_", "HUGGING"))}
    received = {**request, "environment": seen, "argv": sys.argv[1:]}
    task = {"rows": request["rows"], "metrics": [], "asked": received}
    print(
        json.dumps({"kind": "result", "result": {"harness": "0", "tasks": dict.fromkeys(request["tasks"], task)}}),
        flush=True,
    )
