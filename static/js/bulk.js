// The boxes of the list: all at once, how many are chosen, and that they stay chosen while the table
// renews itself. Without this script every button works, and says so where nothing is chosen.
(() => {
  "use strict";
  const form = document.querySelector("form[data-bulk]");
  if (!form) return;
  const all = form.querySelector("[data-bulk-all]");
  const allBox = all.querySelector("input");
  const count = form.querySelector("[data-bulk-count]");
  const boxes = () => [...document.querySelectorAll('input[form="bulk"][name="experiment"]')];
  let chosen = new Set();

  function show() {
    const present = boxes();
    const n = present.filter((box) => box.checked).length;
    allBox.checked = n > 0 && n === present.length;
    allBox.indeterminate = n > 0 && n < present.length;
    count.textContent = n ? `${n} chosen` : "";
    for (const button of form.querySelectorAll("button")) button.disabled = n === 0;
    form.dataset.chosen = n;
  }

  function note() {
    chosen = new Set(boxes().filter((box) => box.checked).map((box) => box.value));
    show();
  }

  document.addEventListener("change", (event) => {
    if (event.target === allBox) {
      for (const box of boxes()) box.checked = allBox.checked;
      note();
    } else if (event.target.matches('input[form="bulk"]')) {
      note();
    }
  });
  document.addEventListener("htmx:afterSwap", () => {
    for (const box of boxes()) box.checked = chosen.has(box.value);
    show();
  });
  addEventListener("pageshow", note); // a browser may have kept the boxes as they were left
  all.hidden = false;
  note();
})();
