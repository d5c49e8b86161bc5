// details[data-popover]: one is open at a time; Escape and a press elsewhere close it.
(() => {
  "use strict";
  const opened = () => document.querySelectorAll("details[data-popover][open]");

  document.addEventListener("click", (event) => {
    for (const popover of opened()) {
      if (!popover.contains(event.target)) popover.open = false;
    }
  });

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const popover of opened()) {
      const hadFocus = popover.contains(document.activeElement);
      popover.open = false;
      if (hadFocus) popover.querySelector("summary").focus();
    }
  });
})();
