// The plot shows either the curves of all runs or their median and quartiles. The server computes
// these: while generations arrive they are asked for anew every few seconds.
(() => {
  "use strict";
  const container = document.querySelector("[data-band-url]");
  if (!container) return;
  const buttons = [...document.querySelectorAll("[data-plot-view]")];
  const captions = [...document.querySelectorAll("[data-view-caption]")];
  const KEY = "e2l-plot-view";
  const EVERY_MS = 4000;
  let figure = null;
  let view = read();
  let timer = 0;

  function read() {
    try {
      return localStorage.getItem(KEY) === "band" ? "band" : "runs";
    } catch {
      return "runs"; // storage may be forbidden; the choice then lasts for the page
    }
  }

  const isBand = (renderer) => renderer.data_source.name === "band";
  const hasBand = () => Boolean(figure?.renderers.some(isBand));

  function show() {
    const shown = hasBand() ? view : "runs";
    for (const button of buttons) {
      button.setAttribute("aria-pressed", String(button.dataset.plotView === shown));
    }
    for (const caption of captions) caption.hidden = caption.dataset.viewCaption !== shown;
    if (!figure) return;
    for (const renderer of figure.renderers) {
      renderer.visible = isBand(renderer) === (shown === "band");
    }
    for (const model of figure.center) {
      if (model.type === "Legend") model.visible = shown === "runs" && container.clientWidth >= 560;
    }
    container.dataset.view = shown;
  }

  async function refresh() {
    timer = 0;
    const asked = figure;
    const response = await fetch(
      `${container.dataset.bandUrl}?scale=${container.dataset.ready}`,
    ).catch(() => null);
    if (!response?.ok || asked !== figure || !hasBand()) return;
    const columns = await response.json();
    for (const name of Object.keys(columns)) {
      columns[name] = columns[name].map((value) => value ?? NaN);
    }
    figure.renderers.find(isBand).data_source.data = columns;
    container.dataset.bandUntil = columns.generation.at(-1) ?? -1;
  }

  function later() {
    if (view === "band" && !timer && hasBand()) timer = setTimeout(refresh, EVERY_MS);
  }

  for (const button of buttons) {
    button.addEventListener("click", () => {
      view = button.dataset.plotView;
      try {
        localStorage.setItem(KEY, view);
      } catch {
        // see read()
      }
      show();
      if (view === "band" && hasBand()) refresh();
    });
  }
  document.addEventListener("e2l:plot", ({ detail }) => {
    figure = detail.figure;
    document.querySelector("[data-plot-views]").hidden = !hasBand();
    show();
  });
  document.addEventListener("e2l:theme", show);
  document.addEventListener("e2l:generations", later);
  document.addEventListener("e2l:experiment", later);
})();
