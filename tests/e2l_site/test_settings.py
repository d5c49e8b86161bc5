"""Settings read the environment, refuse what they do not understand, and keep secrets."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import threading
import time
from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError
from django.db.utils import ConnectionHandler

from e2l_site import environment
from e2l_site.locations import PROJECT_ROOT

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "expected"), [("1", True), ("Yes", True), ("off", False), ("0", False), ("", False)]
)
def test_read_bool_understands_usual_words(monkeypatch, text, expected):
    monkeypatch.setenv("E2L_DEBUG", text)
    assert environment.read_bool("E2L_DEBUG", default=False) is expected


def test_read_bool_refuses_other_words(monkeypatch):
    monkeypatch.setenv("E2L_DEBUG", "maybe")
    with pytest.raises(ImproperlyConfigured, match="E2L_DEBUG is 'maybe'"):
        environment.read_bool("E2L_DEBUG", default=False)


@pytest.mark.parametrize(
    "origin", ["lab.example.org", "https://lab.example.org/", "ftp://lab.example.org"]
)
def test_read_origins_refuses_what_is_no_origin(monkeypatch, origin):
    monkeypatch.setenv("E2L_CSRF_TRUSTED_ORIGINS", f"https://fine.example.org,{origin}")
    with pytest.raises(ImproperlyConfigured, match="an origin reads like"):
        environment.read_origins("E2L_CSRF_TRUSTED_ORIGINS")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", (60, 60)), ("5/second", (5, 1)), ("7/HOUR", (7, 3600)), ("0", None)],
)
def test_read_rate(monkeypatch, text, expected):
    monkeypatch.setenv("E2L_API_RATE_USER", text)
    assert environment.read_rate("E2L_API_RATE_USER", default="60/minute") == expected


@pytest.mark.parametrize("text", ["5", "0/minute", "-1/minute", "5/week", "five/minute", "5/"])
def test_read_rate_refuses_what_is_no_rate(monkeypatch, text):
    monkeypatch.setenv("E2L_API_RATE_USER", text)
    with pytest.raises(ImproperlyConfigured, match="it must read like 60/minute"):
        environment.read_rate("E2L_API_RATE_USER", default="60/minute")


def test_read_redis_url_refuses_other_schemes():
    assert environment.read_redis_url("redis://localhost:6379/1") == "redis://localhost:6379/1"
    with pytest.raises(ImproperlyConfigured, match="REDIS_URL"):
        environment.read_redis_url("localhost:6379")


def test_database_is_sqlite_with_immediate_transactions_by_default(monkeypatch, tmp_path):
    monkeypatch.delenv("DATABASE_URL", raising=False)
    database = environment.read_database(tmp_path / "a b.sqlite3", tmp_path / "test.sqlite3")
    assert database["ENGINE"] == "django.db.backends.sqlite3"
    assert database["NAME"] == str(tmp_path / "a b.sqlite3")
    assert database["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    assert "journal_mode=WAL" in database["OPTIONS"]["init_command"]
    assert database["TEST"] == {"NAME": str(tmp_path / "test.sqlite3")}


def test_database_url_selects_postgresql_with_a_pool(monkeypatch, tmp_path):
    monkeypatch.setenv("DATABASE_URL", "postgresql://ann:se%2Fcret@db.example.org:5433/e2l")
    database = environment.read_database(tmp_path / "x", tmp_path / "y")
    assert database["ENGINE"] == "django.db.backends.postgresql"
    assert (database["USER"], database["PASSWORD"]) == ("ann", "se/cret")
    assert (database["HOST"], database["PORT"], database["NAME"]) == ("db.example.org", 5433, "e2l")
    assert database["OPTIONS"]["pool"]["max_size"] >= 1


def test_a_database_that_is_away_is_looked_for_as_often_after_an_hour_as_after_a_minute(
    monkeypatch, tmp_path, django_db_blocker
):
    """The pool itself doubles its pauses for five minutes."""
    asked_at = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def refuse():
            with suppress(OSError):
                while True:
                    server.accept()[0].close()
                    asked_at.append(time.monotonic())

        threading.Thread(target=refuse, daemon=True).start()
        url = f"postgresql://ann@127.0.0.1:{server.getsockname()[1]}/e2l"
        monkeypatch.setenv("DATABASE_URL", url)
        database = environment.read_database(tmp_path / "x", tmp_path / "y")
        connection = ConnectionHandler({"default": database})["default"]
        started = time.monotonic()
        while time.monotonic() - started < 17.0:
            with django_db_blocker.unblock(), pytest.raises(OperationalError):
                connection.ensure_connection()
        connection.close_pool()
        server.shutdown(socket.SHUT_RDWR)
    pauses_s = [later - earlier for earlier, later in pairwise([*asked_at, time.monotonic()])]
    assert max(pauses_s) < 6.0, pauses_s


def test_database_url_of_another_kind_is_refused_without_showing_the_password(
    monkeypatch, tmp_path
):
    monkeypatch.setenv("DATABASE_URL", "mysql://ann:secret@db/e2l")
    with pytest.raises(ImproperlyConfigured, match="DATABASE_URL begins with 'mysql'") as caught:
        environment.read_database(tmp_path / "x", tmp_path / "y")
    assert "secret" not in str(caught.value)


def test_secret_key_is_made_once_and_readable_by_its_owner_only(monkeypatch, tmp_path):
    monkeypatch.delenv("E2L_SECRET_KEY", raising=False)
    path = tmp_path / "deep" / "secret_key"
    key = environment.read_secret_key(path)
    assert len(key) >= 50
    assert environment.read_secret_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [item.name for item in path.parent.iterdir()] == ["secret_key"]


def test_secret_key_of_the_environment_wins_unless_it_is_short(monkeypatch, tmp_path):
    monkeypatch.setenv("E2L_SECRET_KEY", "k" * 40)
    assert environment.read_secret_key(tmp_path / "secret_key") == "k" * 40
    assert not (tmp_path / "secret_key").exists()
    monkeypatch.setenv("E2L_SECRET_KEY", "short")
    with pytest.raises(ImproperlyConfigured, match="E2L_SECRET_KEY"):
        environment.read_secret_key(tmp_path / "secret_key")


def _in_fresh_process(tmp_path: Path, code: str, **variables: str) -> subprocess.CompletedProcess:
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("E2L_") and name not in {"DATABASE_URL", "REDIS_URL"}
    }
    settings = {"DJANGO_SETTINGS_MODULE": "e2l_site.settings", "E2L_DATA_DIR": str(tmp_path)}
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT_ROOT,
        env={**clean, **settings, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_fresh_process_has_safe_defaults_and_loads_nothing_heavy(tmp_path):
    done = _in_fresh_process(
        tmp_path,
        "import sys, django; django.setup()\n"
        "from django.conf import settings as s\n"
        "from django.urls import get_resolver; get_resolver().url_patterns\n"
        "import e2l_site.asgi\n"
        "heavy = {'bokeh', 'nest', 'llvmlite', 'cgp', 'symengine'} & set(sys.modules)\n"
        "print(s.DEBUG, s.ALLOWED_HOSTS, s.TIME_ZONE, sorted(heavy))\n",
    )
    assert done.stderr == ""
    assert done.stdout.strip() == "False ['localhost', '127.0.0.1', '[::1]'] UTC []"


def test_a_bad_value_stops_the_start_with_its_name(tmp_path):
    done = _in_fresh_process(tmp_path, "import django; django.setup()", E2L_DEBUG="perhaps")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(
        "E2L_DEBUG is 'perhaps'; it must be 1 or 0 (or true/false, yes/no)."
    )


def test_every_thread_queues_tasks_with_the_configured_celery_application():
    import threading

    from celery import current_app

    found = []
    thread = threading.Thread(target=lambda: found.append(current_app.conf.broker_url))
    thread.start()
    thread.join()
    from django.conf import settings

    assert found == [settings.CELERY_BROKER_URL]


def test_celery_accepts_json_only_and_delivers_again():
    from e2l_site.celery import app

    assert list(app.conf.accept_content) == ["json"]
    assert app.conf.task_acks_late
    assert app.conf.task_reject_on_worker_lost
    assert app.conf.worker_prefetch_multiplier == 1
    assert app.conf.result_backend is None
