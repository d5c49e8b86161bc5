"""How the work of an experiment scales with its workers, with rules that are judged without NEST
and take as long as real simulations: what one and two workers (prefork, a private broker) take
for the same experiment with trials of 1 s; and how busy 200 workers are with 200 runs (threads
of a few processes, a PostgreSQL of their own, trials of several seconds), by the time of the
simulations that end within a minute, which can be a little more than a minute for each."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from tests.bench import Row
from tests.evolution.processes import Site, ended
from tests.servers import Broker, PostgreSQL, open_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

TITLE = "Scaling with the number of workers"
#: The least that two workers may do, in units of one.
MIN_SPEEDUP = 1.9
MIN_BUSY_PERCENT = 90.0
MEASURED_S = 60.0
N_THREADS = 50
N_PROCESSES = 4

_ELAPSED = """
from evolution.models import Experiment
experiment = Experiment.objects.get()
print((experiment.finished_at - experiment.started_at).total_seconds())
"""
_DONE = """
from django.db.models import Sum
from evolution.models import Evaluation
print(Evaluation.objects.aggregate(seconds=Sum("seconds"))["seconds"] or 0)
"""


def rows() -> Iterator[Row]:
    """Measure two workers against one, on both databases, and 200 of them."""
    for name in ("SQLite", "PostgreSQL"):
        one, two = (_seconds(name, n_workers) for n_workers in (1, 2))
        yield Row(
            f"{name}, work of two workers, trials of 1 s (at least {MIN_SPEEDUP})",
            one / two,
            "times that of one",
        )
    busy_percent, statements_per_s = _many_workers()
    yield Row(
        f"PostgreSQL, {N_PROCESSES * N_THREADS} workers, trials of 8 s, busy "
        f"(at least {MIN_BUSY_PERCENT:g} %)",
        busy_percent,
        "%",
    )
    yield Row("Database statements of all of them", statements_per_s, "1/s")


def _seconds(database: str, n_workers: int) -> float:
    """Return how long so many workers take for the same experiment."""
    with ExitStack() as stack:
        site = _site(stack, database == "PostgreSQL")
        stack.enter_context(site.worker(n_workers))
        time.sleep(20)  # until the workers' children have loaded the simulator
        _launch(
            site,
            "--wait",
            "--runs",
            "4",
            "--generations",
            "8",
            "--set",
            "n_trials=1",
            delay_ms=1000,
        )
        return float(site.check("shell", "-v0", "-c", _ELAPSED))


def _many_workers() -> tuple[float, float]:
    with ExitStack() as stack:
        site = _site(stack, is_postgresql=True)
        for _ in range(N_PROCESSES):
            stack.enter_context(
                ended(site.start_worker(N_THREADS, "threads", E2L_TEST_THREADS=str(N_THREADS)))
            )
        stack.enter_context(site.sweeper())
        time.sleep(15)
        for seed in range(4):
            # As many runs as workers: a run waits for the last of its rules before it has new ones.
            _launch(site, "--runs", "50", "--generations", "10000", delay_ms=8000, seed=1000 * seed)
        time.sleep(30)
        statements_before = _statements(site)
        seconds_per_s, elapsed_s = _measure(site)
        statements = _statements(site) - statements_before
        n_workers = N_PROCESSES * N_THREADS
        return 100 * seconds_per_s / n_workers, statements / elapsed_s


def _measure(site: Site) -> tuple[float, float]:
    """Return how many seconds of simulation are recorded in a second, and the time measured."""
    started, before = time.monotonic(), float(site.check("shell", "-v0", "-c", _DONE))
    time.sleep(MEASURED_S)
    after, elapsed_s = float(site.check("shell", "-v0", "-c", _DONE)), time.monotonic() - started
    return (after - before) / elapsed_s, elapsed_s


def _statements(site: Site) -> float:
    import psycopg

    with psycopg.connect(site.environment["DATABASE_URL"]) as connection:
        (n,) = connection.execute("SELECT sum(calls) FROM pg_stat_statements").fetchone()
    return float(n)


def _launch(site: Site, *arguments: str, delay_ms: int, seed: int = 0) -> None:
    site.check(
        *("evolve", "regression", "--seed", str(seed), *arguments),
        *("--set", "mutation_rate=0.5", "--set", "target_fitness=null"),
        *("--set", f"delay_ms={delay_ms}", "--set", "n_offspring=8"),
        timeout_s=600.0,
    )


def _site(stack: ExitStack, is_postgresql: bool) -> Site:
    directory = stack.enter_context(open_directory("e2l-bench-"))
    broker = Broker(directory)
    broker.start()
    stack.callback(broker.kill)
    url = None
    if is_postgresql:
        (directory / "cluster").mkdir()
        server = PostgreSQL(
            directory / "cluster",
            "max_connections = 600",
            "shared_preload_libraries = 'pg_stat_statements'",
        )
        server.start()
        stack.callback(server.stop)
        server.execute("CREATE EXTENSION pg_stat_statements")
        url = server.url()
    site = Site(directory, broker.url, url)
    site.check("migrate", "-v0")
    return site
