// form[data-submit-once]: a second press while the first is on its way does nothing. The server
// recognises a duplicate as well; this spares the surprise.
document.addEventListener("submit", (event) => {
  "use strict";
  const form = event.target.closest("form[data-submit-once]");
  if (!form) return;
  if (form.dataset.submitted) {
    event.preventDefault();
    return;
  }
  form.dataset.submitted = "true";
  // Afterwards: the value of a button that is disabled already would not be sent.
  setTimeout(() => {
    for (const button of form.querySelectorAll("button[type=submit]")) button.disabled = true;
  });
});

// Coming back with the browser's Back button shows the page as it was left.
addEventListener("pageshow", () => {
  "use strict";
  for (const form of document.querySelectorAll("form[data-submitted]")) {
    delete form.dataset.submitted;
    for (const button of form.querySelectorAll("button[type=submit]")) button.disabled = false;
  }
});
