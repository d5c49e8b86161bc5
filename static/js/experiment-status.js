// State, progress, times and the table of runs.
(() => {
  "use strict";
  const status = document.querySelector("[data-status]");
  if (!status) return;
  const { formatFitness, formatDuration } = window.e2l;
  const reasons = JSON.parse(status.dataset.reasons);
  const announcement = document.querySelector("[data-state-announcement]");
  const body = document.querySelector("[data-runs]");
  let nGenerations = Number(status.dataset.nGenerations);
  const summary = document.querySelector('[data-field="plot-summary"]');
  const find = (name) => status.querySelector(`[data-field="${name}"]`);
  const readRows = () =>
    new Map([...body.querySelectorAll("tr[data-run]")].map((row) => [Number(row.dataset.run), row]));
  let rows = readRows();
  const isFinal = (state) => ["finished", "stopped", "failed", "published"].includes(state);

  let state = status.dataset.state;
  let elapsed = read(status.dataset.elapsed);
  let remaining = read(status.dataset.remaining);
  let receivedAt = performance.now();

  function read(text) {
    return text === "" ? null : Number(text);
  }

  function setState(badge, value) {
    badge.dataset.state = value;
    badge.textContent = value;
  }

  function setRun(run, values) {
    const row = rows.get(run);
    if (!row) return;
    const cell = (name) => row.querySelector(`[data-field="${name}"]`);
    if (values.generation !== undefined) {
      row.dataset.generation = values.generation;
      cell("generation").textContent = values.generation < 0 ? "—" : values.generation;
    }
    if (values.fitness !== undefined) {
      row.dataset.fitness = values.fitness ?? "";
      cell("fitness").textContent = formatFitness(values.fitness);
    }
    if (values.isImprovement) row.dataset.improvedAt = values.generation;
    if (values.state) {
      setState(cell("state"), values.state);
      cell("reason").textContent = values.reason;
    }
  }

  function showProgress() {
    let done = 0;
    for (const row of rows.values()) {
      const isDone = row.querySelector('[data-field="state"]').dataset.state === "finished";
      done += isDone ? 1 : Math.max(0, row.dataset.generation) / nGenerations;
    }
    const share = Math.min(1, done / rows.size);
    find("progress").value = share;
    find("percent").textContent = `${Math.floor(100 * share + 1e-6)} %`;
  }

  // What the plot shows, in words.
  function showSummary() {
    const runs = [...rows.values()].filter((row) => row.dataset.fitness !== "");
    if (!runs.length) return;
    runs.sort(
      (a, b) =>
        b.dataset.fitness - a.dataset.fitness || a.dataset.improvedAt - b.dataset.improvedAt,
    );
    const furthest = Math.max(...[...rows.values()].map((row) => row.dataset.generation));
    const [best, worst] = [runs[0], runs.at(-1)];
    let text = `${best.dataset.label} has the best fitness, ${formatFitness(Number(best.dataset.fitness))}`;
    if (runs.length > 1) {
      text += `; the champions of the other runs lie down to ${formatFitness(Number(worst.dataset.fitness))}`;
    }
    summary.textContent = `${text}, after up to ${furthest} of ${nGenerations} generations.`;
  }

  function showTimes() {
    const passed = state === "running" ? (performance.now() - receivedAt) / 1000 : 0;
    find("elapsed").textContent = elapsed === null ? "—" : formatDuration(elapsed + passed);
    const left = remaining === null ? null : Math.max(0, remaining - passed);
    find("remaining").textContent =
      left === null || isFinal(state) ? "—" : left < 1 ? "a moment" : `≈ ${formatDuration(left)}`;
  }

  document.addEventListener("e2l:generations", ({ detail }) => {
    for (const { run, generation, fitness, is_improvement: isImprovement } of detail) {
      setRun(run, { generation, fitness, isImprovement });
    }
    showProgress();
    showSummary();
  });

  const stateOf = (run) => rows.get(run)?.querySelector('[data-field="state"]').dataset.state;

  // An extension adds runs, and a run that fails says why: the server writes their rows.
  async function readRuns() {
    const response = await fetch(location.pathname).catch(() => null);
    if (!response?.ok) return; // the next message tries again
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const fresh = page.querySelector("[data-runs]");
    if (!fresh) return;
    body.replaceChildren(...fresh.rows);
    rows = readRows();
    document.querySelector('[data-field="n-runs"]').textContent =
      `${rows.size} run${rows.size === 1 ? "" : "s"}`;
  }

  document.addEventListener("e2l:experiment", async ({ detail }) => {
    if (state !== detail.state) announcement.textContent = `The experiment is ${detail.state} now.`;
    state = detail.state;
    elapsed = detail.elapsed_s;
    remaining = detail.remaining_s;
    nGenerations = detail.n_generations;
    receivedAt = performance.now();
    setState(find("state"), state);
    const isNew = (run) =>
      !rows.has(run.run) || (run.state === "failed" && stateOf(run.run) !== "failed");
    if (detail.runs.some(isNew)) await readRuns();
    for (const run of detail.runs) {
      setRun(run.run, {
        state: run.state,
        reason: run.stop_reason ? `, ${reasons[run.stop_reason]}` : "",
        generation: Math.max(run.generation, Number(rows.get(run.run)?.dataset.generation ?? -1)),
      });
    }
    showProgress();
    showTimes();
  });

  showTimes();
  setInterval(() => {
    if (state === "running") showTimes();
  }, 1000);
})();
