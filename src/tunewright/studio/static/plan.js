// The search among all settings: rows without the words are hidden; what was typed in them stays part of the form.
(() => {
  "use strict";
  document.addEventListener("input", (event) => {
    if (event.target.id !== "find-setting") return;
    const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
    document.querySelectorAll("tr[data-words]").forEach((row) => {
      row.hidden = !words.every((word) => row.dataset.words.toLowerCase().includes(word));
    });
  });
})();
