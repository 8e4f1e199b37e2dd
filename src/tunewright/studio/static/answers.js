// j and k: the next row and the previous one; beyond the last one the next page.
(() => {
  "use strict";
  const rows = [...document.querySelectorAll("[id^='row-']")];
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || (event.key !== "j" && event.key !== "k")) return;
    if (event.target.closest("input, textarea, select, dialog")) return;
    const step = event.key === "j" ? 1 : -1;
    const next = rows[rows.findIndex((row) => row.contains(document.activeElement)) + step];
    if (!next) {
      document.querySelector(`a[rel="${step > 0 ? "next" : "prev"}"]`)?.click();
      return;
    }
    next.focus();
    next.scrollIntoView({ block: "nearest" });
    history.replaceState(null, "", "#" + next.id);
  });
})();
