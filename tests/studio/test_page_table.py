"""No page is left out where every page is looked at in a browser."""

from urllib.parse import urlsplit

from starlette.routing import Route

from tests.browser.site import PAGES
from tunewright.studio import app
from tunewright.studio.guard import Keys

# Parts of pages, data and downloads.
NO_PAGES = {
    "/stream", "/machine/stream", "/runs/{name}/stream", "/runs/{name}/chat/stream", "/runs/{name}/export/stream",
    "/runs/{name}/findings", "/runs/{name}/curve", "/runs/{name}/log", "/runs/{name}/report",
    "/runs/{name}/files/{file:path}", "/runs/{name}/card", "/runs/{name}/answers.csv", "/runs/{name}/answers.jsonl",
    "/compare/search", "/data/{id}/look", "/data/{id}/lengths", "/data/{id}/rows", "/data/{id}/rows/{number:row}",
}  # fmt: skip


def test_every_page_is_in_the_table_of_the_browser_tests() -> None:
    routes = [route for route in app.build(Keys(b"k" * 32, 1)).routes if isinstance(route, Route)]
    pages = [route for route in routes if "GET" in (route.methods or ()) and route.path not in NO_PAGES]
    shown = [urlsplit(address.format(data="0" * 16)).path for address in PAGES.values()]
    assert pages
    assert not [page.path for page in pages if not any(page.path_regex.match(path) for path in shown)]
    assert {route.path for route in routes} >= NO_PAGES
