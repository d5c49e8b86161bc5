// [data-panel-url]: embeds a figure once it is seen, and takes its colours from the style sheet.
// Parts of the page that htmx brings later are looked through as well.
(() => {
  "use strict";
  const figures = new Map(); // container -> figure

  function paint(container, figure) {
    const probe = document.createElement("span");
    container.append(probe);
    const color = (name) => {
      probe.style.color = `var(--${name})`;
      return getComputedStyle(probe).color;
    };
    const text = color("text-muted");
    const line = color("line");
    for (const axis of [...figure.below, ...figure.left]) {
      axis.setv({
        axis_line_color: line,
        major_tick_line_color: line,
        minor_tick_line_color: null,
        major_label_text_color: text,
        axis_label_text_color: text,
      });
    }
    for (const model of [...figure.center, ...figure.above]) {
      if (model.type === "Grid") model.setv({ grid_line_color: line });
      if (model.type === "Legend") {
        model.setv({ label_text_color: color("text"), background_fill_color: color("surface") });
      }
    }
    for (const { glyph } of figure.renderers) {
      glyph.line_color = { value: color(`run-${glyph.tags[0]}`) };
    }
    probe.remove();
  }

  async function load(container) {
    const response = await fetch(container.dataset.panelUrl);
    if (!response.ok) throw new Error(`The plot answered ${response.status}.`);
    const item = await response.json();
    const views = await Bokeh.embed.embed_item(item, container.id);
    const figure = [...views][0].model;
    figures.set(container, figure);
    paint(container, figure);
    container.dataset.ready = "true";
  }

  const observer = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      observer.unobserve(target);
      load(target).catch((error) => {
        target.textContent = `The plot could not be loaded. ${error.message}`;
      });
    }
  }, { rootMargin: "400px" });

  function look() {
    for (const container of document.querySelectorAll("[data-panel-url]:not([data-seen])")) {
      container.dataset.seen = "true";
      observer.observe(container);
    }
    for (const container of figures.keys()) {
      if (!container.isConnected) figures.delete(container);
    }
  }

  document.addEventListener("htmx:afterSettle", look);
  document.addEventListener("e2l:theme", () => figures.forEach((figure, box) => paint(box, figure)));
  look();
})();
