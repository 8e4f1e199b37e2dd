"""The browser of this machine. None is downloaded: `make browser` installs Debian's, or says what to install."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium-headless-shell", "chromium", "google-chrome")
INSTALL = "make browser"


def executable() -> str | None:
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@contextmanager
def launched() -> Iterator[Browser]:
    """A browser without a window. Raises: FileNotFoundError where there is none."""
    path = executable()
    if path is None:
        raise FileNotFoundError(f"no browser: {INSTALL}")
    with sync_playwright() as playwright:
        # root's chromium has no sandbox; what it opens here is our own.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"] if os.geteuid() == 0 else [])
        try:
            yield browser
        finally:
            browser.close()
