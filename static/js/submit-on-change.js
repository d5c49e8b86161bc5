// [data-submit-on-change] sends the form when a choice changes; the button does it without scripts.
// Fields that were left empty stay out of the address.
(() => {
  "use strict";
  const forms = document.querySelectorAll("form[data-submit-on-change]");

  for (const form of forms) {
    form.addEventListener("change", (event) => {
      if (event.target.matches("select")) form.requestSubmit();
    });
    form.addEventListener("submit", () => {
      for (const field of form.elements) {
        // An empty context is a choice: that of any experiment.
        if (field.name && field.value === "" && field.name !== "context") field.disabled = true;
      }
    });
  }

  // Coming back with the browser's button finds the fields enabled.
  addEventListener("pageshow", () => {
    for (const form of forms) {
      for (const field of form.elements) field.disabled = false;
    }
  });
})();
