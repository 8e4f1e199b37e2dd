"""What a browser would see of a page: its texts, its sections, and that nothing in it needs more than the policy allows."""

from tests.unit.report.test_report_page import Page


def held_in(text: str) -> Page:
    """A page in which no style, script or handler stands inline, and which names no other host."""
    page = Page(text)
    for tag, attributes in page.elements:
        assert "style" not in attributes, (tag, attributes)
        assert not [name for name in attributes if name.startswith(("on", "hx-on"))], (tag, attributes)
        assert tag != "style" and (tag != "script" or "src" in attributes or attributes["type"] == "application/json")
        for name in ("src", "href", "action", "hx-get", "hx-post"):
            address = attributes.get(name)
            assert address is None or (address.startswith(("/", "#")) and not address.startswith("//")), (tag, address)
    return page


def sections(text: str) -> dict[str, str]:
    """The text of each section by its id, with blanks made one."""
    pieces = text.split('<section id="')[1:]
    return {piece.split('"', 1)[0]: Page('<section id="' + piece.split("</section>", 1)[0]).text for piece in pieces}
