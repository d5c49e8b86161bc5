"""Two hundred people who watch one experiment: from the commit of a generation to its arrival at
each of 200 websocket connections. A process commits four generations a second, of the two runs of
an experiment in turn, and announces them as workers do; one uvicorn and the private Valkey run
beside it, and a process that only notes when messages arrive."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from e2l_site.locations import PROJECT_ROOT
from tests.bench import Row
from tests.broker import private_broker
from tests.browser.site import Site

if TYPE_CHECKING:
    from collections.abc import Iterator

TITLE = "Many viewers of one experiment"
BOUND_MS = 300.0
N_VIEWERS = 200
N_GENERATIONS = 80
INTERVAL_S = 0.25

_PREPARE = """
import django; django.setup()
from django.conf import settings
from django.contrib.auth import get_user_model
from django.test import Client
from tests.evolution.histories import add_generations, make_experiment
client = Client()
client.force_login(get_user_model().objects.create_user("bench"))
experiment = make_experiment(n_runs=2, n_generations=10_000)
runs = [run.pk for run in experiment.runs.order_by("index")]
for run in experiment.runs.all():
    add_generations(run, [("(v - u)*s", -1e6)] + [(None, -1e6)] * 500)
print(experiment.pk, *runs, client.cookies[settings.SESSION_COOKIE_NAME].value)
"""

_WRITE = f"""
import json, sys, time, django; django.setup()
from django.db import transaction
from evolution import events, selectors
from evolution.models import Run
from tests.evolution.histories import add_generations
experiment, *run_ids = map(int, sys.argv[1:])
runs = [Run.objects.get(pk=pk) for pk in run_ids]
committed = []
for number in range({N_GENERATIONS}):
    started = time.monotonic()
    run = runs[number % 2]
    with transaction.atomic():
        add_generations(run, [(f"(v - u)*s*{{number + 2}}", -1e5 + number)])
    committed.append((run.pk, run.n_generations_done, time.time()))
    cursors = {{other.pk: other.n_generations_done for other in runs}}
    cursors[run.pk] -= 1
    (message,) = selectors.generation_messages(
        experiment_id=experiment, cursors=cursors, limit=2
    )
    events.announce_generations(experiment, [message])
    time.sleep(max(0.0, {INTERVAL_S} - (time.monotonic() - started)))
print(json.dumps(committed))
"""


def rows() -> Iterator[Row]:
    """Measure; every viewer must have got every generation."""
    with tempfile.TemporaryDirectory(prefix="e2l-bench-") as name:
        directory = Path(name)
        with private_broker(directory) as redis_url:
            site = Site.create(directory, redis_url)
            try:
                site.start_web()
                committed, seen = _measure(site)
            finally:
                site.kill_all()
    delays_ms = [
        1e3 * (arrivals[run, generation] - at)
        for run, generation, at in committed
        for arrivals in seen
    ]
    assert len(delays_ms) == N_VIEWERS * N_GENERATIONS
    yield Row(f"{N_VIEWERS} viewers, median", float(np.median(delays_ms)), "ms")
    yield Row(
        f"{N_VIEWERS} viewers, 95th percentile",
        float(np.percentile(delays_ms, 95)),
        "ms",
        bound=BOUND_MS,
    )


def _measure(
    site: Site,
) -> tuple[list[tuple[int, int, float]], list[dict[tuple[int, int], float]]]:
    experiment, first, second, session = site.python("-c", _PREPARE).split()
    cursors = {first: 500, second: 500}

    async def watch() -> tuple[str, list[dict[tuple[int, int], float]]]:
        is_ready = asyncio.Semaphore(0)
        is_over = asyncio.Event()
        viewers = [
            asyncio.create_task(_view(site, experiment, session, cursors, is_ready, is_over))
            for _ in range(N_VIEWERS)
        ]
        for _ in viewers:
            await is_ready.acquire()
        writer = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _WRITE, experiment, first, second),
            cwd=PROJECT_ROOT,
            env=site.environment,
            stdout=subprocess.PIPE,
        )
        output, _ = await writer.communicate()
        await asyncio.sleep(2.0)
        is_over.set()
        return output.decode(), await asyncio.gather(*viewers)

    output, seen = asyncio.run(watch())
    return json.loads(output), seen


async def _view(
    site: Site,
    experiment: str,
    session: str,
    cursors: dict[str, int],
    is_ready: asyncio.Semaphore,
    is_over: asyncio.Event,
) -> dict[tuple[int, int], float]:
    """Return when each generation came, by run and index."""
    from websockets.asyncio.client import connect

    arrivals: dict[tuple[int, int], float] = {}
    async with connect(
        f"ws://127.0.0.1:{site.port}/ws/experiments/{experiment}/",
        origin=site.url,
        additional_headers={"Cookie": f"e2l_session={session}"},
        ping_interval=None,
        open_timeout=60,
    ) as socket:
        await socket.send(json.dumps({"type": "hello", "cursors": cursors}))

        async def receive() -> None:
            async for text in socket:
                arrived = time.time()
                message = json.loads(text)
                if message["type"] == "caught-up":
                    is_ready.release()
                elif message["type"] == "generations":
                    for row in message["data"]:
                        arrivals[row["run"], row["generation"]] = arrived

        receiver = asyncio.create_task(receive())
        await is_over.wait()
        receiver.cancel()
    return arrivals
