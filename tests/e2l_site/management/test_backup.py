"""What was saved in the middle of an evolution is restored, and goes on to the same history."""

from __future__ import annotations

import secrets
import shutil
import subprocess
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from tests.evolution.processes import Site, ended
from tests.evolution.test_faults import EVOLUTION, N_RUNS, SEED, Operator, undisturbed
from tests.servers import wait_until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration

N_POINTS = 51


def start_evolution(site: Site, operator: Operator) -> int:
    experiment = operator(
        "create", seed=SEED, n_runs=N_RUNS, task={"n_points": N_POINTS, "delay_ms": 40},
        evolution=EVOLUTION,
    )  # fmt: skip
    operator("launch", experiment=experiment)
    wait_until(
        lambda: sum(operator("progress", experiment=experiment)["generations"]) >= 6,
        60,
        f"it has come on\n{site.log()}",
    )
    return experiment


def goes_on_as_if_undisturbed(site: Site, experiment: int) -> None:
    """The restored site alone finishes what was saved."""
    operator = Operator(site.environment)
    with ended(operator.process), site.worker(1), site.sweeper():
        before: dict[str, Any] = operator("progress", experiment=experiment)
        assert before["state"] == "running"
        assert 6 <= sum(before["generations"]) < N_RUNS * 17
        wait_until(
            lambda: operator("progress", experiment=experiment)["state"] == "finished",
            120,
            f"it ends\n{site.log()}",
        )
        runs = operator("runs", experiment=experiment)
    expected = undisturbed(N_POINTS).runs
    assert [run["history"] for run in runs] == [run["history"] for run in expected]
    assert [run["champion"] for run in runs] == [run["champion"] for run in expected]


def saved(site: Site, path: Path) -> int:
    """Save the database while a worker writes to it; return the experiment that was under way."""
    operator = Operator(site.environment)
    with ended(operator.process), site.worker(1):
        experiment = start_evolution(site, operator)
        assert operator("backup", path=str(path)).startswith(f"Saved: {path} (")
    assert path.stat().st_mode & 0o777 == 0o600
    return experiment


def test_sqlite(tmp_path: Path, valkey: str) -> None:
    import redis

    site = Site(tmp_path / "old", valkey, None)
    site.directory.mkdir()
    site.check("migrate", "-v0")
    experiment = saved(site, tmp_path / "e2l.backup")
    # Messages are not saved: the sweeper sends new ones.
    redis.Redis.from_url(valkey).flushall()
    other = Site(tmp_path / "new", valkey, None)
    other.directory.mkdir()
    # As the documentation has it.
    shutil.copy(tmp_path / "e2l.backup", other.directory / "db.sqlite3")
    goes_on_as_if_undisturbed(other, experiment)


def test_postgresql(tmp_path: Path, postgres_url: str, system_redis_url: str) -> None:
    import psycopg
    import redis

    if shutil.which("pg_dump") is None or shutil.which("pg_restore") is None:
        pytest.skip("pg_dump is not installed: apt install postgresql-client")
    site = Site(tmp_path, system_redis_url, postgres_url)
    site.check("migrate", "-v0")
    experiment = saved(site, tmp_path / "e2l.backup")
    redis.Redis.from_url(system_redis_url).delete("celery", "unacked", "unacked_index")
    server = postgres_url.rpartition("/")[0]
    name = f"e2l_restored_{secrets.token_hex(4)}"
    with closing(psycopg.connect(f"{server}/postgres", autocommit=True)) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        try:
            subprocess.run(
                ["pg_restore", "--no-owner", "--exit-on-error", "--dbname", f"{server}/{name}",
                 str(tmp_path / "e2l.backup")],
                check=True,
            )  # fmt: skip
            goes_on_as_if_undisturbed(
                Site(tmp_path, system_redis_url, f"{server}/{name}"), experiment
            )
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def test_a_backup_replaces_nothing_and_is_complete_or_not_there(tmp_path: Path) -> None:
    site = Site(tmp_path, "redis://127.0.0.1:1/0", None)
    site.check("migrate", "-v0")
    taken = tmp_path / "taken"
    taken.write_text("precious")
    process = site.command("backup", "--out", str(taken))
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "exists already" in errors
    assert taken.read_text() == "precious"
    process = site.command("backup", "--out", str(tmp_path / "nowhere" / "file"))
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "cannot be written: No such file or directory." in errors
    assert "Traceback" not in errors
    away = Site(tmp_path, "redis://127.0.0.1:1/0", "postgresql://me@127.0.0.1:1/e2l")
    process = away.command("backup", "--out", str(tmp_path / "none"))
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "could not be saved" in errors
    assert not list(tmp_path.glob("*none*"))
    assert not list(tmp_path.glob(".*"))
