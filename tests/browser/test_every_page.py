"""Every page, in both languages, light and dark, on a desk and on a phone: what WCAG 2.2 AA asks, and no sideways scroll."""

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.browser.conftest import Open
from tests.browser.site import PAGES, Server

pytestmark = pytest.mark.browser
PHONE = 360
LEAST_TARGET = 44  # pixels, of what a finger has to hit on a phone
RULES = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
}
# Each value of language, scheme and width meets each other one.
WAYS: dict[str, dict[str, Any]] = {
    "en light": {"locale": "en-GB", "color_scheme": "light", "width": 1280},
    "zh dark": {"locale": "zh-CN", "color_scheme": "dark", "width": 1280},
    "zh light phone": {"locale": "zh-CN", "color_scheme": "light", "width": PHONE},
    "en dark phone": {"locale": "en-GB", "color_scheme": "dark", "width": PHONE},
}
SMALL = """least => [...document.querySelectorAll("button, a.button, nav a, select, summary, input:not([type=hidden])")]
  .map(one => one.type === "checkbox" || one.type === "radio" ? one.closest("label, td") ?? one : one)
  .filter(one => one.checkVisibility())
  .map(one => [one.outerHTML.slice(0, 120), one.getBoundingClientRect()])
  .filter(([, box]) => box.width && box.height && (box.height < least || box.width < least))
  .map(([html, box]) => `${Math.round(box.width)} x ${Math.round(box.height)}: ${html}`)"""
# A table that is wider than its box is a region with a name of its own, which the keys reach.
UNREACHED = """() => {
  const isWide = box => box.checkVisibility() && box.scrollWidth > box.clientWidth;
  const wide = [...document.querySelectorAll(".scroll")].filter(isWide);
  const names = wide.map(box => box.getAttribute("aria-label"));
  return wide
    .filter((box, i) => box.tabIndex !== 0 || box.getAttribute("role") !== "region" || names.indexOf(names[i]) !== i)
    .map(box => `not reached by keys: ${box.outerHTML.slice(0, 120)}`)
}"""


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_for_everybody(name: str, way: str, visit: Open, server: Server) -> None:
    page = visit(server.place(name), **WAYS[way])
    assert page.locator("html").get_attribute("lang") == ("zh-CN" if way.startswith("zh") else "en")
    found = Axe().run(page, options=RULES)
    faults = [found.generate_report()] if found.violations_count else []
    faults += page.evaluate(UNREACHED)
    if WAYS[way]["width"] == PHONE:
        faults += faults_on_a_phone(page)
    assert not faults, "\n".join(faults)


def faults_on_a_phone(page: Page) -> list[str]:
    """That it scrolls sideways, and what is too small to be hit."""
    wide = page.evaluate("() => document.documentElement.scrollWidth")
    return [*([f"{wide} px wide"] if wide > PHONE else []), *page.evaluate(SMALL, LEAST_TARGET)]
