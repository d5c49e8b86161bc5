"""Experiments on real Celery workers: the history is that of one undisturbed process."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from tests.evolution.processes import Site, children

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration

#: Enough generations and time to have something to disturb.
ARGUMENTS = [
    *("evolve", "regression", "--runs", "2", "--generations", "20", "--json"),
    *("--set", "target_fitness=null", "--set", "mutation_rate=0.2", "--set", "delay_ms=10"),
]


def n_generations(site: Site) -> int:
    """Return how many generations the site's SQLite database holds."""
    with closing(sqlite3.connect(site.directory / "db.sqlite3", timeout=20)) as database:
        return database.execute("SELECT COUNT(*) FROM evolution_generation").fetchone()[0]


def wait_for_generations(site: Site, wanted: int) -> None:
    deadline = time.monotonic() + 60
    while n_generations(site) < wanted:
        assert time.monotonic() < deadline, site.log()
        time.sleep(0.02)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The runs as one process computes them, without broker and workers."""
    site = Site(tmp_path_factory.mktemp("reference"), "redis://127.0.0.1:1/0", None)
    site.check("migrate", "-v0")
    return site.result(site.command(*ARGUMENTS, "--inline"))["runs"]


@pytest.fixture
def site(tmp_path: Path, valkey: str) -> Site:
    import redis

    redis.Redis.from_url(valkey).flushall()
    site = Site(tmp_path, valkey, None)
    site.check("migrate", "-v0")
    return site


def test_the_reference_finds_better_rules(reference: list[dict[str, Any]]) -> None:
    for run in reference:
        assert len(run["history"]) == 21
        assert run["history"][-1] > run["history"][0]


def test_two_workers_write_the_same_history(site: Site, reference: Any) -> None:
    with site.worker(2):
        assert site.result(site.command(*ARGUMENTS, "--wait"))["runs"] == reference


def test_two_workers_write_the_same_history_to_postgresql(
    tmp_path: Path, system_redis_url: str, postgres_url: str, reference: Any
) -> None:
    site = Site(tmp_path, system_redis_url, postgres_url)
    site.check("migrate", "-v0")
    with site.worker(2):
        assert site.result(site.command(*ARGUMENTS, "--wait"))["runs"] == reference


@pytest.mark.nest
def test_workers_with_nest_write_the_history_of_one_process(site: Site) -> None:
    """Two kernels that share the rules of two runs, against one kernel that does everything."""
    arguments = [
        *("evolve", "error-driven", "--runs", "2", "--generations", "6", "--json"),
        *("--set", "n_trials=2", "--set", "t_sim_ms=1000"),
    ]
    alone = Site(site.directory / "alone", "redis://127.0.0.1:1/0", None)
    alone.check("migrate", "-v0")
    reference = alone.result(alone.command(*arguments, "--inline"))["runs"]
    assert reference[0]["history"] != reference[1]["history"]
    with site.worker(2):
        assert site.result(site.command(*arguments, "--wait"))["runs"] == reference


def test_killed_processes_and_workers_change_nothing(site: Site, reference: Any) -> None:
    with site.sweeper(), site.worker(2) as worker:
        evolve = site.command(*ARGUMENTS, "--wait")
        wait_for_generations(site, 4)
        for pid in children(worker):
            os.kill(pid, signal.SIGKILL)
        wait_for_generations(site, n_generations(site) + 8)
        # The parent dies, its children end; what they had claimed and the messages stay.
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
    assert evolve.poll() is None
    with site.sweeper(), site.worker(2):
        assert site.result(evolve)["runs"] == reference
