// Parts of a page that renew themselves every few seconds rest while nobody can see the page.
document.addEventListener("htmx:beforeRequest", (event) => {
  "use strict";
  const { elt, requestConfig } = event.detail;
  // What htmx asks for at intervals has no event behind it.
  const isPolled = !requestConfig.triggeringEvent && /\bevery\b/.test(elt.getAttribute("hx-trigger"));
  if (document.hidden && isPolled) event.preventDefault();
});
