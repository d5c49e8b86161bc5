// [data-submit-on-change] sends the form when a choice changes; the button does it without scripts.
document.addEventListener("change", ({ target }) => {
  "use strict";
  const form = target.closest("form[data-submit-on-change]");
  if (form && target.matches("select")) form.requestSubmit();
});

// Fields that were left empty stay out of the address.
document.addEventListener("submit", ({ target }) => {
  "use strict";
  if (!target.matches("form[data-submit-on-change]")) return;
  for (const field of target.elements) {
    if (field.name && field.value === "" && field.name !== "context") field.disabled = true;
  }
});

// Coming back with the browser's button finds the fields enabled.
addEventListener("pageshow", () => {
  "use strict";
  for (const form of document.querySelectorAll("form[data-submit-on-change]")) {
    for (const field of form.elements) field.disabled = false;
  }
});
