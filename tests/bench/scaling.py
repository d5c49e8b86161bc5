"""How the work of an experiment scales with its workers, with rules that are judged without NEST
and take as long as real simulations: the rate of one and of two workers (prefork, private broker)
with trials of 1 s; and how busy 200 workers are (threads of a few processes, a PostgreSQL of their
own, trials of several seconds), by the time of their simulations."""

from __future__ import annotations

import secrets
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from tests.bench import Row
from tests.evolution.processes import Site
from tests.servers import Broker, PostgreSQL, open_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

TITLE = "Scaling with the number of workers"
#: The least that two workers may do, in units of one.
MIN_SPEEDUP = 1.9
MIN_BUSY_PERCENT = 90.0
MEASURED_S = 45.0
N_THREADS = 50
N_PROCESSES = 4

_DONE = """
from django.db.models import Count, Sum
from evolution.models import Evaluation
print(*Evaluation.objects.aggregate(s=Sum("seconds"), n=Sum("n_trials_done")).values())
"""


def rows() -> Iterator[Row]:
    """Measure two workers against one, on both databases, and 200 of them."""
    for name in ("SQLite", "PostgreSQL"):
        one, two = (_trials_per_s(name, n_workers) for n_workers in (1, 2))
        yield Row(
            f"{name}, work of two workers, trials of 1 s (at least {MIN_SPEEDUP})",
            two / one,
            "times that of one",
        )
    busy_percent, statements_per_s = _many_workers()
    yield Row(
        f"PostgreSQL, {N_PROCESSES * N_THREADS} workers, trials of 4 s, busy "
        f"(at least {MIN_BUSY_PERCENT:g} %)",
        busy_percent,
        "%",
    )
    yield Row("Database statements of all of them", statements_per_s, "1/s")


def _trials_per_s(database: str, n_workers: int) -> float:
    with ExitStack() as stack:
        site = _site(stack, database == "PostgreSQL")
        stack.enter_context(site.worker(n_workers))
        time.sleep(15)  # until the workers' children have loaded the simulator
        _launch(site, n_experiments=1, n_runs=4, delay_ms=1000)
        time.sleep(5)
        return _measure(site)[1]


def _many_workers() -> tuple[float, float]:
    with ExitStack() as stack:
        site = _site(stack, is_postgresql=True)
        for _ in range(N_PROCESSES):
            stack.enter_context(site.worker(N_THREADS, "threads", E2L_TEST_THREADS=str(N_THREADS)))
        stack.enter_context(site.sweeper())
        time.sleep(15)
        _launch(site, n_experiments=4, n_runs=25, delay_ms=4000)
        time.sleep(30)
        statements_before = _statements(site)
        seconds, _, elapsed_s = _measure(site)
        statements = _statements(site) - statements_before
        n_workers = N_PROCESSES * N_THREADS
        return 100 * seconds / n_workers, statements / elapsed_s


def _measure(site: Site) -> tuple[float, float, float]:
    """Return seconds of simulation and trials per second, and how long that was measured."""
    started, before = time.monotonic(), _done(site)
    time.sleep(MEASURED_S)
    after, elapsed_s = _done(site), time.monotonic() - started
    seconds, n_trials = (
        (late - early) / elapsed_s for early, late in zip(before, after, strict=True)
    )
    return seconds, n_trials, elapsed_s


def _done(site: Site) -> tuple[float, float]:
    seconds, n_trials = map(float, site.check("shell", "-v0", "-c", _DONE).split())
    return seconds, n_trials


def _statements(site: Site) -> float:
    import psycopg

    with psycopg.connect(site.environment["DATABASE_URL"]) as connection:
        (n,) = connection.execute("SELECT sum(calls) FROM pg_stat_statements").fetchone()
    return float(n)


def _launch(site: Site, *, n_experiments: int, n_runs: int, delay_ms: int) -> None:
    for _ in range(n_experiments):
        site.check(
            *("evolve", "regression", "--runs", str(n_runs), "--generations", "10000"),
            *("--set", "mutation_rate=0.5", "--set", "target_fitness=null"),
            *("--set", f"delay_ms={delay_ms}", "--set", "n_offspring=8"),
            *("--seed", str(secrets.randbelow(2**31))),
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
