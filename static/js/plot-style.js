// What all plots share: colours from the style sheet, and ticks of logarithmic axes.
//
// A glyph says by its first tag what colour it has: a number for that of a run or group, else the
// name of a colour in the style sheet; "by-fitness" for a column of shares from 0 to 1.
(() => {
  "use strict";
  const SUPERSCRIPTS = {
    "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹",
  };

  // --- colours ---

  function palette(container) {
    const probe = document.createElement("span");
    container.append(probe);
    return {
      of(name) {
        probe.style.color = `var(--${name})`;
        return getComputedStyle(probe).color;
      },
      end: () => probe.remove(),
    };
  }

  function mixed(share, low, high) {
    const [from, to] = [low, high].map((color) => color.match(/[\d.]+/g).map(Number));
    const parts = from.slice(0, 3).map((part, i) => Math.round(part + share * (to[i] - part)));
    return `rgb(${parts.join(", ")})`;
  }

  function paintGlyph(renderer, glyph, colors) {
    const tag = renderer.glyph.tags[0];
    if (tag === "by-fitness") {
      const { data } = renderer.data_source;
      const [low, high] = [colors.of("run-1"), colors.of("run-0")];
      const column = Array.from(data.fitness_share, (share) => mixed(share, low, high));
      renderer.data_source.data = { ...data, color: column };
      glyph.line_color = { field: "color" };
      return;
    }
    const color = { value: colors.of(typeof tag === "number" ? `run-${tag}` : tag) };
    if (glyph.type === "Text") {
      glyph.text_color = color;
      glyph.background_fill_color = { value: colors.of("surface") };
      glyph.background_fill_alpha = 0.75;
    } else if (glyph.type !== "VArea") glyph.line_color = color;
    if (["VArea", "VStrip", "Scatter", "Quad"].includes(glyph.type)) glyph.fill_color = color;
  }

  function paint(figure, container) {
    const colors = palette(container);
    const [text, line] = [colors.of("text-muted"), colors.of("line")];
    for (const axis of [...figure.below, ...figure.left]) {
      if (!axis.type.endsWith("Axis")) continue;
      axis.setv({
        axis_line_color: line,
        major_tick_line_color: line,
        minor_tick_line_color: null,
        major_label_text_color: text,
        axis_label_text_color: text,
      });
    }
    for (const model of [...figure.center, ...figure.above, ...figure.below]) {
      if (model.type === "Grid") model.setv({ grid_line_color: line });
      if (model.type === "Legend") {
        model.setv({
          label_text_color: colors.of("text"),
          background_fill_color: colors.of("surface"),
          border_line_color: line,
        });
      }
    }
    for (const renderer of figure.renderers) {
      for (const glyph of [renderer.glyph, renderer.nonselection_glyph, renderer.selection_glyph]) {
        if (glyph?.setv) paintGlyph(renderer, glyph, colors);
      }
    }
    colors.end();
  }

  // --- ticks of the logarithmic axis: the client sets them, as it knows the range ---

  function logTicks(start, end) {
    const decades = Math.log10(end / start);
    if (decades < 0.7) {
      const rough = (end - start) / 5;
      const unit = 10 ** Math.floor(Math.log10(rough));
      const step = unit * [1, 2, 5, 10].find((factor) => factor * unit >= rough);
      const first = Math.ceil(start / step);
      const count = Math.floor(end / step) - first + 1;
      return Array.from({ length: count }, (_, i) => Number(((first + i) * step).toPrecision(12)));
    }
    const mantissas = decades > 3 ? [1] : decades > 1.2 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 7];
    const every = Math.ceil(decades / 8);
    const ticks = [];
    for (let power = Math.floor(Math.log10(start)); 10 ** power <= end; power += 1) {
      if (power % every) continue;
      ticks.push(...mantissas.map((mantissa) => Number(`${mantissa}e${power}`)));
    }
    return ticks.filter((tick) => tick >= start && tick <= end);
  }

  // BokehJS's own labels are rounded to powers of ten where it takes the ticks for decades.
  function logLabel(tick) {
    const power = Math.floor(Math.log10(tick) + 1e-9);
    if (power >= -3 && power < 5) return String(tick);
    const mantissa = Number((tick / 10 ** power).toPrecision(6));
    const exponent = [...String(power)].map((digit) => SUPERSCRIPTS[digit]).join("");
    return `${mantissa === 1 ? "" : `${mantissa}·`}10${exponent}`;
  }

  function setTicks(figure) {
    if (figure.left[0].type !== "LogAxis") return;
    const { start, end } = figure.y_range;
    // An axis on which better is higher may fall.
    const ticks = logTicks(Math.min(start, end), Math.max(start, end));
    figure.left[0].major_label_overrides = new Map(ticks.map((tick) => [tick, logLabel(tick)]));
    figure.left[0].ticker.ticks = ticks;
  }

  function followTicks(figure) {
    figure.y_range.change.connect(() => setTicks(figure));
    setTicks(figure);
  }

  window.e2lPlots = { paint, followTicks, setTicks };
})();
