// The live plot: embeds the figure, extends its curves, follows the data until the reader zooms.
(() => {
  "use strict";
  const container = document.querySelector("[data-plot-url]");
  if (!container) return;
  const scaleButtons = [...document.querySelectorAll("[data-plot-scale]")];
  const KEY = "e2l-plot-scale";

  let views = null;
  let figure = null;
  let isLog = false;
  let waiting = []; // rows that came while the figure was being loaded
  let loads = 0;
  let curves = new Map(); // by run

  // --- data ---

  const COLUMNS = ["run", "generation", "value", "fitness", "rule", "size"];
  const GAP = { run: NaN, generation: NaN, value: NaN, fitness: NaN, rule: "", size: 0 };
  const MARK_SIZE = 6;
  const emptyColumns = () => Object.fromEntries(COLUMNS.map((name) => [name, []]));

  // A source holds the curves of one or several runs, which its tags name, with gaps between them.
  function readCurves() {
    curves = new Map();
    const sources = new Set(figure.renderers.map((renderer) => renderer.data_source));
    for (const source of sources) {
      if (!source.name?.startsWith("curves-")) continue;
      for (const [run, label] of source.tags) {
        curves.set(run, { source, label, data: emptyColumns() });
      }
      for (const [row, run] of [...source.data.run].entries()) {
        const curve = curves.get(run);
        if (curve) for (const name of COLUMNS) curve.data[name].push(source.data[name][row]);
      }
      write(source); // with labels
    }
  }

  function write(source) {
    const joined = emptyColumns();
    for (const [run] of source.tags) {
      const { data } = curves.get(run);
      const hasGap = joined.run.length > 0 && data.run.length > 0;
      for (const name of COLUMNS) {
        if (hasGap) joined[name].push(GAP[name]);
        joined[name] = joined[name].concat(data[name]);
      }
    }
    joined.label = joined.run.map((run) => curves.get(run)?.label ?? "");
    source.data = joined;
  }

  // A curve holds the corners of its steps and, as its last point, where it has come to: a long
  // history stays as small as the number of its improvements. Returns whether it has changed.
  function extend(run, rows) {
    const { data } = curves.get(run);
    let isChanged = false;
    for (const row of rows) {
      const end = data.generation.length - 1;
      if (row.fitness === null || row.generation <= (data.generation[end] ?? -1)) continue;
      isChanged = true;
      if (end >= 0) data.generation[end] = row.generation;
      if (end >= 0 && data.fitness[end] === row.fitness) continue;
      const point = {
        run,
        generation: row.generation,
        value: isLog ? (row.fitness < 0 ? -row.fitness : NaN) : row.fitness,
        fitness: row.fitness,
        rule: row.rule ? row.rule.text.join(" ; ") : (data.rule[end] ?? ""),
        size: MARK_SIZE,
      };
      for (const name of COLUMNS) data[name].push(point[name], name === "size" ? 0 : point[name]);
    }
    return isChanged;
  }

  function accept(rows) {
    if (!figure) {
      waiting.push(...rows);
      return;
    }
    const changed = new Set();
    for (const [run, ofRun] of Map.groupBy(rows, (row) => row.run)) {
      if (curves.has(run) && extend(run, ofRun)) changed.add(curves.get(run).source);
    }
    for (const source of changed) write(source);
    follow();
  }

  // --- what is in view ---

  // Evolution starts with rules that are worse by orders of magnitude. The range leaves out the
  // worst part of the curves' time, unless all of it takes little more room.
  function interestingRange() {
    const pieces = [];
    for (const { generation, value } of Array.from(curves.values(), ({ data }) => data)) {
      for (let i = 0; i + 1 < value.length; i += 1) {
        const at = isLog ? Math.log10(value[i]) : value[i];
        if (Number.isFinite(at)) pieces.push([at, generation[i + 1] - generation[i] + 0.5]);
      }
    }
    if (!pieces.length) return null;
    const worstFirst = isLog ? (a, b) => b[0] - a[0] : (a, b) => a[0] - b[0];
    pieces.sort(worstFirst);
    const best = pieces.at(-1)[0];
    const total = pieces.reduce((sum, piece) => sum + piece[1], 0);
    let time = 0;
    let usual = pieces[0][0];
    for (const [at, duration] of pieces) {
      time += duration;
      usual = at;
      if (time > (isLog ? 0.02 : 0.4) * total) break;
    }
    const worst = pieces[0][0];
    const isShort = Math.abs(worst - best) <= 2.5 * Math.abs(usual - best);
    const edge = isShort ? worst : usual;
    const padding = Math.abs(edge - best) * 0.08 || (isLog ? 0.1 : Math.abs(best) * 0.05 || 1);
    const [low, high] = [Math.min(edge, best) - padding, Math.max(edge, best) + padding];
    return isLog ? [10 ** low, 10 ** high] : [low, high];
  }

  function follow() {
    const { x_range: x, y_range: y } = figure;
    if (!x.have_updated_interactively) {
      const ends = Array.from(curves.values(), ({ data }) => data.generation.at(-1) ?? 0);
      const last = Math.max(10, ...ends);
      x.setv({ start: -0.01 * last, end: 1.03 * last });
    }
    if (!y.have_updated_interactively) {
      const range = interestingRange();
      if (range) y.setv({ start: range[0], end: range[1] });
    }
  }

  // --- colours ---

  function paint() {
    if (!figure) return;
    e2lPlots.paint(figure, container);
    showLegend();
  }

  // It would cover the curves of a narrow plot; the table of runs has the same colours.
  function showLegend() {
    for (const model of figure?.center ?? []) {
      if (model.type === "Legend") model.visible = container.clientWidth >= 560;
    }
  }

  // --- loading ---

  async function load(scale) {
    loads += 1;
    const load = loads;
    for (const button of scaleButtons) {
      button.setAttribute("aria-pressed", String(button.dataset.plotScale === scale));
    }
    figure = null;
    const response = await fetch(`${container.dataset.plotUrl}?scale=${scale}`);
    if (!response.ok) throw new Error(`The plot answered ${response.status}.`);
    const item = await response.json();
    if (load !== loads) return; // another scale was chosen meanwhile
    for (const view of views ?? []) view.remove();
    container.replaceChildren();
    views = await Bokeh.embed.embed_item(item, container.id);
    if (load !== loads) return;
    isLog = scale === "log";
    figure = Bokeh.documents.at(-1).get_model_by_name("champion-fitness");
    figure.on_event("reset", () => {
      // after the tool has put back the ranges that the figure came with
      setTimeout(() => {
        figure.x_range.have_updated_interactively = false;
        figure.y_range.have_updated_interactively = false;
        follow();
      });
    });
    readCurves();
    paint();
    const rows = waiting;
    waiting = [];
    accept(rows);
    e2lPlots.followTicks(figure);
    container.dataset.ready = scale;
    document.dispatchEvent(new CustomEvent("e2l:plot", { detail: { figure, container } }));
  }

  function chosen() {
    const offered = scaleButtons.map((button) => button.dataset.plotScale);
    try {
      const stored = localStorage.getItem(KEY);
      if (offered.includes(stored)) return stored;
    } catch {
      // storage may be forbidden
    }
    return container.dataset.scale;
  }

  function start(scale) {
    load(scale).catch((error) => {
      container.textContent = `The plot could not be loaded. ${error.message}`;
    });
  }

  for (const button of scaleButtons) {
    button.addEventListener("click", () => {
      try {
        localStorage.setItem(KEY, button.dataset.plotScale);
      } catch {
        // the choice then lasts for the page
      }
      start(button.dataset.plotScale);
    });
  }
  document.addEventListener("e2l:generations", (event) => accept(event.detail));
  document.addEventListener("e2l:experiment", ({ detail }) => {
    // An extension adds runs: they need curves of their own.
    if (figure && detail.runs.some(({ run }) => !curves.has(run))) start(container.dataset.ready);
  });
  document.addEventListener("e2l:theme", paint);
  new ResizeObserver(showLegend).observe(container);
  start(chosen());
})();
