"""How long from the first start of the studio to a verdict? `python benchmarks/studio/first_start.py [--pictures FOLDER]`

An empty folder and a home that has the built-in model and nothing else; one click, in a browser. Nothing is typed and no network is
needed: `unshare -rn sh -c 'ip link set lo up; python benchmarks/studio/first_start.py'` runs it where there is none. Three minutes
at most are wanted. Results go to first_start.json; run it on an idle machine.
"""

import argparse
import json
import os
import sys
import time
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Page, expect

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.browser import chromium
from tests.browser.site import Server, serving
from tunewright.inspection import machine_info
from tunewright.rundir.run_dir import RunDir
from tunewright.security.paths import home

RESULTS = Path(__file__).parent / "first_start.json"
WANTED_SECONDS, MOST_SECONDS = 180.0, 900.0


def led_to_a_verdict(server: Server, page: Page, begun: float, pictures: Path | None) -> dict[str, float]:
    """Seconds since the command was given at which each was there to be seen."""
    found: dict[str, float] = {}

    def seen(what: str) -> None:
        found[what] = time.perf_counter() - begun
        if pictures:
            page.screenshot(path=pictures / f"{len(found)}-{what.replace(' ', '-')}.png", full_page=True)

    page.goto(server.visit())
    expect(page.get_by_role("button", name="Try it")).to_be_visible()
    seen("first page")
    page.get_by_role("button", name="Try it").click()
    page.wait_for_url("**/runs/*", timeout=MOST_SECONDS * 1000)
    seen("page of the run")
    expect(page.locator("#live-loss canvas")).to_be_visible(timeout=MOST_SECONDS * 1000)
    seen("first point of the curve")
    expect(page.locator("#verdict")).to_be_visible(timeout=MOST_SECONDS * 1000)
    seen("verdict")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, help="a folder for a picture of each")
    options = parser.parse_args()
    if options.pictures:
        options.pictures.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as place:
        folder, own = Path(place, "folder"), Path(place, "home", "tunewright")
        folder.mkdir()
        own.mkdir(parents=True)
        (own / "models").symlink_to(home() / "models")
        begun = time.perf_counter()
        threads = {"OMP_NUM_THREADS": str(os.cpu_count())}  # as a shell leaves it
        with serving(Server(folder, Path(place, "home"), more=threads)) as server, chromium.launched() as browser:
            page = browser.new_page(locale="en-GB", viewport={"width": 1280, "height": 800})
            found = led_to_a_verdict(server, page, begun, options.pictures)
        (run,) = (RunDir(path) for path in (folder / "runs").iterdir())
        result = run.result()
        assert result
    about = {"date": date.today().isoformat(), "machine": machine_info.processor(), "cores": os.cpu_count()}
    seconds = {what: round(value, 1) for what, value in found.items()}
    RESULTS.write_text(
        json.dumps(
            {"about": about, "seconds": seconds, "wanted": WANTED_SECONDS, "of the run": result.seconds}, indent=1
        )
        + "\n"
    )
    print(RESULTS.read_text())


if __name__ == "__main__":
    main()
