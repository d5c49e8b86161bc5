// The parts of an experiment's page that the server writes: buttons, figures, failures, activity.
// They are asked for anew as soon as the experiment has changed its state or its size.
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
})();
