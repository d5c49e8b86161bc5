"""What a run of the paper's size leaves in the database: 2000 generations of eight offspring (eight
parents, a mutation rate of 0.05), judged without NEST, each in three trials. The size is that
of all tables of evolution with their indexes, after the run; SQLite's file also counts pages that
are free. Cached are the rules that had been asked for before, by this run; the share counts rules
whose fitness had to be known."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench import Row
from tests.bench.generation_overhead import postgresql
from tests.evolution.processes import Site

if TYPE_CHECKING:
    from collections.abc import Iterator

TITLE = "Storage of a run"
BOUND_MB = 20.0
N_GENERATIONS = 2000

_FIGURES = """
from django.db import connection
from evolution.models import Individual, Run
with connection.cursor() as cursor:
    if connection.vendor == "postgresql":
        cursor.execute("VACUUM FULL")
        cursor.execute(
            "SELECT SUM(pg_total_relation_size(oid)) FROM pg_class "
            "WHERE relkind = 'r' AND relname LIKE 'evolution%%'"
        )
    else:
        cursor.execute("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
    (size,) = cursor.fetchone()
run = Run.objects.get()
print(float(size) / 1e6, Individual.objects.count(), run.n_cached / run.n_evaluations)
"""


def rows() -> Iterator[Row]:
    """Measure both databases."""
    for name, urls in (("SQLite", [None]), ("PostgreSQL", postgresql())):
        for url in urls:
            size_mb, n_individuals, share_cached = _figures(url)
            yield Row(f"{name}, {n_individuals:.0f} individuals", size_mb, "MB", bound=BOUND_MB)
            yield Row(f"{name}, rules that were cached", 100 * share_cached, "%")


def _figures(database_url: str | None) -> tuple[float, float, float]:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="e2l-bench-")))
        site = Site(directory, "redis://127.0.0.1:1/0", database_url)
        site.check("migrate", "-v0")
        if database_url is not None:
            site.check("flush", "--no-input", "-v0")
        site.check(
            *("evolve", "regression", "--inline", "--runs", "1"),
            *("--generations", str(N_GENERATIONS), "--set", "target_fitness=null"),
            *("--set", "n_parents=8", "--set", "n_offspring=8", "--set", "mutation_rate=0.05"),
            timeout_s=1200,
        )
        size_mb, n_individuals, share = map(
            float, site.check("shell", "-v0", "-c", _FIGURES).split()
        )
    return size_mb, n_individuals, share
