"""What a generation costs besides its simulations: an experiment whose rules are judged without
NEST runs on real Celery workers (prefork, the private Valkey), from the launch to the last
generation; the time of the evaluations themselves is taken off. Four parents and four offspring,
and a mutation rate at which most offspring are new rules."""

from __future__ import annotations

import os
import secrets
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench import Row
from tests.broker import private_broker
from tests.evolution.processes import Site

if TYPE_CHECKING:
    from collections.abc import Iterator

TITLE = "Overhead of a generation"
BOUND_MS = 15.0
N_GENERATIONS = 300
#: Always the same history: others have more or fewer rules that are new.
SEED = 20

_FIGURES = """
from django.db.models import Sum
from evolution.models import Evaluation, Experiment, Generation
experiment = Experiment.objects.get()
elapsed_s = (experiment.finished_at - experiment.started_at).total_seconds()
simulated_s = Evaluation.objects.aggregate(seconds=Sum("seconds"))["seconds"]
print(elapsed_s, simulated_s, Generation.objects.count())
"""


def rows() -> Iterator[Row]:
    """Measure one run on one worker and two runs on two workers, on both databases."""
    for name, database_urls in (("SQLite", [None]), ("PostgreSQL", postgresql())):
        for database_url in database_urls:
            for n_workers in (1, 2):
                yield Row(
                    f"{name}, {n_workers} run(s) on {n_workers} worker(s), per generation of a run",
                    _overhead_ms(database_url, n_workers),
                    "ms",
                    bound=BOUND_MS,
                )


def _overhead_ms(database_url: str | None, n_workers: int) -> float:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="e2l-bench-")))
        site = Site(directory, stack.enter_context(private_broker(directory)), database_url)
        site.environment["E2L_WORKERS"] = str(n_workers)
        site.check("migrate", "-v0")
        if database_url is not None:
            site.check("flush", "--no-input", "-v0")
        stack.enter_context(site.worker(n_workers))
        time.sleep(10)  # until the workers' children have loaded the simulator
        site.check(
            *("evolve", "regression", "--wait", "--runs", str(n_workers)),
            *("--generations", str(N_GENERATIONS), "--set", "mutation_rate=0.3"),
            *("--set", "target_fitness=null", "--seed", str(SEED)),
        )
        elapsed_s, simulated_s, n_generations = map(
            float, site.check("shell", "-v0", "-c", _FIGURES).split()
        )
    n_busy = min(n_workers, os.cpu_count() or 1)
    return 1e3 * (n_busy * elapsed_s - simulated_s) / n_generations


def postgresql() -> Iterator[str]:
    """Yield the URL of a new database, or nothing where there is no server."""
    import psycopg

    server = "postgresql://postgres@127.0.0.1:5432"
    name = f"e2l_bench_{secrets.token_hex(6)}"
    try:
        with psycopg.connect(f"{server}/postgres", connect_timeout=3, autocommit=True) as database:
            database.execute(f'CREATE DATABASE "{name}"')
    except psycopg.OperationalError:
        return
    try:
        yield f"{server}/{name}"
    finally:
        with psycopg.connect(f"{server}/postgres", autocommit=True) as database:
            database.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
