// Each figure can be saved as it is shown: as SVG and PNG on the colour of its card, as CSV with
// names and units in the first line, and as JSON. The figure names the columns by its tags.
(() => {
  "use strict";

  // --- pictures ---

  // A copy out of sight is drawn with a background, with its legend, and in vectors where these are
  // wanted: the figure on the page is transparent, and made of pixels.
  async function picture({ figure, container }, type) {
    const json = serialized(figure);
    const root = json.roots.find((model) => model.id === figure.id) ?? json.roots[0];
    const nRows = showLegends(root);
    const stage = document.createElement("div");
    stage.id = `${container.id}-copy`;
    stage.className = "plot__copy";
    stage.style.inlineSize = `${container.clientWidth}px`;
    stage.style.blockSize = `${container.clientHeight + 22 * nRows}px`;
    container.after(stage);
    Object.assign(root.attributes, {
      output_backend: type === "svg" ? "svg" : "canvas",
      background_fill_color: surface(container),
      border_fill_color: surface(container),
      toolbar_location: null,
    });
    const item = { target_id: stage.id, root_id: root.id, doc: json };
    const views = [...(await Bokeh.embed.embed_item(item, stage.id))];
    try {
      await views[0].ready;
      // In vectors the first layout knows nothing of the size of the legend.
      views[0].invalidate_layout();
      await new Promise((done) => setTimeout(done, 100));
      return await views[0].export(type === "svg" ? "svg" : "png").to_blob();
    } finally {
      for (const view of views) view.remove();
      stage.remove();
    }
  }

  // Returns how many rows the legends take that are not shown on the page, where buttons stand for
  // them.
  function showLegends({ attributes }) {
    let nRows = 0;
    for (const place of ["below", "center"]) {
      for (const model of attributes[place] ?? []) {
        if (model.name !== "Legend" || model.attributes.visible !== false) continue;
        model.attributes.visible = true;
        if (place === "below") nRows += model.attributes.items.length;
      }
    }
    return nRows;
  }

  // What scripts of the page listen to cannot be copied, and a copy does not need it.
  function serialized(figure) {
    const { js_event_callbacks } = figure;
    figure.setv({ js_event_callbacks: {} }, { silent: true });
    try {
      return figure.document.to_json();
    } finally {
      figure.setv({ js_event_callbacks }, { silent: true });
    }
  }

  function surface(container) {
    const card = container.closest(".card") ?? document.body;
    return getComputedStyle(card).backgroundColor;
  }

  // --- data ---

  // Returns the names of the columns, and the rows.
  function table({ figure }) {
    const names = new Map(figure.tags);
    const sources = new Map(); // several marks may share one
    for (const renderer of figure.renderers) {
      const { data_source: source, visible } = renderer;
      if (visible && !source.tags.includes("marks")) sources.set(source, renderer.name ?? "");
    }
    const columns = [...names.keys()].filter((column) =>
      [...sources.keys()].some(({ data }) => column in data),
    );
    const rows = [];
    for (const [{ data }, series] of sources) {
      const length = Math.max(0, ...columns.map((column) => data[column]?.length ?? 0));
      for (let row = 0; row < length; row += 1) {
        const cells = columns.map((column) => data[column]?.[row] ?? "");
        // What is not a number is a gap between curves.
        if (cells.some((cell) => Number.isNaN(cell))) continue;
        rows.push([data.label?.[row] ?? series, ...cells]);
      }
    }
    return { headers: ["series", ...columns.map((column) => names.get(column))], rows };
  }

  function csv({ headers, rows }) {
    return [headers, ...rows].map((cells) => cells.map(quoted).join(",")).join("\r\n") + "\r\n";
  }

  function json(name, { headers, rows }) {
    const columns = headers.map((header) => ({ name: header }));
    const plain = (cell) => (Math.abs(cell) === Infinity ? String(cell) : cell === "" ? null : cell);
    const objects = rows.map((cells) =>
      Object.fromEntries(cells.map((cell, place) => [headers[place], plain(cell)])),
    );
    return JSON.stringify({ table: name, columns, rows: objects, is_complete: true }, null, 1);
  }

  function quoted(cell) {
    let text = String(cell);
    // A spreadsheet would take a name for a formula.
    if (typeof cell === "string" && /^[=+@\t\r]/.test(text)) text = `'${text}`;
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  }

  // --- buttons ---

  function save(blob, name) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }

  async function saveAs(type, shown) {
    const stem = shown.container.dataset.fileName ?? shown.figure.name;
    let blob;
    if (type === "csv") {
      blob = new Blob([csv(table(shown))], { type: "text/csv;charset=utf-8" });
    } else if (type === "json") {
      blob = new Blob([json(stem, table(shown))], { type: "application/json" });
    } else {
      blob = await picture(shown, type);
    }
    save(blob, `${stem}.${type}`);
  }

  document.addEventListener("e2l:plot", ({ detail: shown }) => {
    const { container } = shown;
    const tools =
      container.parentElement.querySelector(":scope > .plot__save") ??
      document.createElement("div");
    tools.className = "plot__save";
    tools.setAttribute("role", "group");
    tools.setAttribute("aria-label", "Save this figure");
    tools.replaceChildren(
      "Save as",
      ...["svg", "png", "csv", "json"].map((type) => {
        const button = document.createElement("button");
        button.type = "button";
        button.className = "link";
        button.textContent = type.toUpperCase();
        button.addEventListener("click", () => saveAs(type, shown));
        return button;
      }),
    );
    container.after(tools);
  });
})();
