"""Each thing that can be wrong is really broken, and found with a way to mend it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from e2l_site.doctor import crew, findings, machine, servers
from e2l_site.locations import PROJECT_ROOT
from evolution.enums import EvaluationState, ExperimentState
from evolution.models import Demand, Evaluation, EvaluationContext, Worker, WorkerHost
from evolution.services.evaluations import engine_version
from tests.evolution.histories import make_experiment, make_rule
from tests.servers import SmallDisk
from tests.system_packages import find_libfaketime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def found(check: Callable[[], Iterator[findings.Finding]], *arguments: object) -> dict[str, str]:
    """Return what a check has found, by name; whatever is wrong has a way to mend it."""
    all_findings = list(check(*arguments))
    for finding in all_findings:
        assert bool(finding.remedy) == (finding.status != "ok"), finding
        assert finding.text.endswith((".", "?")) or finding.status == "failure", finding
    return {finding.check: finding.status for finding in all_findings}


def doctor(data_dir: Path, *options: str, **environment: str) -> tuple[int, str]:
    """Run the command as people do."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in {"REDIS_URL", "DATABASE_URL", "E2L_VALKEY_SOCKET"}
    }
    done = subprocess.run(
        [sys.executable, "manage.py", "doctor", *options],
        cwd=PROJECT_ROOT,
        env={**inherited, "E2L_DATA_DIR": str(data_dir), **environment},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout


# --- the whole command --------------------------------------------------------------------------


@pytest.mark.integration
def test_an_installation_of_which_only_the_migrations_are_missing(
    tmp_path: Path, valkey: str
) -> None:
    code, output = doctor(tmp_path, "--json", REDIS_URL=valkey)
    answer = json.loads(output)
    assert (code, answer["ok"]) == (1, False)
    wrong = {item["check"]: item for item in answer["findings"] if item["status"] == "failure"}
    # Static files are collected by whoever serves pages, not by whoever runs these tests.
    assert set(wrong) - {"static files"} == {"migrations"}
    assert "manage.py migrate" in wrong["migrations"]["remedy"]
    assert {"Python", "packages", "NEST modules", "disk", "database", "broker"} <= {
        item["check"] for item in answer["findings"] if item["status"] == "ok"
    }


@pytest.mark.integration
def test_settings_that_cannot_be_read_are_told_without_a_traceback(tmp_path: Path) -> None:
    environment = {"DATABASE_URL": "mysql://me:secret@host/name", "PYTHONPATH": str(tmp_path)}
    # Without NEST it takes less time.
    (tmp_path / "nest").mkdir()
    (tmp_path / "nest" / "__init__.py").write_text("raise ImportError('libnest is damaged')")
    code, output = doctor(tmp_path, **environment)
    assert code == 1
    assert "WRONG  settings: The settings cannot be read: DATABASE_URL begins with" in output
    assert "WRONG  NEST modules: The simulator cannot be loaded: ImportError: libnest" in output
    assert "secret" not in output


# --- the machine --------------------------------------------------------------------------------


def test_this_machine_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    assert found(machine.check_python) == {"Python": "ok"}
    assert found(machine.check_packages) == {"packages": "ok"}
    assert found(machine.check_compiler) == {"compiler": "ok"}


def test_packages_that_are_missing_or_of_another_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "requirements.txt").write_text(
        "no-such-package==1.0 \\\n    --hash=sha256:00\n"
        "django==1.0 \\\n    --hash=sha256:00\n"
        "only-elsewhere==1.0 ; sys_platform == 'win32' \\\n    --hash=sha256:00\n"
    )
    monkeypatch.setattr(machine, "PROJECT_ROOT", tmp_path)
    by_status = {finding.status: finding.text for finding in machine.check_packages()}
    assert by_status["failure"] == "Not installed: no-such-package."
    assert by_status["warning"].startswith("Other versions than tested: django is ")


def test_a_compiler_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert found(machine.check_compiler) == {"compiler": "warning"}


