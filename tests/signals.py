"""For tests that run a parent in this very process: it takes signals over, and they are given back."""

import signal
from collections.abc import Iterator

import pytest

from tunewright.launch.supervisor import ASKED_TO_END


@pytest.fixture(autouse=True)
def signals_given_back() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (*ASKED_TO_END, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
