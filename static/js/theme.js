// Light, dark or as the system says: applied before the first paint, switched by
// [data-theme-toggle], kept in this browser.
(() => {
  "use strict";
  const KEY = "e2l-theme";
  const THEMES = ["auto", "light", "dark"];
  const LABELS = { auto: "◐ Auto", light: "☀ Light", dark: "☾ Dark" };
  const root = document.documentElement;

  function read() {
    try {
      const theme = localStorage.getItem(KEY);
      return THEMES.includes(theme) ? theme : "auto";
    } catch {
      return "auto"; // storage may be forbidden; the switch then lasts for the page
    }
  }

  function apply(theme) {
    if (theme === "auto") delete root.dataset.theme;
    else root.dataset.theme = theme;
  }

  let theme = read();
  apply(theme);

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.querySelector("[data-theme-toggle]");
    const show = () => {
      button.textContent = LABELS[theme];
      button.setAttribute("aria-label", `Colours: ${theme}. Switch.`);
    };
    button.hidden = false;
    show();
    button.addEventListener("click", () => {
      theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
      try {
        localStorage.setItem(KEY, theme);
      } catch {
        // see read()
      }
      apply(theme);
      show();
      document.dispatchEvent(new CustomEvent("e2l:theme"));
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
      document.dispatchEvent(new CustomEvent("e2l:theme")),
    );
  });
})();
