"""From the commit of a generation to the page: a process commits one generation after the other,
each with a fitter champion (the most that can change: curve, champion, table), and announces it as
workers do; uvicorn, the private Valkey and a Chromium without a window run beside it. Measured is
the time from the end of the commit to the end of the page's own work on it (curve extended, table
and champion written), and to the frame after it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from e2l_site import private_valkey
from e2l_site.locations import PROJECT_ROOT
from tests.bench import Row
from tests.browser.site import CHROMIUM_ARGUMENTS, Site
from tests.system_packages import find_chromium

if TYPE_CHECKING:
    from collections.abc import Iterator

TITLE = "Live updates of the experiment page"
BOUND_MS = 300.0
N_GENERATIONS = 200
INTERVAL_S = 0.1

_PREPARE = """
import django; django.setup()
from tests.evolution.histories import add_generations, make_experiment
experiment = make_experiment(n_runs=1, n_generations=10_000)
run = experiment.runs.get()
add_generations(run, [("(v - u)*s", -1e6)] + [(None, -1e6)] * 500)
print(experiment.pk, run.pk)
"""

# Times are those of the system's clock, which the browser reads as well.
_WRITE = f"""
import json, sys, time, django; django.setup()
from django.db import transaction
from evolution import events, selectors
from evolution.models import Run
from tests.evolution.histories import add_generations
experiment, run_id = map(int, sys.argv[1:])
run = Run.objects.get(pk=run_id)
committed = {{}}
for number in range({N_GENERATIONS}):
    started = time.monotonic()
    with transaction.atomic():
        add_generations(run, [(f"(v - u)*s*{{number + 2}}", -1e5 + number)])
    committed[run.n_generations_done] = 1e3 * time.time()
    (message,) = selectors.generation_messages(
        experiment_id=experiment, cursors={{run_id: run.n_generations_done - 1}}, limit=1
    )
    events.announce_generations(experiment, [message])
    time.sleep(max(0.0, {INTERVAL_S} - (time.monotonic() - started)))
print(json.dumps(committed))
"""

# Added last, so it runs when the page's own listeners are done.
_RECORD = """
window.seen = {};
addEventListener("load", () => document.addEventListener("e2l:generations", ({ detail }) => {
  const done = Date.now();
  requestAnimationFrame(() => setTimeout(() => {
    for (const row of detail) window.seen[row.generation] = [done, Date.now()];
  }));
}));
"""


def rows() -> Iterator[Row]:
    """Measure in a browser; nothing where there is none."""
    if find_chromium() is None:
        return
    with tempfile.TemporaryDirectory() as name:
        committed, seen = _measure(Path(name))
    for index, what in enumerate(("page updated", "next frame drawn")):
        times_ms = [seen[key][index] - at for key, at in committed.items() if key in seen]
        assert len(times_ms) == N_GENERATIONS
        yield Row(f"{what}, median", float(np.median(times_ms)), "ms")
        yield Row(
            f"{what}, 95th percentile", float(np.percentile(times_ms, 95)), "ms", bound=BOUND_MS
        )


def _measure(directory: Path) -> tuple[dict[str, float], dict[str, list[float]]]:
    from playwright.sync_api import sync_playwright

    socket_path = directory / "v.sock"
    command = private_valkey.server_command(
        socket_path, private_valkey.prepare(socket_path, directory)
    )
    valkey = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    site = None
    try:
        site = Site.create(directory, f"unix://{socket_path}?db=0")
        site.start_web()
        link = site.first_link()
        experiment, run = site.python("-c", _PREPARE).split()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=str(find_chromium()), args=list(CHROMIUM_ARGUMENTS)
            )
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.add_init_script(_RECORD)
            page.goto(link)
            page.get_by_label("Username").fill("bench")
            page.get_by_label("Password", exact=True).fill("a long enough one")
            page.get_by_label("Password confirmation").fill("a long enough one")
            page.get_by_role("button", name="Create the account").click()
            page.goto(f"{site.url}/experiments/{experiment}/")
            page.wait_for_selector("[data-connection=live]")
            page.wait_for_selector("#plot[data-ready]")
            writer = subprocess.Popen(
                [sys.executable, "-c", _WRITE, experiment, run],
                cwd=PROJECT_ROOT,
                env=site.environment,
                stdout=subprocess.PIPE,
                text=True,
            )
            while writer.poll() is None:
                page.wait_for_timeout(200)
            page.wait_for_timeout(1000)
            seen = page.evaluate("window.seen")
            browser.close()
        return json.loads(writer.stdout.read()), seen
    finally:
        if site is not None:
            site.kill_all()
        valkey.terminate()
        valkey.wait(10)
