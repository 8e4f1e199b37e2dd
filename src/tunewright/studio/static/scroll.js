// What is larger than its box can be reached and moved by keys; a table that is also has a name, by which it is announced.
(() => {
  "use strict";
  const tableOf = JSON.parse(document.getElementById("words").textContent).table;

  // The name of its table, else of what it is folded into, else the heading above it; numbered where several have the same.
  function nameOf(box, names) {
    const isAbove = (heading) => heading.compareDocumentPosition(box) & Node.DOCUMENT_POSITION_FOLLOWING;
    const title = box.querySelector("caption") ?? box.closest("details")?.querySelector("summary")
      ?? [...document.querySelectorAll("h1, h2, h3")].filter(isAbove).at(-1);
    const name = tableOf.replace("{name}", title?.textContent.trim().replace(/\s+/g, " ") ?? "");
    const count = (names.get(name) ?? 0) + 1;
    names.set(name, count);
    return count > 1 ? `${name} ${count}` : name;
  }

  function look() {
    const names = new Map();
    for (const box of document.querySelectorAll(".scroll, .answer pre, pre.prompt, pre.code, .short .text")) {
      const isCut = box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight;
      if (isCut) box.tabIndex = 0; else box.removeAttribute("tabindex");
      if (!box.classList.contains("scroll")) continue;
      if (isCut) {
        box.setAttribute("role", "region");
        box.setAttribute("aria-label", nameOf(box, names));
      } else {
        box.removeAttribute("role");
        box.removeAttribute("aria-label");
      }
    }
  }

  look();
  addEventListener("resize", look);
  document.addEventListener("toggle", look, true);
  document.addEventListener("htmx:after:swap", look);
  document.addEventListener("htmx:sse:after:message", look);
})();
