// The reference of the API: Swagger UI on our own schema, in the page's colours.
(() => {
  "use strict";
  const place = document.querySelector("[data-api-reference]");
  const root = document.documentElement;

  function followTheme() {
    const isDark = root.dataset.theme
      ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.classList.toggle("dark-mode", isDark);
  }

  document.addEventListener("e2l:theme", followTheme);
  followTheme();
  window.SwaggerUIBundle({
    url: place.dataset.schema,
    domNode: place,
    presets: [window.SwaggerUIBundle.presets.apis],
    layout: "BaseLayout",
    deepLinking: true,
    docExpansion: "list",
    defaultModelsExpandDepth: 0,
    requestInterceptor: (request) => {
      if (new URL(request.url, location.href).origin === location.origin) {
        request.headers["X-CSRFToken"] = place.dataset.csrf;
      }
      return request;
    },
  });
})();
