"""Does `diagnose` name each fault, and is it silent on healthy runs? `python benchmarks/diagnose/run.py [--apply] [CASE ...]`

Every case is a real run by `tunewright train` on generated rows, with settings or rows that cause exactly one fault, or none;
then `tunewright diagnose` is asked. Without names all cases are run, one after another, as some watch the machine itself.
With `--apply` each sick run is followed by `tunewright diagnose RUN --apply`, and that run is diagnosed as well.
Writes results.json and the confusion table of README.md; a case that is run alone replaces its row. Linux, an idle machine.
"""

import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

from cases import CASES, SEED, Case

from tunewright.data import demo_data
from tunewright.diagnose.evidence import read
from tunewright.rundir.run_dir import RunDir

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
HELD_OUT = {"causal_lm": 24, "seq2seq": 24, "seq_cls": 60, "token_cls": 60}
VIEWS = {
    "causal_lm": demo_data.as_messages,
    "seq2seq": demo_data.as_pair,
    "seq_cls": demo_data.as_label,
    "token_cls": demo_data.as_tags,
}
MODELS = {"causal_lm": "smollm2", "seq2seq": "bert2bert", "seq_cls": "minilm", "token_cls": "minilm"}
WRITTEN = {"eval.rows": 12, "eval.loss_rows": 24, "data.max_truncated": 1, "data.max_duplicates": 1}


def write(folder: Path, split: str, case: Case) -> Path:
    """The rows of a case as a file; held-out rows have other wording and other values."""
    count = case.rows if split == "train" else HELD_OUT[case.task]
    rows = [dict(VIEWS[case.task](row)) for row in demo_data.generate(split, count, seed=SEED)]  # type: ignore[arg-type]
    spoil = case.spoil if split == "train" or case.spoil_held_out is None else case.spoil_held_out
    path = folder / f"{split}.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in spoil(rows)))
    return path


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    """So many processes that do nothing but compute."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def tunewright(words: Sequence[str], limit_bytes: int = 0, folder: Path | None = None) -> dict[str, Any]:
    """What a command says with --json, whatever its exit code: its result, else what is wrong."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, limit_bytes))

    command = [sys.executable, "-m", "tunewright", *words, "--json"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=folder, preexec_fn=limit if limit_bytes else None
    )
    said = done.stdout.strip() or done.stderr.strip().rpartition("\n")[2]
    if not said.startswith("{"):
        raise RuntimeError(f"{' '.join(words)}\n{done.stderr}")
    return dict(json.loads(said))


def trained(name: str, folder: Path, output: Path) -> dict[str, Any]:
    """Train a case, with its rows in a folder, into another; what `train --json` says of it."""
    case = CASES[name]
    train, held_out = write(folder, "train", case), write(folder, "held_out", case)
    model = case.model(folder) if case.model else MODELS[case.task]
    written = WRITTEN if case.task in ("causal_lm", "seq2seq") else {}
    settings = {
        "task": case.task,
        "data.holdout": held_out,
        "run.output_dir": output,
        **written,
        **case.settings,
    }
    sets = [word for path, value in settings.items() for word in ("--set", f"{path}={value}")]
    with neighbours(case.neighbours):
        return tunewright(["train", model, str(train), *sets], case.limit_bytes)


def applied(run: str, folder: Path) -> dict[str, Any]:
    """What becomes of a sick run by its first remedy: the findings of the next run, or why there is none."""
    ended = tunewright(["diagnose", run, "--apply"], folder=folder)
    if "error" in ended:
        return {"refused": ended["error"]["code"], "why": ended["error"]["message"]}
    found = tunewright(["diagnose", ended["run"]])["findings"]
    return {"codes": [finding["code"] for finding in found], "state": ended["state"], "run": ended["name"]}


