// The plot of complexity against fitness: embeds the figure and takes its colours from the style
// sheet.
(() => {
  "use strict";
  const container = document.querySelector("[data-front-url]");
  if (!container) return;
  const buttons = [...document.querySelectorAll("[data-front-scale]")];
  let views = null;
  let figure = null;
  let loads = 0;

  function paint() {
    if (!figure) return;
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
        model.setv({
          label_text_color: color("text"),
          background_fill_color: color("surface"),
        });
      }
    }
    for (const renderer of figure.renderers) {
      for (const glyph of [renderer.glyph, renderer.nonselection_glyph, renderer.selection_glyph]) {
        if (!glyph?.setv) continue;
        const stroke = color(`run-${renderer.glyph.tags[0]}`);
        glyph.line_color = { value: stroke };
        if (glyph.type === "Scatter") glyph.fill_color = { value: stroke };
      }
    }
    probe.remove();
  }

  async function load(scale) {
    loads += 1;
    const current = loads;
    for (const button of buttons) {
      button.setAttribute("aria-pressed", String(button.dataset.frontScale === scale));
    }
    figure = null;
    const response = await fetch(`${container.dataset.frontUrl}&scale=${scale}`);
    if (!response.ok) throw new Error(`The plot answered ${response.status}.`);
    const item = await response.json();
    if (current !== loads) return;
    for (const view of views ?? []) view.remove();
    container.replaceChildren();
    views = await Bokeh.embed.embed_item(item, container.id);
    if (current !== loads) return;
    figure = Bokeh.documents.at(-1).get_model_by_name("front");
    paint();
    container.dataset.ready = scale;
  }

  function start(scale) {
    load(scale).catch((error) => {
      container.textContent = `The plot could not be loaded. ${error.message}`;
    });
  }

  // A figure needs to be seen to know its size: it is loaded when its part is opened.
  const fold = container.closest("details");
  const begin = () => {
    if (fold.open && !container.dataset.ready) start(container.dataset.scale);
  };
  fold.addEventListener("toggle", begin);
  for (const button of buttons) {
    button.addEventListener("click", () => start(button.dataset.frontScale));
  }
  document.addEventListener("e2l:theme", paint);
  begin();
})();
