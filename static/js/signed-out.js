// Parts of a page that renew themselves stay as they are when the answer is another page: whoever
// was signed out meanwhile would find the sign-in in the middle of a table.
document.addEventListener("htmx:beforeSwap", (event) => {
  "use strict";
  const { xhr, pathInfo } = event.detail;
  const asked = new URL(pathInfo.requestPath, location.href).pathname;
  if (xhr.responseURL && new URL(xhr.responseURL).pathname !== asked) event.detail.shouldSwap = false;
});
