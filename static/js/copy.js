// [data-copy="#id"] copies the text of an element.
document.addEventListener("click", async (event) => {
  "use strict";
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const text = document.querySelector(button.dataset.copy).textContent.trim();
  let answer = "Copied";
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    answer = "Press Ctrl+C"; // without TLS browsers forbid the clipboard, save on localhost
    getSelection().selectAllChildren(document.querySelector(button.dataset.copy));
  }
  const label = button.textContent;
  button.textContent = answer;
  setTimeout(() => {
    button.textContent = label;
  }, 1500);
});
