"""After the tests: how many hostile inputs were tried, by kind."""

import pytest

from tests.hostile import TRIED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if TRIED:
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(TRIED.items()))
        terminalreporter.write_line(f"hostile inputs tried: {TRIED.total()} ({kinds})")
