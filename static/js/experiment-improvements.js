// The table of improvements, newest first, and their announcement to screen readers.
(() => {
  "use strict";
  const body = document.querySelector("[data-improvements]");
  if (!body) return;
  const { formatFitness, mathElement } = window.e2l;
  const announcement = document.querySelector("[data-announcement]");
  const LIMIT = Number(body.dataset.limit);
  let best = body.dataset.best === "" ? -Infinity : Number(body.dataset.best);
  let announceTimer = 0;

  function cell(label, className, ...content) {
    const element = document.createElement("td");
    element.dataset.label = label;
    element.className = className;
    element.append(...content);
    return element;
  }

  function tableRow(row, run) {
    const element = document.createElement("tr");
    element.id = `improvement-${row.run}-${row.generation}`;
    const swatch = document.createElement("span");
    swatch.className = "swatch";
    swatch.dataset.color = run.dataset.color;
    const rule = document.createElement("div");
    rule.className = "rule-list";
    const link = document.createElement("a");
    link.className = "rule-link";
    if (row.rule && "rules" in body.dataset) link.href = `/rules/${row.rule.id}/`;
    rule.append(link);
    for (const [index, mathml] of (row.rule?.mathml ?? []).entries()) {
      const math = mathElement(mathml);
      const text = row.rule.text[index];
      link.append(math ?? text);
      if (math) rule.title = row.rule.text.join(" ; ");
    }
    element.append(
      cell("Generation", "cell--number", String(row.generation)),
      cell("Run", "nowrap", swatch, run.dataset.label),
      cell("Rule", "", rule),
      cell("Fitness", "cell--number", formatFitness(row.fitness)),
    );
    return element;
  }

  // One sentence at a time: in the first generations improvements come faster than speech.
  function announce(row, run) {
    clearTimeout(announceTimer);
    announceTimer = setTimeout(() => {
      announcement.textContent =
        `New best rule: ${row.rule?.text.join(" and ") ?? "unchanged"}, ` +
        `fitness ${formatFitness(row.fitness)}, ${run.dataset.label}, generation ${row.generation}.`;
    }, 1500);
  }

  document.addEventListener("e2l:generations", ({ detail }) => {
    for (const row of detail) {
      if (!row.is_improvement || row.fitness === null) continue;
      const run = document.querySelector(`tr[data-run="${row.run}"]`);
      if (!run || document.getElementById(`improvement-${row.run}-${row.generation}`)) continue;
      body.prepend(tableRow(row, run));
      if (row.fitness > best) {
        best = row.fitness;
        announce(row, run);
      }
    }
    while (body.rows.length > LIMIT) body.deleteRow(-1);
    document.querySelector("[data-no-improvements]").hidden = body.rows.length > 0;
  });
})();
