"""Every verb with bad arguments and --json: valid JSON, a documented exit code, no traceback, no E802.

Arguments and options are read off the verbs themselves, so that a new one is tried, too. Nothing is trained: a run that
would begin is refused where its folder would be made. `make test-slow` runs all cases; TUNEWRIGHT_FUZZ_SEED draws others.
"""

import json
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from tests.fuzz.values import DIGITS, SEED, part, record, some
from tunewright.cli.main import app
from tunewright.errors import error
from tunewright.errors.catalogue import load_catalogue
from tunewright.launch import calibration, resolve_model, start_run

SECONDS = 60  # in which a verb answers; far more than any takes
WORDS = (
    "", " ", "nosuch", "last", "-", "--", ".", "..", "/", "~", "missing/x", "empty.jsonl", "bad.yaml", "binary.yaml",
    "folder.yaml", "notrun", "rows.jsonl", "llama", "rows.jsonl/x", "/dev/null", "/dev/null/x", "/proc/self/mem", "0", "-1",
    "1e400", "nan", "inf", DIGITS, "99999999999999999999", "abc", "1,2", "a=b", "=", "a=", "=b", "a.b.c.d=1", "peft.r=0",
    "train.seed=4294967296", "train.adam_beta1=abc", "peft.rank_pattern={'(': 4}", "E999", "E103", "peft.r", "\u4f60\u597d",
    "\x1b[31m", "a\nb", "\udc80", "x" * 300, "x" * 5_000, "'", '"', "*", "{", "[", "%s", "{0}", "24GB GPU", "-1GB GPU",
)  # fmt: skip
CODES = {entry.exit_code for entry in load_catalogue().values()} | {0, 130, 143}


def verbs() -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every verb by its words, with its command."""
    waiting: list[tuple[tuple[str, ...], Any]] = [((), typer.main.get_command(app))]
    while waiting:
        words, command = waiting.pop()
        if hasattr(command, "commands"):
            waiting += [((*words, name), inner) for name, inner in command.commands.items()]
        else:
            yield words, command


def cases(seed: int = SEED) -> list[tuple[str, ...]]:
    """Each argument and option of each verb with each word, the other arguments sound or missing; and random lines."""
    rng, lines = random.Random(seed), []
    for words, command in verbs():
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        options = [p for p in command.params if p.param_type_name == "option" and "--json" not in p.opts]
        sound = {"inputs": ("llama", "rows.jsonl"), "run": ("notrun",), "data": ("rows.jsonl",), "model": ("llama",)}
        known = tuple(word for p in arguments for word in sound.get(p.name, ()))
        lines.append(words)
        lines += [(*words, word) for word in WORDS]
        for option in options:
            name = option.opts[0]
            lines.append((*words, *known, "--json", name))  # behind the name it would be the value
            picked = WORDS if len(option.opts) and not option.is_flag else ("", "abc")
            lines += [(*words, *known, name, word) for word in rng.sample(picked, min(5, len(picked)))]
        for _ in range(6):
            names = [rng.choice(options).opts[-1]] if options else []
            lines.append((*words, *rng.choices(WORDS, k=rng.randrange(1, 5)), *names, *rng.choices(WORDS, k=1)))
    return [line for line in lines if line[:1] != ("quickstart",) or len(line) > 1]


@pytest.fixture
def place(tmp_path: Path, model: Path, rows: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one of everything that is no run; no process is started, nothing is trained."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "bad.yaml").write_text("a: [1\n")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    for name in ("folder.yaml", "notrun"):
        (tmp_path / name).mkdir()

    def refuse(*_: Any, **__: Any) -> Any:
        raise error("E403", needed="1 GiB", free="0 GiB", path="here")

    for module in (start_run, calibration):
        monkeypatch.setattr(module, "create", refuse)
    monkeypatch.setattr(start_run, "try_settings", lambda plan, reporter: None)
    monkeypatch.setattr(resolve_model, "_bundled", lambda *_, **__: model)  # the built-in models are not fetched
    return tmp_path


def fault(line: tuple[str, ...]) -> str:
    """What is wrong with a verb's answer; empty if it is as promised."""
    end = line.index("--") if "--" in line else len(line)
    words = line if "--json" in line else (*line[:end], "--json", *line[end:])
    try:
        result = CliRunner().invoke(app, words, input="")
    except UnicodeEncodeError:
        return ""  # the runner itself cannot hand over halves of characters
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        return f"{type(result.exception).__name__}: {str(result.exception)[:150]}"
    out, err = result.stdout.strip(), result.stderr.strip()
    if "Traceback" in out + err:
        return "a traceback"
    if result.exit_code not in CODES:
        return f"exit code {result.exit_code}"
    if result.exit_code and not out:  # a check that finds faults prints its account
        return _error_code(err, result.exit_code)
    try:
        if out and not out.startswith(("Usage", "tunewright ")):
            json.loads(out)
    except ValueError:
        return f"no JSON: {out[:80]}"
    return ""


def _error_code(err: str, code: int) -> str:
    """What is wrong with a refusal: its last line is JSON, its code has this exit code, and it is no fault of ours."""
    try:
        as_json = json.loads(err.splitlines()[-1])["error"]
    except (ValueError, KeyError, IndexError):
        return f"exit code {code} without JSON: {err[-120:]}"
    if as_json["code"] == "E802":
        return f"E802 {as_json['message'][:150]}"
    wanted = load_catalogue()[as_json["code"]].exit_code
    return "" if code == wanted else f"{as_json['code']} with exit code {code}, not {wanted}"


def broken(lines: list[tuple[str, ...]]) -> list[str]:
    """The lines with what was wrong with their answers."""

    def late(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"no answer after {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    faults = []
    try:
        for line in lines:
            signal.alarm(SECONDS)
            if reason := fault(line):
                faults.append(f"{' '.join(word[:40] for word in line)!r}: {reason}")
            signal.alarm(0)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    record(faults)
    return faults


def test_some_bad_lines_are_answered_as_promised(place: Path) -> None:
    assert broken(some(cases(), 200)) == []


@pytest.mark.slow
def test_every_verb_answers_every_bad_argument_as_promised(place: Path) -> None:
    assert len(cases()) >= 1_500
    lines = part(cases())
    print(len(lines), "command lines")
    assert broken(lines) == []