def test_modules_that_are_not_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nest_build import builder

    monkeypatch.setattr(builder, "_LIBRARIES", tmp_path)
    assert found(machine.check_modules) == {"NEST modules": "failure"}


def test_modules_of_other_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nest_build import builder

    (tmp_path / "changed.cpp").write_text("int x;")
    monkeypatch.setattr(builder, "SOURCES", tmp_path)
    assert found(machine.check_modules) == {"NEST modules": "failure"}


def test_a_disk_that_is_almost_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = SmallDisk(tmp_path / "disk", size_mb=4)
    if not disk.is_small:
        pytest.skip("a small file system cannot be mounted here: that takes root")
    try:
        monkeypatch.setenv("E2L_DATA_DIR", str(disk.directory))
        assert found(machine.check_data_directory)["disk"] == "failure"
    finally:
        disk.unmount()


def test_a_data_directory_that_others_may_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("E2L_DATA_DIR", str(tmp_path))
    (tmp_path / "db.sqlite3").touch(0o644)
    tmp_path.chmod(0o755)
    assert found(machine.check_data_directory)["permissions"] == "warning"
    tmp_path.chmod(0o700)
    assert found(machine.check_data_directory)["permissions"] == "ok"
    monkeypatch.setenv("E2L_DATA_DIR", str(tmp_path / "missing"))
    assert found(machine.check_data_directory) == {"data directory": "failure"}


# --- settings and servers -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hosts", "debug", "https", "wrong"),
    [
        (["localhost"], False, "", set()),
        (["localhost"], True, "", {"debugging"}),
        (["lab.example.org"], False, "", {"HTTPS", "secret key"}),
        (["lab.example.org"], True, "1", {"debugging", "secret key"}),
        (["*"], False, "1", {"hosts", "secret key"}),
    ],
)
def test_settings_of_a_site_that_others_reach(
    settings, monkeypatch, hosts, debug, https, wrong
) -> None:
    monkeypatch.setenv("E2L_HTTPS", https)
    monkeypatch.delenv("E2L_SECRET_KEY", raising=False)
    settings.ALLOWED_HOSTS, settings.DEBUG = hosts, debug
    answer = found(servers._check_access, settings)
    assert {name for name, status in answer.items() if status != "ok"} == wrong


@pytest.mark.django_db
def test_a_database_that_is_well() -> None:
    assert found(servers.check_database) == dict.fromkeys(
        ("database", "migrations", "database writes", "clock"), "ok"
    )
    assert not WorkerHost.objects.exists()


@pytest.mark.django_db
def test_a_migration_that_was_not_applied() -> None:
    MigrationRecorder(connection).record_unapplied("evolution", "0001_initial")
    assert found(servers.check_database) == {"database": "ok", "migrations": "failure"}


CHECK_DATABASE = """
import json
from e2l_site.doctor import servers
print(json.dumps({f.check: f.status for f in servers.check_database()}))
"""


def check_database(**environment: str) -> dict[str, str]:
    """Look at another database than the tests' one."""
    done = subprocess.run(
        [sys.executable, "-c", CHECK_DATABASE],
        cwd=PROJECT_ROOT, env={**os.environ, **environment}, check=True,
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.integration
def test_a_database_that_is_away_read_only_or_of_another_time(
    postgres_url: str, tmp_path: Path
) -> None:
    away = "postgresql://me@127.0.0.1:1/e2l"
    assert check_database(DATABASE_URL=away) == {"database": "failure"}
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "-v0"],
        cwd=PROJECT_ROOT, env={**os.environ, "DATABASE_URL": postgres_url}, check=True,
    )  # fmt: skip
    read_only = f"{postgres_url}?options=-c%20default_transaction_read_only%3Don"
    answer = check_database(DATABASE_URL=read_only)
    assert answer["database writes"] == "failure"
    assert answer["clock"] == "ok"
    library = find_libfaketime()
    if library is not None:
        shifted = check_database(
            DATABASE_URL=postgres_url,
            LD_PRELOAD=str(library), FAKETIME="+5m", DONT_FAKE_MONOTONIC="1",
        )  # fmt: skip
        assert shifted["clock"] == "warning"
        assert shifted["database writes"] == "ok"


