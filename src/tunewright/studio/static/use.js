// The question is sent by Ctrl+Enter, and its field is empty once it was taken.
(() => {
  "use strict";
  const form = document.getElementById("ask");
  if (!form) return;
  const field = form.elements.question;
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  form.addEventListener("htmx:after:request", (event) => {
    const status = event.detail.ctx?.response?.status;
    if (status === 200) field.value = "";
    field.focus();
  });
})();
