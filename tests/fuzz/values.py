"""Values at the borders of every kind; the seed, part and number of a fuzzer's cases; where its faults are written."""

import json
import os
import random
from pathlib import Path
from typing import Any

SEED = int(os.environ.get("TUNEWRIGHT_FUZZ_SEED", "17"))
PART, PARTS = (int(number) for number in os.environ.get("TUNEWRIGHT_FUZZ_PART", "1/1").split("/"))
FAULTS = os.environ.get("TUNEWRIGHT_FUZZ_FAULTS", "")
DIGITS = "1" + "0" * 400
# As `--set` takes them: what YAML reads of each is what a config would hold.
TEXTS = (
    "0", "-1", "1", "2", "3", "0.5", "-0.5", "1.5", "127", "4096", "2147483647", "2147483648", "4294967295", "4294967296",
    "18446744073709551616", DIGITS, "-" + DIGITS, "1e308", "-1e308", "1e400", "1e-320", "5e-324", "nan", ".nan", ".inf",
    "-.inf", "''", "' '", "abc", "null", "~", "true", "false", "'true'", "'1'", "'0'", "auto", "none", "all", "all-linear", "[]",
    "[1]", "[0, -1]", "[abc]", "['']", "[null]", "[[0, 1]]", "[[1, 0], [0]]", "{}", "{a: 1}", "{a: {b: [1]}}", "{q_proj: 4}",
    "{q_proj: -1}", "{'(': 4}", "{'': ''}", "'('", "'(a+)+$'", "'.*'", "q_proj", "[q_proj]", "[q_proj, q_proj]", "'*'",
    "lm_head", "[lm_head]", "[embed_tokens]", "'\u4f60\u597d'", "'\u00e9\u0301\U0001f600'", '"\\0"', '"a\\0b"', '"\\ud800"',
    '"\\e[31m"', '"a\\nb"', "'a/b'", "'/'", "'..'", "'../../x'", "x" * 300, "x" * 5_000, "2024-01-01", "1:30", "0x10", "1_000",
    "1e3", "- 1", "&a b", "*a", "!!int 3", "[", "{", "'", "=", "#", "%",
)  # fmt: skip


def some(cases: list[Any], count: int, seed: int = SEED) -> list[Any]:
    """So many of the cases, in their order, by the seed; all if there are fewer."""
    if count >= len(cases):
        return cases
    places = sorted(random.Random(seed).sample(range(len(cases)), count))
    return [cases[place] for place in places]


def part(cases: list[Any]) -> list[Any]:
    """The part of the cases that TUNEWRIGHT_FUZZ_PART names: "2/8" is the second of eight, each spread over all."""
    return cases[PART - 1 :: PARTS]


def record(faults: list[Any]) -> None:
    """Faults as lines of JSON behind those in the file that TUNEWRIGHT_FUZZ_FAULTS names: pytest cuts long lists."""
    if FAULTS and faults:
        with Path(FAULTS).open("a") as file:
            file.writelines(json.dumps(fault) + "\n" for fault in faults)


def drawn(rng: random.Random) -> str:
    """A value that stands in no list: numbers of any size, and texts of odd characters."""
    kind = rng.randrange(5)
    if kind == 0:
        return str(rng.choice((-1, 1)) * rng.getrandbits(rng.randrange(1, 80)))
    if kind == 1:
        return repr(rng.choice((-1, 1)) * 10 ** rng.uniform(-330, 308))
    if kind == 2:
        return "[" + ", ".join(rng.choice(TEXTS[:20]) for _ in range(rng.randrange(1, 4))) + "]"
    if kind == 3:
        return "{" + rng.choice(("q_proj", "a", "'.*'", "layers")) + ": " + rng.choice(TEXTS[:60]) + "}"
    return "'" + "".join(rng.choice("ab_./\\-(*)[]{}+?$^\u4e2d \t0") for _ in range(rng.randrange(1, 12))) + "'"