def test_a_broker_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    assert found(servers.check_broker) == {"broker": "failure"}


def test_a_broker_that_answers_and_forgets(monkeypatch, valkey: str) -> None:
    import redis

    monkeypatch.setenv("REDIS_URL", valkey)
    assert found(servers.check_broker) == {"broker": "ok"}
    with redis.Redis.from_url(valkey) as client:
        client.config_set("maxmemory", "1gb")
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            assert found(servers.check_broker)["broker memory"] == "warning"
        finally:
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", "0")


def test_a_private_broker_that_others_reach(monkeypatch, valkey: str) -> None:
    socket = valkey.removeprefix("unix://").partition("?")[0]
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.setenv("E2L_VALKEY_SOCKET", socket)
    directory = os.path.dirname(socket)
    mode = os.stat(directory).st_mode
    try:
        os.chmod(directory, 0o755)
        assert found(servers.check_broker) == {"broker": "ok", "broker socket": "failure"}
        os.chmod(directory, 0o700)
        assert found(servers.check_broker) == {"broker": "ok", "broker socket": "ok"}
    finally:
        os.chmod(directory, mode)


def test_a_site_that_is_not_started(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.setenv("E2L_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("E2L_VALKEY_SOCKET", str(tmp_path / "none.sock"))
    assert found(servers.check_broker) == {"broker": "warning"}


# --- workers ------------------------------------------------------------------------------------


def worker(name: str, **more: object) -> Worker:
    return Worker.objects.create(
        **{"name": name, "host": "h", "engine_version": engine_version(), **more}
    )


@pytest.mark.django_db
def test_workers_that_are_well() -> None:
    worker("h:1:1")
    assert found(crew.check_workers) == {"workers": "ok"}


@pytest.mark.django_db
def test_no_worker() -> None:
    assert found(crew.check_workers) == {"workers": "warning"}


@pytest.mark.django_db
@pytest.mark.parametrize("old", ["e2l 0, nest-simulator 3.9", ""])
def test_a_worker_with_another_engine(old: str) -> None:
    worker("h:1:1")
    worker("h:2:2", engine_version=old)
    assert found(crew.check_workers) == {"workers": "ok", "engine version": "failure"}


@pytest.mark.django_db
def test_a_worker_that_is_silent_and_a_host_that_is_drained() -> None:
    worker("h:1:1")
    worker("h:2:2", heard_at=timezone.now() - timedelta(minutes=10), engine_version="old")
    WorkerHost.objects.create(name="h", is_drained=True)
    assert found(crew.check_workers) == {
        "workers": "ok",
        "silent workers": "warning",
        "drained host": "warning",
    }


@pytest.mark.django_db
@pytest.mark.parametrize(("seconds", "is_stale"), [(120, True), (10, False), (-10, False)])
def test_leases_that_nobody_has_taken_over(seconds: int, is_stale: bool) -> None:
    worker("h:1:1")
    experiment = make_experiment(n_runs=1)
    context = EvaluationContext.objects.create(
        digest="d", learning_task_name="error-driven", task_parameters={}, seed=1, engine_version=""
    )
    evaluation = Evaluation.objects.create(
        context=context,
        rule=make_rule("v"),
        state=EvaluationState.CLAIMED,
        claimed_by="gone",
        lease_expires_at=timezone.now() - timedelta(seconds=seconds),
    )
    Demand.objects.create(
        experiment=experiment, run=experiment.runs.get(), evaluation=evaluation, n_trials=1
    )
    assert ("stale leases" in found(crew.check_workers)) == is_stale
    experiment.runs.update(state=ExperimentState.PAUSED)
    assert "stale leases" not in found(crew.check_workers)


@pytest.mark.django_db
def test_a_run_that_does_not_come_on() -> None:
    worker("h:1:1")
    experiment = make_experiment(n_runs=1)
    experiment.runs.update(last_progress_at=timezone.now() - timedelta(hours=1))
    assert found(crew.check_workers)["quiet runs"] == "warning"
