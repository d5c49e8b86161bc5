// The parts of an experiment's page that the server writes: buttons, figures, failures, activity.
// They are asked for anew as soon as the experiment has changed its state or its size. Meanwhile
// the live connection brings the figures, and tells whether there are other records.
(() => {
  "use strict";
  const keyOf = ({ state, is_archived: isArchived, n_generations: n, runs }) =>
    `${state} ${isArchived ? "archived" : ""} ${n} ${runs.length}`;

  document.addEventListener("e2l:experiment", ({ detail }) => {
    const actions = document.getElementById("actions");
    if (!actions || actions.dataset.actions === keyOf(detail)) return;
    for (const id of ["actions", "figures", "records", "validation"]) {
      htmx.trigger(document.getElementById(id), "e2l:refresh");
    }
  });

  document.addEventListener("e2l:parts", ({ detail }) => {
    const figures = document.getElementById("figures");
    const records = document.getElementById("records");
    if (!figures || !records) return;
    // An answer on its way is as new, and would find the element that has asked for it gone.
    if (figures.classList.contains("htmx-request")) return;
    const options = { select: "#figures", selectOOB: "#tile-success" };
    htmx.swap(figures, detail.figures, { swapStyle: "outerHTML" }, options);
    if (records.dataset.digest !== detail.records) htmx.trigger(records, "e2l:refresh");
  });
})();
