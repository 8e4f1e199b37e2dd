"""Names of a run's files. Readers and writers import them from here."""

SCHEMA = 1
RUN_JSON = "run.json"
CONFIG = "config.yaml"
README = "README.md"
PLAN = "plan.json"
EVENTS = "events.jsonl"
LOG = "log.txt"
TAGS = "tags.json"
LOCK = "run.lock"
STOP, STOP_NOW = "stop", "stop.now"  # empty files: requests to save and end, and to end at once
PREPARED = "prepared.json"
BAD_ROWS = "rows.bad.jsonl"
SEEN_ROWS = "rows.seen.jsonl"
CHECKPOINTS = "checkpoints"
ADAPTER = "adapter"
ADAPTER_BEFORE = "adapter.prev"  # an older adapter while a newer one takes its place
EVAL = "eval"
BENCHMARK = "benchmark.json"
PROOF = "proof.json"  # in an export, and of all exports in eval/
PROMPTED = "prompted"  # the base model's test with examples in its prompt: .json, .jsonl, .losses.jsonl
MERGED = "merged"
REPORT = "report.html"
RANKS = "ranks"  # where each process of a run is, and events of all but the first
RUNS = "runs"
