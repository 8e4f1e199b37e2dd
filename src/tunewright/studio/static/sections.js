// What is larger than its box can be reached and moved by keys.
(() => {
  "use strict";
  const boxes = ".scroll, .answer pre, pre.prompt, pre.code, .short .text";
  function look() {
    for (const box of document.querySelectorAll(boxes)) {
      const isCut = box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight;
      if (isCut) box.tabIndex = 0; else box.removeAttribute("tabindex");
    }
  }
  look();
  addEventListener("resize", look);
  document.addEventListener("toggle", look, true);
  document.addEventListener("htmx:after:swap", look);
})();
