"""Pictures of every page of the studio, in both languages, light and dark, on a desk and on a phone.

`tools/screenshots.py FOLDER [NAME...]` writes `FOLDER/NAME-en-light-1280.png` and so on, of the pages that are named or of all.
"""

import sys
import tempfile
from itertools import product
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.browser import chromium
from tests.browser.site import PAGES, Server, fill, serving

WAIT_MS = 400  # in which curves are drawn
LANGUAGES, SCHEMES, WIDTHS = {"en": "en-GB", "zh": "zh-CN"}, ("light", "dark"), (1280, 360)


def main() -> None:
    target, names = Path(sys.argv[1]), sys.argv[2:] or list(PAGES)
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place, chromium.launched() as browser:
        folder = Path(place) / "folder"
        fill(folder / "runs")
        with serving(Server(folder, Path(place) / "home")) as server:
            for (language, locale), scheme, width in product(LANGUAGES.items(), SCHEMES, WIDTHS):
                viewport = {"width": width, "height": 800}
                context = browser.new_context(locale=locale, color_scheme=scheme, viewport=viewport)
                page = context.new_page()
                page.goto(server.visit())
                for name in names:
                    page.goto(f"{server.origin}{server.place(name)}")
                    page.wait_for_timeout(WAIT_MS)
                    file = target / f"{name.replace(' ', '-').replace(',', '')}-{language}-{scheme}-{width}.png"
                    page.screenshot(path=file, full_page=True)
                context.close()
    print(f"{len(names) * len(LANGUAGES) * len(SCHEMES) * len(WIDTHS)} pictures in {target}")


if __name__ == "__main__":
    main()
