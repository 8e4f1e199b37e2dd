"""A pytest plugin for tests that are not ours: which are taken, how each ends, and how many products oneDNN computed in it.

For each test a line of JSON: its id, whether it passed, its seconds, and how often each fast path ran.
"""

import hashlib
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

# Of these files one LoRA test in N is taken; most of their tests are of other methods, for which we have no fast path.
LARGE = ("test_custom_models.py", "test_decoder_models.py")
LORA = re.compile(r"(?<![a-z])lora(config)?(?![a-z])", re.IGNORECASE)
# What oneDNN itself says of each product, on standard output.
PRODUCT = re.compile(r"^onednn_verbose,.*,exec,cpu,matmul,.*src:f32", re.MULTILINE)
COUNTED = "counted"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--one-in", type=int, default=1, help="of the LoRA tests of large files, by hash of the id")
    parser.addoption("--seed", type=int, default=0, help="of every test, as many draw their data without one")
    parser.addoption("--record", type=Path, required=True, help="file of JSON lines to write")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    selected = [item for item in items if _is_taken(item.nodeid, config.getoption("--one-in"))]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(selected)])
    items[:] = selected


def pytest_collection_finish() -> None:
    """PEFT's tests ask the Hub once for each model, whatever HF_HUB_OFFLINE says: let each look as if it had been asked for."""
    sys.modules["tests.testing_utils"]._HUB_MODEL_ACCESSES = _Everything()


class _Everything(dict[str, int]):
    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> int:
        return 0


def _is_taken(test: str, one_in: int) -> bool:
    if not any(name in test for name in LARGE):
        return True
    return bool(LORA.search(test)) and int(hashlib.sha256(test.encode()).hexdigest(), 16) % one_in == 0


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    torch.manual_seed(item.config.getoption("--seed"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    with torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON):
        return (yield)


class _Record:
    """Keeps the reports of a test until it is over: it passed if set-up, call and tear-down did."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.reports: list[pytest.TestReport] = []
        path.write_text("")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.reports.append(report)
        if report.when != "teardown":
            return
        counts: Counter[str] = Counter()
        for counted in (value for name, value in report.user_properties if name == COUNTED):
            counts.update(counted)
        counts["onednn_matmul"] = sum(len(PRODUCT.findall(r.capstdout)) for r in self.reports if r.when == "call")
        line = {
            "test": report.nodeid, "passed": [r.outcome for r in self.reports] == ["passed"] * 3,
            "seconds": round(sum(r.duration for r in self.reports), 3), "counts": dict(+counts),
        }  # fmt: skip
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        self.reports = []


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(_Record(config.getoption("--record")))
