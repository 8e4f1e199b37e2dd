"""Commands that rewrite rows, for fixes that can be pasted: one line of Python that needs nothing but Python."""

import json
import shlex
from pathlib import Path

_READERS = {
    ".jsonl": '(json.loads(line) for line in open({file}, encoding="utf-8") if line.strip())',
    ".ndjson": '(json.loads(line) for line in open({file}, encoding="utf-8") if line.strip())',
    ".json": 'json.load(open({file}, encoding="utf-8"))',
    ".csv": 'csv.DictReader(open({file}, newline="", encoding="utf-8"))',
}


def rewriting(
    file: str, row: str, target: str, *, only: str = "", before: str = "", between: str = "", rows: str = "rows"
) -> str | None:
    """The command that writes `row`, an expression of the row `r`, for all rows or those of which `only` is true.

    `before` are statements at the start, `between` those after reading, `rows` an expression of what `r` runs through.
    None for files that Python alone does not read.
    """
    reader = _READERS.get(Path(file).suffix.lower())
    if reader is None:
        return None
    read = f"rows = {reader.format(file=json.dumps(file, ensure_ascii=False))}"
    condition = f" if {only}" if only else ""
    write = f"[print(json.dumps({row}, ensure_ascii=False)) for r in {rows}{condition}]"
    code = "; ".join(part for part in ("import csv, json", before, read, between, write) if part)
    return f"python3 -c {shlex.quote(code)} > {target}"
