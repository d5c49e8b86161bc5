// The card of the best rule so far, and the best fitness.
(() => {
  "use strict";
  const card = document.querySelector("[data-champion]");
  if (!card) return;
  const { formatFitness, mathElement } = window.e2l;
  const best = document.querySelector('[data-field="best-fitness"]');
  let current = {
    fitness: card.dataset.fitness === "" ? -Infinity : Number(card.dataset.fitness),
    run: Number(card.dataset.run),
    foundAt: Number(card.dataset.foundAt),
  };
  const foundAt = new Map(); // by run, the generation of its last fitter champion
  let askTimer = 0;
  let triesLeft = 0;

  const indexOf = (run) => {
    const row = document.querySelector(`tr[data-run="${run}"]`);
    return row ? row.sectionRowIndex : Infinity;
  };

  // A fitter rule of any run, or another form of the present one by neutral drift. Of equally fit
  // ones that which needed fewer generations counts, whichever worker was faster.
  function replaces(row) {
    if (row.is_improvement) foundAt.set(row.run, row.generation);
    if (row.fitness === null || !row.rule) return false;
    if (row.run === current.run) return row.fitness >= current.fitness;
    if (row.fitness !== current.fitness) return row.fitness > current.fitness;
    const found = foundAt.get(row.run) ?? Infinity;
    return (
      found < current.foundAt || (found === current.foundAt && indexOf(row.run) < indexOf(current.run))
    );
  }

  function show(row) {
    const { rule, run, generation, fitness } = row;
    const find = (name) => card.querySelector(`[data-field="${name}"]`);
    for (const [index, mathml] of rule.mathml.entries()) {
      find(`math-${index}`).replaceChildren(mathElement(mathml));
    }
    for (const [index, text] of rule.text.entries()) find(`text-${index}`).textContent = text;
    find("fitness").textContent = formatFitness(fitness);
    find("complexity").textContent = rule.complexity;
    find("rule-link").href = `/rules/${rule.id}/`;
    find("origin").textContent =
      `${document.querySelector(`tr[data-run="${run}"]`).dataset.label}, generation ${generation}`;
    find("known").replaceChildren(); // belongs to the former rule; the server knows better
    card.querySelector("[data-champion-found]").hidden = false;
    card.querySelector("[data-champion-missing]").hidden = true;
    best.textContent = formatFitness(fitness);
    delete card.dataset.changed;
    void card.offsetWidth; // lets the highlight start anew
    card.dataset.changed = "true";
  }

  // How the rule relates to known ones takes algebra, which only the server does.
  function askKnown() {
    clearTimeout(askTimer);
    triesLeft -= 1;
    document.dispatchEvent(new CustomEvent("e2l:ask-known"));
  }

  document.addEventListener("e2l:known", ({ detail }) => {
    if (detail.rule !== current.rule) {
      // It was read just before. Or this is one of several rules that are equally fit.
      if (triesLeft > 0) askTimer = setTimeout(askKnown, 5000);
      return;
    }
    const page = new DOMParser().parseFromString(detail.html, "text/html");
    card.querySelector('[data-field="known"]').replaceChildren(...page.body.childNodes);
  });

  document.addEventListener("e2l:generations", ({ detail }) => {
    let latest = null;
    for (const row of detail) {
      if (!replaces(row)) continue;
      latest = row;
      current = {
        fitness: row.fitness,
        run: row.run,
        foundAt: foundAt.get(row.run) ?? current.foundAt,
        rule: row.rule.id,
      };
    }
    if (!latest) return;
    show(latest);
    triesLeft = 3;
    askKnown();
  });
})();