def examine(name: str, folder: Path, *, is_applied: bool) -> dict[str, Any]:
    """Train a case and diagnose it; with its remedy applied, if it is sick."""
    case, started = CASES[name], time.perf_counter()
    folder.mkdir()
    ended = trained(name, folder, folder / "run")
    found = tunewright(["diagnose", ended["run"]])["findings"]
    codes = [finding["code"] for finding in found]
    evidence = read(RunDir(Path(ended["run"])))
    return {
        "about": case.about, "wanted": case.code, "codes": codes, "state": ended["state"], "right": is_right(case, codes),
        "findings": [{key: f[key] for key in ("code", "severity", "confidence", "message")} for f in found],
        "losses": evidence.losses, "held_out": evidence.held_out, "peak_bytes": evidence.peak_bytes,
        "seconds": round(time.perf_counter() - started),
        **({"applied": applied(ended["run"], folder)} if is_applied and case.code else {}),
    }  # fmt: skip


def is_right(case: Case, codes: Sequence[str]) -> bool:
    """A sick run is named by one of its codes; a healthy one by none."""
    return bool(set(case.code.split()) & set(codes)) if case.code else not codes


def table(cases: dict[str, Any]) -> str:
    """Each case against the codes that were found in it."""
    every = sorted({code for row in cases.values() for code in (*row["codes"], *row["wanted"].split())})
    lines = [f"| run | fault | {' | '.join(every)} |", f"|---|---|{'---|' * len(every)}"]
    for name, row in cases.items():
        marks = [mark(code, row) for code in every]
        about = row["about"] if row["wanted"] else f"healthy: {row['about']}"
        lines.append(f"| {name} | {about} | {' | '.join(marks)} |")
    sick = [row for row in cases.values() if row["wanted"]]
    healthy = [row for row in cases.values() if not row["wanted"]]
    extra = sum(bool(set(row["codes"]) - set(row["wanted"].split())) for row in sick)
    tried = [row for row in sick if "applied" in row]
    again = [row for row in tried if "codes" in row["applied"]]
    healed = sum(not set(row["wanted"].split()) & set(row["applied"]["codes"]) for row in again)
    lines.append(
        f"\n**{sum(row['right'] for row in sick)} of {len(sick)}** sick runs are named by their fault ({extra} have another "
        f"finding besides); **{sum(not row['right'] for row in healthy)} of {len(healthy)}** healthy runs are alarmed. "
        f"{sum(row['seconds'] for row in cases.values()) / 60:.0f} minutes in all."
    )
    if tried:
        lines.append(
            f"\n`diagnose RUN --apply` trained {len(again)} of {len(tried)} sick runs again: **{healed}** no longer have their "
            f"fault. For the other {len(tried) - len(again)} a person is told what to do, in the rows or on the machine."
        )
    return "\n".join(lines) + "\n"


def mark(code: str, row: dict[str, Any]) -> str:
    """Named as wanted, found besides, or missed."""
    is_wanted, is_found = code in row["wanted"].split(), code in row["codes"]
    if is_found:
        return "**x**" if is_wanted else "(x)"
    return "missed" if is_wanted and not row["right"] else ""


def main(words: Sequence[str]) -> None:
    wanted, is_applied = [word for word in words if word != "--apply"], "--apply" in words
    results = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {"cases": {}}
    results |= {"machine": f"{platform.machine()}, 2 cores, no GPU", "date": date.today().isoformat()}
    with tempfile.TemporaryDirectory() as folder:
        for name in wanted or CASES:
            results["cases"][name] = row = examine(name, Path(folder) / name, is_applied=is_applied)
            print(f"{'right' if row['right'] else 'WRONG'}  {name}: {row['codes']} ({row['seconds']} s)", flush=True)
            results["cases"] = {key: results["cases"][key] for key in CASES if key in results["cases"]}
            RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    readme = HERE / "README.md"
    head = readme.read_text().partition("<!-- table -->")[0]
    readme.write_text(f"{head}<!-- table -->\n\n{table(results['cases'])}")


if __name__ == "__main__":
    main(sys.argv[1:])
